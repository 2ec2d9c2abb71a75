from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import ServerFailed, ServerUnreachable, StaleRevision, Unauthenticated
from orchestrator.records.event import Event, EventType
from orchestrator.records.trigger import CloneAction, DatasetCondition, Trigger, TriggerState
from orchestrator.wire import FiringResult
from triggers.remote import Batch
from triggers.scheduler import AT_ONCE, STEPS, Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.wire import NewFiring

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def trigger(number: int = 1, **fields: object) -> Trigger:
    values = {
        "id": f"{number:032x}",
        "name": f"trigger {number}",
        "condition": DatasetCondition(on_tags=("Production",)),
        "action": CloneAction(task="c" * 32),
        "starts_after": 0,
        "created_at": NOW,
        "created_by": "a" * 32,
        "changed_at": NOW,
    }
    return Trigger(**values | fields)


class Server:
    """Answers as the real one does, and can be told to fail in moments that the real one does not offer."""

    def __init__(self) -> None:
        self.log: list[Event] = []
        self.known: dict[str, Trigger] = {}
        self.fired: dict[tuple[str, int], int] = {}
        self.kept = 0
        self.failures: list[Exception] = []
        self.before_firing: Callable[[], None] | None = None
        self.read_from: list[int] = []
        self.kept_calls = 0

    def happen(self, kind: EventType = EventType.DATASET_TAGGED, *, tags: Sequence[str] = ("Production",)) -> int:
        data = {"name": "sensors", "version": "1.0.0", "tags": [*tags], "added": [*tags]}
        event = Event(id=len(self.log) + 1, at=NOW, type=kind, subject="d" * 32, project="p", actor="a" * 32, data=data)
        self.log.append(event)
        return event.id

    def register(self, registered: Trigger) -> None:
        self.known[registered.id] = registered.changed(starts_after=len(self.log))
        self.happen(EventType.TRIGGER_REGISTERED)

    def triggers(self) -> list[Trigger]:
        return list(self.known.values())

    def events(self, *, after: int, wait_seconds: float, limit: int) -> Batch:  # noqa: ARG002  it never waits
        if self.failures:
            raise self.failures.pop(0)
        self.read_from.append(after)
        found = self.log[after : after + limit]
        return Batch(events=tuple(found), next=found[-1].id if found else after)

    def newest_event(self) -> int:
        return len(self.log)

    def fire(self, firings: Sequence[NewFiring]) -> list[FiringResult]:
        assert len(firings) <= AT_ONCE
        if self.before_firing is not None:
            self.before_firing()
        return [self._fire(firing) for firing in firings]

    def place(self) -> int:
        return self.kept

    def keep_place(self, event: int) -> None:
        self.kept = max(self.kept, event)
        self.kept_calls += 1

    def _fire(self, firing: NewFiring) -> FiringResult:
        key = (firing.trigger_id, firing.event)
        current = self.known.get(firing.trigger_id)
        if current is None or current.revision != firing.revision:
            return FiringResult(trigger_id=key[0], event=key[1], outcome="stale_revision")
        if key in self.fired:
            return FiringResult(trigger_id=key[0], event=key[1], outcome="duplicate")
        self.fired[key] = firing.revision
        return FiringResult(trigger_id=key[0], event=key[1], outcome="launched", task_id="e" * 32)


@pytest.fixture
def server() -> Server:
    return Server()


def drain(scheduler: Scheduler) -> None:
    while scheduler.tick():
        pass


def test_each_event_after_its_registration_sets_a_trigger_off_once(server: Server) -> None:
    server.happen()
    server.register(trigger())
    matching = [server.happen(), server.happen()]
    server.happen(EventType.DATASET_UNTAGGED)
    drain(Scheduler(server))
    assert list(server.fired) == [(trigger().id, event) for event in matching]


def test_a_first_start_begins_before_the_oldest_trigger(server: Server) -> None:
    for _ in range(3):
        server.happen()
    server.register(trigger())
    drain(Scheduler(server))
    assert server.read_from[0] == 3


def test_a_first_start_without_triggers_begins_at_the_end_and_learns_of_the_first(server: Server) -> None:
    server.happen()
    scheduler = Scheduler(server)
    drain(scheduler)
    assert server.read_from == [1]
    server.register(trigger())
    event = server.happen()
    drain(scheduler)
    assert list(server.fired) == [(trigger().id, event)]


def test_a_second_start_begins_where_schedulers_were(server: Server) -> None:
    server.register(trigger())
    server.happen()
    drain(Scheduler(server))
    server.read_from.clear()
    drain(Scheduler(server))
    assert server.read_from == [2]


