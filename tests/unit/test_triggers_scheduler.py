from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import ServerFailed, ServerUnreachable, StaleRevision, Unauthenticated
from orchestrator.records.action import CloneAction
from orchestrator.records.condition import DatasetCondition
from orchestrator.records.event import EventType
from orchestrator.records.trigger import TriggerState
from orchestrator.wire import NewFiring
from triggers.actions import Actions
from triggers.scheduler import AT_ONCE, FUNCTION_SECONDS, STEPS, TICK_STEPS, Scheduler
from triggers.testing import NOW, make_trigger
from triggers.testing.server import CLAIM, ServerInMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.records.trigger import Trigger
    from triggers.events import EventBatch
    from triggers.remote import Batch


def trigger(number: int = 1, **fields: object) -> Trigger:
    return make_trigger(number, **{"action": CloneAction(task="c" * 32)} | fields)


class Clock:
    """Passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def server() -> ServerInMemory:
    return ServerInMemory()


def drain(scheduler: Scheduler) -> None:
    while scheduler.tick() or not scheduler.settle(timeout_seconds=0) or scheduler.tick():
        scheduler.settle()


def test_each_event_after_its_registration_sets_a_trigger_off_once(server: ServerInMemory) -> None:
    server.happen()
    server.register(trigger())
    matching = [server.happen(), server.happen()]
    server.happen(EventType.DATASET_UNTAGGED)
    drain(Scheduler(server))
    assert list(server.fired) == [(trigger().id, event) for event in matching]


def test_a_first_start_begins_before_the_oldest_trigger(server: ServerInMemory) -> None:
    for _ in range(3):
        server.happen()
    server.register(trigger())
    drain(Scheduler(server))
    assert server.read_from[0] == 3


def test_a_first_start_without_triggers_begins_at_the_end_and_learns_of_the_first(server: ServerInMemory) -> None:
    server.happen()
    scheduler = Scheduler(server)
    drain(scheduler)
    assert set(server.read_from) == {1}
    server.register(trigger())
    event = server.happen()
    drain(scheduler)
    assert list(server.fired) == [(trigger().id, event)]


def test_a_second_start_begins_where_schedulers_were(server: ServerInMemory) -> None:
    server.register(trigger())
    server.happen()
    drain(Scheduler(server))
    server.read_from.clear()
    drain(Scheduler(server))
    assert set(server.read_from) == {2}


def test_a_stretch_without_a_match_costs_no_write(server: ServerInMemory) -> None:
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


def test_what_came_before_an_edit_is_not_matched_again_after_a_restart(server: ServerInMemory) -> None:
    server.register(trigger())
    first = Scheduler(server)
    drain(first)
    server.happen(tags=["Candidate"])
    server.register(trigger(revision=2))
    drain(first)
    server.read_from.clear()
    drain(Scheduler(server))
    assert set(server.read_from) == {3}


def test_more_matches_than_a_request_holds_are_sent_in_several(server: ServerInMemory) -> None:
    for number in range(1, 4):
        server.register(trigger(number))
    for _ in range(AT_ONCE - 3):
        server.happen()
    drain(Scheduler(server))
    assert len(server.fired) == 3 * (AT_ONCE - 3)


def test_a_paused_trigger_is_posted_so_that_the_server_records_what_it_skips(server: ServerInMemory) -> None:
    server.register(trigger(state=TriggerState.PAUSED))
    server.happen()
    drain(Scheduler(server))
    assert len(server.fired) == 1


def test_a_removed_trigger_is_not_matched(server: ServerInMemory) -> None:
    server.register(trigger(state=TriggerState.REMOVED))
    server.happen()
    drain(Scheduler(server))
    assert not server.fired


def test_a_trigger_edited_while_it_is_matched_is_matched_again_as_it_is_now(server: ServerInMemory) -> None:
    server.register(trigger())
    server.register(trigger(2))
    event = server.happen()

    def edit() -> None:
        server.before_firing = None
        server.known[trigger().id] = server.known[trigger().id].changed(revision=2)

    server.before_firing = edit
    drain(Scheduler(server))
    assert server.fired == {(trigger().id, event): 2, (trigger(2).id, event): 1}


def test_a_trigger_edited_so_that_it_does_not_match_any_more_does_not_fire(server: ServerInMemory) -> None:
    server.register(trigger())
    event = server.happen()

    def edit() -> None:
        changes = {"revision": 2, "condition": DatasetCondition(on_tags=("Other",))}
        server.known[trigger().id] = server.known[trigger().id].changed(**changes)

    server.before_firing = edit
    drain(Scheduler(server))
    assert not server.fired
    assert server.kept == event


def test_a_trigger_that_is_edited_without_end_does_not_hold_the_scheduler_or_lose_the_event(
    server: ServerInMemory,
) -> None:
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


@pytest.mark.parametrize("step", TICK_STEPS)
def test_a_tick_that_dies_after_any_step_is_done_over_and_fires_once(server: ServerInMemory, step: str) -> None:
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


def test_a_server_that_is_away_is_waited_for_and_told_of_once(
    server: ServerInMemory, caplog: pytest.LogCaptureFixture
) -> None:
    server.register(trigger())
    server.happen()
    server.failures = [ServerUnreachable("No server answers.") for _ in range(3)]
    with caplog.at_level(logging.INFO, logger="triggers"):
        serve(Scheduler(server, polling_seconds=0.02), until=lambda: bool(server.kept))
    actions = [record.action for record in caplog.records if record.name == "triggers.scheduler"]
    assert actions == ["scheduler_waits", "trigger_fired", "scheduler_resumed"]


def test_an_error_of_the_server_is_no_reason_to_end(server: ServerInMemory) -> None:
    server.register(trigger())
    server.happen()
    server.failures = [ServerFailed("500")]
    serve(Scheduler(server, polling_seconds=0.02), until=lambda: bool(server.fired))


def test_where_no_question_is_held_the_log_is_polled(server: ServerInMemory) -> None:
    serve(Scheduler(server, polling_seconds=0.05), until=lambda: len(server.read_from) >= 3)
    assert len(server.read_from) < 20


def test_a_question_that_was_held_in_vain_is_asked_again_at_once(server: ServerInMemory) -> None:
    answers = server.events

    def held(**question: object) -> Batch:
        time.sleep(question["wait_seconds"])
        return answers(**question)

    server.events = held
    serve(Scheduler(server, wait_seconds=0.02), until=lambda: len(server.read_from) >= 4)


def test_after_the_server_was_away_questions_are_held_again(server: ServerInMemory) -> None:
    answers = server.events

    def held(**question: object) -> Batch:
        time.sleep(question["wait_seconds"])
        return answers(**question)

    server.events = held
    server.failures = [ServerUnreachable("No server answers.")]
    serve(Scheduler(server, wait_seconds=0.02), until=lambda: len(server.read_from) >= 4)


def test_a_refused_token_ends_the_scheduler(server: ServerInMemory) -> None:
    server.failures = [Unauthenticated("The token is revoked.")]
    with pytest.raises(Unauthenticated):
        Scheduler(server).run()


def calling(server: ServerInMemory, function: Callable[..., object], **options: object) -> Scheduler:
    return Scheduler(server, actions=Actions(server, functions={"note": function}, environ={}), **options)


def test_a_function_is_called_with_the_events_and_its_answer_is_reported(server: ServerInMemory) -> None:
    server.register(make_trigger())
    event = server.happen()
    heard: list[EventBatch] = []

    def note(events: EventBatch) -> str:
        heard.append(events)
        return "noted"

    drain(calling(server, note))
    ((firing_id, outcome),) = server.done
    assert (outcome.outcome, outcome.result) == ("done", {"returned": "noted"})
    assert [each.id for each in heard[0]] == [event]
    assert heard[0].firing_id == firing_id
    assert server.due_asked[0]["functions"] == ("note",)


def test_a_function_is_called_at_once_where_another_scheduler_was_faster_to_fire(server: ServerInMemory) -> None:
    registered = make_trigger()
    server.register(registered)
    calls: list[str] = []
    scheduler = calling(server, lambda events: calls.append(events.firing_id), monotonic=Clock())
    drain(scheduler)
    event = server.happen()
    server.fire([NewFiring(trigger_id=registered.id, revision=registered.revision, event=event)])
    drain(scheduler)
    assert len(calls) == 1


def test_what_waits_for_a_function_is_looked_for_often(server: ServerInMemory) -> None:
    clock = Clock()
    schedulers = [calling(server, lambda: None, monotonic=clock), Scheduler(server, monotonic=clock)]
    for clock.seconds in (0.0, FUNCTION_SECONDS):
        for scheduler in schedulers:
            scheduler.tick()
    assert [asked["functions"] for asked in server.due_asked] == [("note",), (), ("note",)]


@pytest.mark.parametrize("step", STEPS)
def test_work_of_a_scheduler_that_dies_after_any_step_is_done_by_another_when_the_claim_has_run_out(
    server: ServerInMemory, step: str
) -> None:
    server.register(make_trigger())
    server.happen()
    calls: Counter[str] = Counter()

    def note(events: EventBatch) -> None:
        calls[events.firing_id] += 1

    def die(done: str) -> None:
        if done == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(calling(server, note, checkpoint=die))
    drain(calling(server, note))
    server.now += CLAIM
    drain(calling(server, note))
    assert len(server.fired) == 1
    assert [outcome.outcome for _, outcome in server.done] == ["done"]
    # At least once: again where it was not yet said that it was done, and never after that.
    assert list(calls.values()) == [2 if step == "work_performed" else 1]


def test_a_claim_that_another_took_over_is_not_reported(server: ServerInMemory) -> None:
    server.register(make_trigger())
    server.happen()

    def note(events: EventBatch) -> None:
        waiting = server.line[events.firing_id]
        server.line[events.firing_id] = waiting.changed(firing=waiting.firing.changed(claimed_by="another"))

    drain(calling(server, note))
    assert server.done == []


def test_what_was_done_while_the_server_is_away_is_reported_when_it_is_back(server: ServerInMemory) -> None:
    server.register(make_trigger())
    server.happen()
    server.finish_failures = [ServerUnreachable("No server answers."), ServerFailed("500")]
    calls = []
    drain(calling(server, lambda events: calls.append(events.firing_id)))
    assert len(calls) == len(server.done) == 1


def test_more_work_than_can_be_done_at_once_is_taken_as_there_is_room(server: ServerInMemory) -> None:
    server.register(make_trigger())
    for _ in range(45):
        server.happen()
    scheduler = calling(server, lambda _events: time.sleep(0.001))
    drain(scheduler)
    assert len(server.done) == 45
    assert max(len(server.line), 0) == 0


def test_ends_of_what_firings_made_are_posted_with_matches_in_the_order_of_the_log(server: ServerInMemory) -> None:
    server.register(trigger())
    first = server.happen()
    ended = [
        server.happen(kind, cause="f" * 32)
        for kind in (EventType.TASK_COMPLETED, EventType.TASK_FAILED, EventType.TASK_STOPPED)
    ]
    server.happen(EventType.TASK_COMPLETED)  # nobody's trigger made it
    last = server.happen()
    scheduler = Scheduler(server)
    drain(scheduler)
    assert server.posts == [([first, last], ended)]
    assert server.kept == last


def test_posts_are_small(server: ServerInMemory) -> None:
    server.register(trigger())
    events = [
        server.happen() if number % 2 else server.happen(EventType.TASK_COMPLETED, cause="f" * 32)
        for number in range(250)
    ]
    drain(Scheduler(server))
    assert [len(firings) + len(ended) for firings, ended in server.posts] == [100, 100, 50]
    assert sorted(each for post in server.posts for part in post for each in part) == events


def test_of_many_triggers_those_alone_that_changed_are_read_again(server: ServerInMemory) -> None:
    for number in range(1, 51):
        server.register(trigger(number))
    scheduler = Scheduler(server)
    drain(scheduler)
    server.read_ids.clear()
    server.register(trigger(7, revision=2))
    del server.known[trigger(8).id]
    server.happen(EventType.TRIGGER_REMOVED, subject=trigger(8).id)
    event = server.happen()
    drain(scheduler)
    assert server.read_ids == [[trigger(7).id, trigger(8).id]]
    assert len([key for key in server.fired if key[1] == event]) == 49
    assert server.fired[trigger(7).id, event] == 2


def test_what_is_due_is_asked_for_at_the_start_and_then_when_the_time_has_come(server: ServerInMemory) -> None:
    clock = Clock()
    server.next_due_at = NOW + timedelta(seconds=10)
    scheduler = Scheduler(server, monotonic=clock)
    scheduler.tick()
    assert len(server.due_asked) == 1
    clock.seconds = 9.9
    scheduler.tick()
    assert len(server.due_asked) == 1
    server.next_due_at = None
    clock.seconds = 10
    scheduler.tick()
    scheduler.tick()
    assert len(server.due_asked) == 2


def test_a_window_that_a_post_opened_is_asked_for_when_it_closes(server: ServerInMemory) -> None:
    clock = Clock()
    server.register(trigger())
    scheduler = Scheduler(server, monotonic=clock)
    drain(scheduler)
    asked = len(server.due_asked)
    # The server's clock may be anywhere: the difference of its own moments counts.
    server.answer_with = {"outcome": "collecting", "task_id": None, "due_at": NOW + timedelta(seconds=30)}
    server.happen()
    drain(scheduler)
    assert len(server.due_asked) == asked
    clock.seconds = 30
    scheduler.tick()
    assert len(server.due_asked) == asked + 1


@pytest.mark.parametrize(
    "answer",
    [
        {"outcome": "due", "task_id": None},
        {"outcome": "gating", "task_id": None},
        {"outcome": "collecting", "task_id": None, "due_at": NOW - timedelta(seconds=1)},
    ],
)
def test_a_firing_that_waits_for_a_scheduler_is_asked_for_at_once(
    server: ServerInMemory, answer: dict[str, object]
) -> None:
    server.register(trigger())
    scheduler = Scheduler(server, monotonic=Clock())
    drain(scheduler)
    asked = len(server.due_asked)
    server.answer_with = answer
    server.happen()
    scheduler.tick()
    assert len(server.due_asked) == asked + 1


def test_after_the_end_of_a_task_and_after_a_registration_it_is_asked_what_is_due(server: ServerInMemory) -> None:
    scheduler = Scheduler(server, monotonic=Clock())
    scheduler.tick()
    server.happen(EventType.TASK_COMPLETED, cause="f" * 32)
    scheduler.tick()
    assert len(server.due_asked) == 2
    server.register(trigger())
    scheduler.tick()
    assert len(server.due_asked) == 3
    server.happen(EventType.TRIGGER_RESUMED, subject=trigger().id)
    scheduler.tick()
    assert len(server.due_asked) == 4
    server.happen()
    scheduler.tick()
    assert len(server.due_asked) == 4


def test_it_is_asked_every_so_often_what_is_due_whatever_is_known(server: ServerInMemory) -> None:
    clock = Clock()
    scheduler = Scheduler(server, monotonic=clock, polling_seconds=60)
    for seconds in range(0, 181, 20):
        clock.seconds = seconds
        scheduler.tick()
    assert len(server.due_asked) == 4


def test_what_is_overdue_and_for_others_is_not_asked_for_without_pause(server: ServerInMemory) -> None:
    clock = Clock()
    server.next_due_at = NOW - timedelta(hours=1)
    scheduler = Scheduler(server, monotonic=clock)
    for _ in range(5):
        scheduler.tick()
    assert len(server.due_asked) == 1


def test_a_question_for_what_is_due_that_fails_is_asked_again_and_does_not_hold_the_log(server: ServerInMemory) -> None:
    server.register(trigger())
    event = server.happen()
    server.due_failures = [ServerFailed("500")]
    scheduler = Scheduler(server, monotonic=Clock())
    with pytest.raises(ServerFailed):
        scheduler.tick()
    assert server.kept == event
    scheduler.tick()
    assert len(server.due_asked) == 1


def test_while_the_question_for_events_is_held_what_is_due_is_done(server: ServerInMemory) -> None:
    hold = threading.Event()
    answers = server.events

    def held(**question: object) -> Batch:
        if len(server.log) and question["after"] == len(server.log):
            hold.wait(10)
        return answers(**question)

    server.events = held
    server.register(make_trigger())
    server.happen()
    scheduler = calling(server, lambda _events: None)
    serve(scheduler, until=lambda: len(server.done) == 1)
    assert not hold.is_set()
    hold.set()


def test_work_in_hand_is_waited_for_when_the_scheduler_ends(server: ServerInMemory) -> None:
    server.register(make_trigger())
    server.happen()
    begun = threading.Event()

    def note() -> None:
        begun.set()
        time.sleep(0.2)

    serve(calling(server, note, polling_seconds=0.02), until=begun.is_set)
    assert len(server.done) == 1


def test_work_that_does_not_end_is_left_when_the_grace_is_over(
    server: ServerInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.scheduler.GRACE_SECONDS", 0.05)
    server.register(make_trigger())
    server.happen()
    begun, end = threading.Event(), threading.Event()

    def note() -> None:
        begun.set()
        end.wait(10)

    serve(calling(server, note, polling_seconds=0.02), until=begun.is_set)
    assert server.done == []
    end.set()


def test_claims_are_extended_while_a_function_runs(server: ServerInMemory) -> None:
    server.claim = timedelta(seconds=0.15)
    server.register(make_trigger())
    server.happen()
    drain(calling(server, lambda _events: time.sleep(0.5)))
    assert len(server.done) == 1
    assert len(server.extended) >= 2
