"""What becomes of work in hand; the scheduler's own tests have the rest."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import Forbidden, InvalidRequest, NotFound, ServerUnreachable, StaleClaim
from orchestrator.wire import Due, FinishWork
from triggers.performing import Hold, Performed, Performer
from triggers.testing import FIRING, NOW, make_work

if TYPE_CHECKING:
    from collections.abc import Callable


class Server:
    """Takes reports and extensions; refuses as it is told to."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.extend_refusals: list[Exception] = []
        self.reports: list[FinishWork] = []
        self.extended = 0

    def extend(self, firing_id: str, *, scheduler: str) -> None:
        assert (firing_id, scheduler) == (FIRING, "this one")
        self.extended += 1
        if self.extend_refusals:
            raise self.extend_refusals.pop(0)

    def finish(self, firing_id: str, outcome: FinishWork) -> None:
        assert firing_id == FIRING
        self.reports.append(outcome)
        if self.refusals:
            raise self.refusals.pop(0)


class Work:
    """Performs by a function."""

    functions = ()

    def __init__(self, perform: Callable[[Hold], object]) -> None:
        self._perform = perform

    def perform(self, hold: Hold) -> Performed:
        returned: Any = self._perform(hold)
        return Performed(result=returned)

    def hide(self, text: str) -> str:
        return text.replace("open-sesame", "***")


def performer(server: Server, perform: Callable[[Hold], object]) -> Performer:
    return Performer(
        server, actions=Work(perform), scheduler="this one", checkpoint=lambda _step: None, on_done=lambda: None
    )


def due(*, claim_seconds: float = 60.0) -> Due:
    work = make_work()
    until = NOW.fromtimestamp(NOW.timestamp() + claim_seconds, NOW.tzinfo)
    return Due(now=NOW, next_due_at=None, work=(work.changed(firing=work.firing.changed(claimed_until=until)),))


def perform(server: Server, function: Callable[[Hold], object]) -> None:
    works = performer(server, function)
    works.begin(due())
    assert works.settle(timeout_seconds=10)


def test_secrets_are_in_no_reason_no_result_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_hold: Hold) -> None:
        raise RuntimeError("the password is open-sesame")

    server = Server()
    with caplog.at_level(logging.DEBUG):
        perform(server, broken)
        perform(server, lambda _hold: {"answer": "open-sesame", "status": 200})
    assert server.reports[0].outcome == "failed"
    assert server.reports[0].reason == "RuntimeError: the password is ***"
    assert server.reports[1].result == {"answer": "***", "status": 200}
    assert "open-sesame" not in caplog.text


def test_a_reason_is_one_that_every_database_keeps() -> None:
    def broken(_hold: Hold) -> None:
        raise InvalidRequest("a\0b \ud800 " + "x" * 10_000)

    server = Server()
    perform(server, broken)
    reason = server.reports[0].reason
    assert reason is not None
    assert len(reason) < 5000
    assert reason.startswith("a\\0b \\ud800 x")


def test_a_result_that_the_server_does_not_keep_becomes_a_failure_once() -> None:
    server = Server(InvalidRequest("The result is too large."))
    perform(server, lambda _hold: {"returned": 1})
    assert [report.outcome for report in server.reports] == ["done", "failed"]
    assert "too large" in str(server.reports[1].reason)


@pytest.mark.parametrize("error", [StaleClaim(), NotFound("There is no firing."), Forbidden("Revoked.")])
def test_what_is_not_ours_any_more_is_not_reported_again(error: Exception) -> None:
    server = Server(error)
    perform(server, lambda _hold: None)
    assert len(server.reports) == 1


def test_a_failure_that_is_refused_is_left_to_its_claim() -> None:
    def broken(_hold: Hold) -> None:
        raise InvalidRequest("wrong")

    server = Server(InvalidRequest("That is no reason."))
    perform(server, broken)
    assert len(server.reports) == 1


def test_a_claim_that_was_lost_meanwhile_ends_the_work_that_waits_and_is_not_reported() -> None:
    server = Server()
    server.extend_refusals = [StaleClaim()]
    works = performer(server, lambda hold: [hold.pause(0.01) for _ in range(1000)])
    works.begin(due(claim_seconds=0.3))
    assert works.settle(timeout_seconds=5)
    assert server.reports == []


def test_an_extension_that_does_not_arrive_is_tried_again_soon() -> None:
    server = Server()
    server.extend_refusals = [ServerUnreachable("No server answers.")]
    works = performer(server, lambda _hold: time.sleep(0.3))
    works.begin(due(claim_seconds=0.6))
    assert works.settle(timeout_seconds=5)
    assert server.extended >= 2
    assert len(server.reports) == 1


def test_work_that_is_handed_out_again_while_it_is_in_hand_is_not_begun_twice() -> None:
    server, go_on, calls = Server(), threading.Event(), []

    def wait(_hold: Hold) -> None:
        calls.append(1)
        go_on.wait(5)

    works = performer(server, wait)
    works.begin(due())
    works.begin(due())
    go_on.set()
    assert works.settle(timeout_seconds=5)
    assert len(calls) == len(server.reports) == 1


def test_the_same_firing_is_begun_again_once_it_was_reported() -> None:
    server = Server()
    works = performer(server, lambda _hold: None)
    for _ in range(2):
        works.begin(due())
        assert works.settle(timeout_seconds=5)
    assert len(server.reports) == 2


def test_there_is_room_for_so_many_pieces_of_work() -> None:
    server, go_on = Server(), threading.Event()
    works = performer(server, lambda _hold: go_on.wait(5) and None)
    free = works.free
    works.begin(due())
    assert works.free == free - 1
    assert not works.settle(timeout_seconds=0.01)
    go_on.set()
    assert works.settle(timeout_seconds=5)
    assert works.free == free


def test_what_is_left_when_the_scheduler_ends_is_neither_extended_nor_reported() -> None:
    server, go_on = Server(), threading.Event()
    works = performer(server, lambda _hold: go_on.wait(5) and None)
    works.begin(due(claim_seconds=0.3))
    works.close(grace_seconds=0.02)
    extended = server.extended
    time.sleep(0.25)
    assert server.extended == extended
    go_on.set()
    assert works.settle(timeout_seconds=5)
    assert server.reports == []


def test_time_passes_by_the_databases_clock_and_this_processs() -> None:
    seconds = 0.0
    work = due().work[0]
    hold = Hold(work, now=NOW, is_closing=threading.Event(), monotonic=lambda: seconds)
    seconds = 2.5
    assert (hold.now() - NOW).total_seconds() == 2.5
    assert hold.elapsed_seconds() == 2.5
    assert hold.claim_seconds == 60