def test_a_stretch_without_a_match_costs_no_write(server: Server) -> None:
    server.register(trigger())
    scheduler = Scheduler(server)
    drain(scheduler)
    calls = server.kept_calls
    server.happen(tags=["Candidate"])
    drain(scheduler)
    assert server.kept_calls == calls
    for _ in range(AT_ONCE):
        server.happen(tags=["Candidate"])
    drain(scheduler)
    assert server.kept_calls == calls + 1


def test_what_came_before_an_edit_is_not_matched_again_after_a_restart(server: Server) -> None:
    server.register(trigger())
    first = Scheduler(server)
    drain(first)
    server.happen(tags=["Candidate"])
    server.register(trigger(revision=2))
    drain(first)
    server.read_from.clear()
    drain(Scheduler(server))
    assert server.read_from == [3]


def test_more_matches_than_a_request_holds_are_sent_in_several(server: Server) -> None:
    for number in range(1, 4):
        server.register(trigger(number))
    for _ in range(AT_ONCE - 3):
        server.happen()
    drain(Scheduler(server))
    assert len(server.fired) == 3 * (AT_ONCE - 3)


def test_a_paused_trigger_is_posted_so_that_the_server_records_what_it_skips(server: Server) -> None:
    server.register(trigger(state=TriggerState.PAUSED))
    server.happen()
    drain(Scheduler(server))
    assert len(server.fired) == 1


def test_a_removed_trigger_is_not_matched(server: Server) -> None:
    server.register(trigger(state=TriggerState.REMOVED))
    server.happen()
    drain(Scheduler(server))
    assert not server.fired


def test_a_trigger_edited_while_it_is_matched_is_matched_again_as_it_is_now(server: Server) -> None:
    server.register(trigger())
    server.register(trigger(2))
    event = server.happen()

    def edit() -> None:
        server.before_firing = None
        server.known[trigger().id] = server.known[trigger().id].changed(revision=2)

    server.before_firing = edit
    drain(Scheduler(server))
    assert server.fired == {(trigger().id, event): 2, (trigger(2).id, event): 1}


def test_a_trigger_edited_so_that_it_does_not_match_any_more_does_not_fire(server: Server) -> None:
    server.register(trigger())
    event = server.happen()

    def edit() -> None:
        changes = {"revision": 2, "condition": DatasetCondition(on_tags=("Other",))}
        server.known[trigger().id] = server.known[trigger().id].changed(**changes)

    server.before_firing = edit
    drain(Scheduler(server))
    assert not server.fired
    assert server.kept == event


def test_a_trigger_that_is_edited_without_end_does_not_hold_the_scheduler_or_lose_the_event(server: Server) -> None:
    server.register(trigger())
    event = server.happen()

    def edit() -> None:
        known = server.known[trigger().id]
        server.known[trigger().id] = known.changed(revision=known.revision + 1)

    server.before_firing = edit
    scheduler = Scheduler(server)
    with pytest.raises(StaleRevision):
        scheduler.tick()
    server.before_firing = None
    drain(scheduler)
    assert list(server.fired) == [(trigger().id, event)]


@pytest.mark.parametrize("step", STEPS)
def test_a_tick_that_dies_after_any_step_is_done_over_and_fires_once(server: Server, step: str) -> None:
    server.register(trigger())
    events = [server.happen() for _ in range(3)]

    def die(done: str) -> None:
        if done == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(Scheduler(server, checkpoint=die))
    drain(Scheduler(server))
    assert list(server.fired) == [(trigger().id, event) for event in events]


def serve(scheduler: Scheduler, *, until: Callable[[], bool]) -> None:
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    give_up = time.monotonic() + 10
    while not until() and time.monotonic() < give_up:
        time.sleep(0.005)
    scheduler.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert until()


def test_a_server_that_is_away_is_waited_for_and_told_of_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.register(trigger())
    server.happen()
    server.failures = [ServerUnreachable("No server answers.") for _ in range(3)]
    with caplog.at_level(logging.INFO, logger="triggers"):
        serve(Scheduler(server, polling_seconds=0.02), until=lambda: bool(server.kept))
    actions = [record.action for record in caplog.records if record.name == "triggers.scheduler"]
    assert actions == ["scheduler_waits", "trigger_fired", "scheduler_resumed"]


def test_an_error_of_the_server_is_no_reason_to_end(server: Server) -> None:
    server.register(trigger())
    server.happen()
    server.failures = [ServerFailed("500")]
    serve(Scheduler(server, polling_seconds=0.02), until=lambda: bool(server.fired))


def test_where_no_question_is_held_the_log_is_polled(server: Server) -> None:
    serve(Scheduler(server, polling_seconds=0.05), until=lambda: len(server.read_from) >= 3)
    assert len(server.read_from) < 20


def test_a_refused_token_ends_the_scheduler(server: Server) -> None:
    server.failures = [Unauthenticated("The token is revoked.")]
    with pytest.raises(Unauthenticated):
        Scheduler(server).run()
