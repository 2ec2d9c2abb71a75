from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from agent.heart import Heart
from orchestrator.errors import NotFound, OrchestratorError, ServerUnreachable, StaleAttempt, Unauthenticated
from orchestrator.wire import Heartbeat, HeartbeatAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Heard:
    """What a heart told, and a server that can be told what to answer."""

    def __init__(self) -> None:
        self.beats: list[Heartbeat] = []
        self.answers: list[HeartbeatAnswer | OrchestratorError] = []
        self.told: list[str] = []
        self.something = threading.Event()

    def beat(self, heartbeat: Heartbeat) -> HeartbeatAnswer:
        self.beats.append(heartbeat)
        answer = self.answers.pop(0) if self.answers else HeartbeatAnswer(stop_requested=False, lease_expires_at=NOW)
        if isinstance(answer, OrchestratorError):
            raise answer
        time.sleep(min(heartbeat.wait_seconds, 0.01))
        return answer

    def tell(self, what: str) -> None:
        self.told.append(what)
        self.something.set()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def make(heard: Heard) -> Iterator[Callable[..., Heart]]:
    hearts: list[Heart] = []

    def heart(**options: float) -> Heart:
        made = Heart(
            heard.beat,
            **{"interval_seconds": 0.02, "orphan_timeout_seconds": 60} | options,
            on_stop=lambda: heard.tell("stop"),
            on_refusal=lambda _: heard.tell("refusal"),
            on_silence=lambda: heard.tell("silence"),
        )
        hearts.append(made)
        return made

    yield heart
    for each in hearts:
        each.stop()


@pytest.mark.parametrize("error", [StaleAttempt(), Unauthenticated(), NotFound()])
def test_a_refusal_is_told_once_and_ends_the_beating(
    heard: Heard, make: Callable[..., Heart], error: OrchestratorError
) -> None:
    heard.answers = [error]
    make().start()
    assert heard.something.wait(2)
    time.sleep(0.1)
    assert heard.told == ["refusal"]
    assert len(heard.beats) == 1


def test_silence_is_no_refusal(heard: Heard, make: Callable[..., Heart]) -> None:
    heard.answers = [ServerUnreachable(), ServerUnreachable()]
    make().start()
    deadline = time.monotonic() + 5
    while len(heard.beats) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(heard.beats) >= 4
    assert heard.told == []


def test_silence_that_is_too_long_is_told(heard: Heard, make: Callable[..., Heart]) -> None:
    heard.answers = [ServerUnreachable() for _ in range(10)]
    make(orphan_timeout_seconds=0.1).start()
    assert heard.something.wait(5)
    assert heard.told == ["silence"]


def test_a_stop_is_told_once_while_the_lease_is_still_extended(heard: Heard, make: Callable[..., Heart]) -> None:
    heard.answers = [HeartbeatAnswer(stop_requested=True, lease_expires_at=NOW) for _ in range(3)]
    make().start()
    assert heard.something.wait(2)
    time.sleep(0.15)
    assert heard.told == ["stop"]
    assert 3 <= len(heard.beats) < 20


def test_news_goes_out_with_the_first_beat_and_not_again(heard: Heard, make: Callable[..., Heart]) -> None:
    heart = make()
    heart.tell(executor="process", started_at=NOW)
    heart.start()
    time.sleep(0.1)
    assert heard.beats[0].executor == "process"
    assert heard.beats[0].wait_seconds == 0
    assert all(beat.executor is None for beat in heard.beats[1:])


def test_news_that_was_not_delivered_goes_out_again(heard: Heard, make: Callable[..., Heart]) -> None:
    heart = make()
    heart.tell(executor="process")
    heard.answers = [ServerUnreachable()]
    heart.flush()
    heart.flush()
    heart.flush()
    assert [beat.executor for beat in heard.beats] == ["process", "process"]
