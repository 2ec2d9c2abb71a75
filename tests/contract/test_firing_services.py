"""How firings go on, on every database: windows, turns, gates, chains, claims, schedules; by a clock of our own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from sqlalchemy import delete

from orchestrator.errors import StaleClaim
from orchestrator.records.event import EventType
from orchestrator.records.firing import FiringStatus
from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Permission
from orchestrator.records.task import ExitReason
from orchestrator.records.trigger import Trigger, TriggerState
from orchestrator.services.authenticate import authenticate
from orchestrator.services.claim import claim_task
from orchestrator.services.enqueue import enqueue_task
from orchestrator.services.finish import finish_task
from orchestrator.services.finish_work import extend_claim
from orchestrator.services.fire import post_firings
from orchestrator.services.stop import stop_task
from orchestrator.services.take_due import take_due
from orchestrator.services.testing import DATA, SUBJECT, TriggerHouse
from orchestrator.services.triggers import set_trigger_state
from orchestrator.store.sql.tables import firings
from orchestrator.wire import (
    ClaimTask,
    EnqueueTask,
    ExtendClaim,
    FinishTask,
    FiringResult,
    NewFiring,
    PostFirings,
    TakeDue,
)

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.store.protocol import Store, Transaction

T = TypeVar("T")
GATE = {"checked_at": datetime(2026, 1, 1, tzinfo=UTC).isoformat()}


@pytest.fixture
def house(store: Store, tmp_path: Path) -> TriggerHouse:
    return TriggerHouse(store, tmp_path)


def outcomes(results: list[FiringResult]) -> list[str]:
    return [result.outcome for result in results]


def test_many_matches_in_one_request_make_a_clone_each_and_a_doubled_one_makes_none(house: TriggerHouse) -> None:
    trigger = house.register()
    events = [house.tagged(subject=f"{number:032x}") for number in range(5)]
    results = house.fire(trigger, *events, events[2])
    assert outcomes(results) == ["launched"] * 5 + ["duplicate"]
    assert [house.parameters(house.task_of(result).id)[DATA] for result in results[:5]] == [
        f"{n:032x}" for n in range(5)
    ]
    assert results[5].task_id == results[2].task_id
    assert outcomes(house.fire(trigger, *events)) == ["duplicate"] * 5
    assert {house.task_of(result).status for result in results} == {Status.QUEUED}


def test_one_that_cannot_be_launched_fails_alone_and_is_tried_again(house: TriggerHouse) -> None:
    bad = house.register("bad", action={"kind": "clone", "task": house.reference})
    good = house.register("good")
    kept = house.store.read(lambda tx: tx.triggers.get(bad.id))
    gone = kept.changed(action=kept.action.changed(queue="gone"))
    house.write(lambda tx: tx.triggers.replace(gone, expected=kept))
    event = house.tagged()
    posts = tuple(NewFiring(trigger_id=one.id, revision=1, event=event) for one in (bad, good))
    results = house.do(post_firings, body=PostFirings(firings=posts), settings=house.settings)
    assert outcomes(results) == ["failed", "launched"]
    assert "gone" in (results[0].reason or "")
    assert results[0].due_at == house.now + timedelta(seconds=10)
    told = house.told(EventType.TRIGGER_FAILED)[0].data
    assert len(house.told(EventType.TRIGGER_FAILED)) == 1
    assert told["name"] == "bad"
    assert house.due().results == ()
    house.passes(10)
    (again,) = house.due().results
    assert (again.outcome, again.due_at) == ("failed", house.now + timedelta(seconds=20))
    house.write(lambda tx: tx.triggers.replace(kept, expected=gone))
    house.passes(20)
    (launched,) = house.due().results
    assert launched.outcome == "launched"
    assert len(house.told(EventType.TRIGGER_FAILED)) == 1


def test_a_burst_is_one_firing_with_all_its_events_when_it_has_been_quiet_for_long_enough(house: TriggerHouse) -> None:
    trigger = house.register(debounce_seconds=60)
    first = house.fire(trigger, house.tagged(subject="1" * 32))
    assert outcomes(first) == ["collecting"]
    assert first[0].due_at == house.now + timedelta(seconds=60)
    house.passes(50)
    house.fire(trigger, house.tagged(subject="2" * 32))
    house.passes(50)
    assert house.due().results == ()
    assert house.due().next_due_at == house.now + timedelta(seconds=10)
    house.passes(10)
    (result,) = house.due().results
    assert result.outcome == "launched"
    assert house.parameters(house.task_of(result).id)[DATA] == f"{'1' * 32},{'2' * 32}"
    (firing,) = house.firings(trigger)
    assert len(firing.events) == 2


def test_a_burst_that_does_not_end_is_cut_at_its_most(house: TriggerHouse) -> None:
    trigger = house.register(debounce_seconds=60, debounce_max_seconds=100)
    house.fire(trigger, house.tagged())
    for _ in range(2):
        house.passes(45)
        house.fire(trigger, house.tagged())
    assert house.due().next_due_at == house.now + timedelta(seconds=10)
    house.passes(10)
    assert [result.outcome for result in house.due().results] == ["launched"]
    assert outcomes(house.fire(trigger, house.tagged())) == ["collecting"]


def test_what_comes_while_it_cools_down_is_collected_and_nothing_is_dropped(house: TriggerHouse) -> None:
    trigger = house.register(cooldown_seconds=600)
    assert outcomes(house.fire(trigger, house.tagged(), house.tagged(subject="2" * 32))) == ["launched", "collecting"]
    house.passes(300)
    house.fire(trigger, house.tagged(subject="3" * 32))
    house.passes(299)
    assert house.due().results == ()
    house.passes(1)
    (result,) = house.due().results
    assert house.parameters(house.task_of(result).id)[DATA] == f"{'2' * 32},{'3' * 32}"
    assert outcomes(house.fire(trigger, house.tagged())) == ["collecting"]


def test_a_window_of_a_trigger_that_is_paused_meanwhile_is_skipped(house: TriggerHouse) -> None:
    trigger = house.register(debounce_seconds=60)
    house.fire(trigger, house.tagged())
    house.do(set_trigger_state, key=trigger.id, state=TriggerState.PAUSED, permission=Permission.OPERATE)
    house.passes(60)
    (result,) = house.due().results
    assert (result.outcome, result.reason) == ("skipped", "paused")


@pytest.mark.parametrize("when_busy", ["skip", "queue", "replace"])
def test_beyond_the_limit_of_active_firings(house: TriggerHouse, when_busy: str) -> None:
    trigger = house.register(max_active=1, when_busy=when_busy)
    results = house.fire(
        trigger, house.tagged(subject="1" * 32), house.tagged(subject="2" * 32), house.tagged(subject="3" * 32)
    )
    firings = house.firings(trigger)
    if when_busy == "skip":
        assert outcomes(results) == ["launched", "skipped", "skipped"]
        assert "at most 1" in (firings[1].reason or "")
        house.fire(trigger, ended=(house.run(),))
        assert outcomes(house.fire(trigger, house.tagged())) == ["launched"]
    elif when_busy == "queue":
        assert outcomes(results) == ["launched", "due", "due"]
        assert house.due().results == () or {r.outcome for r in house.due().results} == {"due"}
        house.run()
        house.due()
        assert [f.status for f in house.firings(trigger)] == ["launched", "launched", "due"]
        house.run(ExitReason.SCRIPT_FAILED)
        house.due()
        assert [f.status for f in house.firings(trigger)] == ["launched", "launched", "launched"]
        assert house.parameters(house.task_of(house.firings(trigger)[2]).id)[DATA] == "3" * 32
    else:  # what waits in a queue is stopped at once, so the newest goes
        assert [house.task_of(firing).status for firing in firings] == ["stopped", "stopped", "queued"]


def test_a_running_task_is_asked_to_stop_before_the_one_that_replaces_it_goes(house: TriggerHouse) -> None:
    trigger = house.register(max_active=1, when_busy="replace")
    (first,) = house.fire(trigger, house.tagged(subject="1" * 32))
    claim = house.do(claim_task, agent_id=house.agent, body=ClaimTask(slot="s"), settings=house.settings)
    assert claim is not None
    results = house.fire(trigger, house.tagged(subject="2" * 32), house.tagged(subject="3" * 32))
    assert outcomes(results) == ["skipped", "due"]
    assert results[1].firing_id in (results[0].reason or "")
    assert house.task_of(first).stop_requested_at is not None
    attempt = house.write(lambda tx: authenticate(tx, token=claim.token))
    ending = FinishTask(reason=ExitReason.STOPPED)
    house.write(lambda tx: finish_task(tx, attempt, task_id=claim.task.id, body=ending, settings=house.settings))
    house.due()
    assert [firing.status for firing in house.firings(trigger)] == ["launched", "skipped", "launched"]


def test_a_closed_gate_blocks_with_its_numbers_and_an_open_one_launches(house: TriggerHouse) -> None:
    trigger = house.register(gates={"min_rows": 100})
    assert outcomes(house.fire(trigger, house.tagged(), house.tagged())) == ["gating", "gating"]
    work = house.due().work
    assert [(piece.kind, piece.firing.claimed_by) for piece in work] == [("gates", "s1"), ("gates", "s1")]
    assert house.due(scheduler="s2").work == ()
    check = {"name": "min_rows", "value": 7, "bound": 100, "passed": False, "reason": "It has 7 rows, not 100."}
    closed = house.finish(work[0].firing.id, gate=GATE | {"open": False, "checks": [check]})
    assert (closed.status, closed.reason, closed.task_id) == ("blocked", "It has 7 rows, not 100.", None)
    told = house.told(EventType.TRIGGER_BLOCKED)[0].data
    assert len(house.told(EventType.TRIGGER_BLOCKED)) == 1
    assert (told["gate"], told["firing"]) == ([check], closed.id)
    opened = house.finish(work[1].firing.id, gate=GATE | {"open": True, "checks": []})
    assert opened.status == FiringStatus.LAUNCHED
    assert house.task_of(opened).status == Status.QUEUED
    assert house.finish(work[1].firing.id, gate=GATE | {"open": True, "checks": []}) == opened


def test_a_function_is_handed_to_one_scheduler_that_holds_it_until_its_claim_runs_out(house: TriggerHouse) -> None:
    trigger = house.register(action={"kind": "function", "function": "refresh"})
    assert outcomes(house.fire(trigger, house.tagged())) == ["due"]
    assert house.due().work == ()
    (piece,) = house.due(functions=("refresh", "other")).work
    assert (piece.kind, piece.values["dataset.id"]) == ("action", SUBJECT)
    assert house.due(scheduler="s2", functions=("refresh",)).work == ()
    house.passes(50)
    house.do(extend_claim, firing_id=piece.firing.id, body=ExtendClaim(scheduler="s1"), settings=house.settings)
    house.passes(50)
    assert house.due(scheduler="s2", functions=("refresh",)).work == ()
    house.passes(10)
    (again,) = house.due(scheduler="s2", functions=("refresh",)).work
    assert again.firing.id == piece.firing.id
    with pytest.raises(StaleClaim):
        house.finish(piece.firing.id)
    with pytest.raises(StaleClaim):
        house.do(extend_claim, firing_id=piece.firing.id, body=ExtendClaim(scheduler="s1"), settings=house.settings)
    done = house.finish(piece.firing.id, scheduler="s2", result={"value": 3})
    assert (done.status, done.result) == ("launched", {"value": 3})


def test_work_that_kills_whoever_does_it_is_given_up_when_the_tries_are_spent(house: TriggerHouse) -> None:
    trigger = house.register(action={"kind": "function", "function": "f"})
    house.fire(trigger, house.tagged())
    for _ in range(3):
        assert len(house.due(functions=("f",)).work) == 1
        house.passes(61)
    assert house.due(functions=("f",)).work == ()
    (firing,) = house.firings(trigger)
    assert (firing.status, firing.next_try_at) == ("failed", None)
    assert "silent" in (firing.reason or "")


def test_work_that_failed_is_tried_again_until_the_tries_are_spent(house: TriggerHouse) -> None:
    trigger = house.register(action={"kind": "webhook", "url": "https://example.com/hook"})
    house.fire(trigger, house.tagged())
    for tries, wait in ((1, 10), (2, 20), (3, None)):
        (piece,) = house.due().work
        failed = house.finish(piece.firing.id, outcome="failed", reason="503 Service Unavailable")
        assert (failed.status, failed.tries, failed.reason) == ("failed", tries, "503 Service Unavailable")
        assert (failed.next_try_at is None) == (wait is None)
        house.passes(wait or 3600)
    assert house.due().work == ()


def test_a_function_that_may_run_once_at_a_time_waits_its_turn(house: TriggerHouse) -> None:
    trigger = house.register(action={"kind": "function", "function": "f"}, max_active=1, when_busy="queue")
    house.fire(trigger, house.tagged(), house.tagged())
    (first,) = house.due(functions=("f",)).work
    assert house.due(functions=("f",)).work == ()
    house.finish(first.firing.id)
    (second,) = house.due(functions=("f",)).work
    assert second.firing.id != first.firing.id


def chain(house: TriggerHouse, *names: str) -> dict[str, Any]:
    steps = [{"step": name, "task": house.reference, "parameters": {DATA: "${dataset.id}"}} for name in names]
    steps[-1]["parameters"] = {DATA: "${dataset.id} ${steps." + names[0] + ".id}"}
    return {"kind": "chain", "steps": steps}


def test_each_step_of_a_chain_follows_when_the_one_before_completed(house: TriggerHouse) -> None:
    trigger = house.register(action=chain(house, "prepare", "train", "evaluate"), max_active=1)
    house.fire(trigger, house.tagged())
    for count in (2, 3):
        ended = house.run()
        house.fire(trigger, ended=(ended, ended))
        house.fire(trigger, ended=(ended,))
        assert len(house.firings(trigger)) == count
        assert outcomes(house.fire(trigger, house.tagged())) == ["skipped"]
        house.write(partial(_forget_newest, trigger=trigger))
    firings = house.firings(trigger)
    assert [firing.step for firing in firings] == ["prepare", "train", "evaluate"]
    assert house.parameters(house.task_of(firings[2]).id)[DATA] == f"{SUBJECT} {firings[0].task_id}"
    assert {house.task_of(firing).chain for firing in firings} == {(trigger.id,)}
    house.fire(trigger, ended=(house.run(),))
    assert len(house.firings(trigger)) == 3
    assert outcomes(house.fire(trigger, house.tagged())) == ["launched"]


def _forget_newest(tx: Transaction, *, trigger: Trigger) -> None:
    """Take the skipped firing away again, so that only steps are counted."""
    (newest,) = tx.firings.find(trigger_id=trigger.id, limit=1)
    assert newest.status == FiringStatus.SKIPPED
    tx._unit.execute(delete(firings).where(firings.c.id == newest.id))  # type: ignore[attr-defined]


def test_a_chain_ends_where_a_step_fails_and_goes_on_when_that_was_repeated(house: TriggerHouse) -> None:
    trigger = house.register(action=chain(house, "prepare", "train"), max_active=1)
    (result,) = house.fire(trigger, house.tagged())
    house.fire(trigger, ended=(house.run(ExitReason.SCRIPT_FAILED),))
    (root,) = house.firings(trigger)
    assert (root.chain_open, root.reason) == (False, "step prepare failed: no step follows")
    house.do(enqueue_task, task_id=result.task_id, body=EnqueueTask())
    house.fire(trigger, ended=(house.run(),))
    assert [firing.step for firing in house.firings(trigger)] == ["prepare", "train"]


def test_a_step_keeps_to_the_revision_with_which_its_chain_began(house: TriggerHouse) -> None:
    trigger = house.register(action=chain(house, "prepare", "train"))
    house.fire(trigger, house.tagged())
    house.register(action=chain(house, "other", "another"))
    house.fire(trigger, ended=(house.run(),))
    assert [(firing.step, firing.revision) for firing in house.firings(trigger)] == [("prepare", 1), ("train", 1)]


def test_a_schedule_fires_each_of_its_times_once(house: TriggerHouse) -> None:
    condition = {"kind": "schedule", "project": "shop", "every_seconds": 3600, "catch_up": "all"}
    action = {"kind": "clone", "task": house.reference, "parameters": {DATA: "${schedule.time}"}}
    trigger = house.register(condition=condition, action=action)
    assert house.due().next_due_at == house.now + timedelta(hours=1)
    house.passes(3600)
    assert [result.outcome for result in house.due().results] == ["launched"]
    assert house.due().results == ()
    house.passes(3 * 3600)
    assert len(house.due().results) == 3
    keys = [firing.event_key for firing in house.firings(trigger)]
    assert keys == [f"schedule:2026-03-01T{hour}:00:00Z" for hour in (13, 14, 15, 16)]
    house.passes(-7200)
    assert house.due().results == ()


def test_a_schedule_of_a_paused_trigger_records_what_it_skipped(house: TriggerHouse) -> None:
    condition = {"kind": "schedule", "project": "shop", "every_seconds": 3600}
    trigger = house.register(condition=condition, action={"kind": "clone", "task": house.reference})
    house.do(set_trigger_state, key=trigger.id, state=TriggerState.PAUSED, permission=Permission.OPERATE)
    house.passes(3600)
    assert [(result.outcome, result.reason) for result in house.due().results] == [("skipped", "paused")]


def test_a_task_is_stopped_when_it_has_run_for_as_long_as_its_trigger_lets_it(house: TriggerHouse) -> None:
    trigger = house.register(limit_execution_seconds=600)
    (result,) = house.fire(trigger, house.tagged())
    house.do(claim_task, agent_id=house.agent, body=ClaimTask(slot="s"), settings=house.settings)
    house.passes(599)
    assert house.due().next_due_at == house.now + timedelta(seconds=1)
    assert house.task_of(result).stop_requested_at is None
    house.passes(1)
    house.due()
    assert house.task_of(result).stop_requested_at == house.now
    assert house.due().next_due_at is None


def test_a_dry_run_says_what_it_would_do_and_does_nothing(house: TriggerHouse) -> None:
    trigger = house.register(dry_run=True)
    (result,) = house.fire(trigger, house.tagged())
    assert result.outcome == "skipped"
    assert "dry run" in (result.reason or "")
    assert house.firings(trigger)[0].task_id is None


def test_a_reference_that_is_run_again_itself_is_not_cloned(house: TriggerHouse) -> None:
    trigger = house.register(
        action={"kind": "clone", "task": house.reference, "reuse": True, "parameters": {DATA: "${dataset.id}"}}
    )
    first, second = house.fire(trigger, house.tagged(subject="1" * 32), house.tagged(subject="2" * 32))
    assert (first.task_id, second.outcome) == (house.reference, "skipped")
    house.run()
    (third,) = house.fire(trigger, house.tagged(subject="3" * 32))
    assert (third.outcome, third.task_id) == ("launched", house.reference)
    task = house.task_of(third)
    assert (task.attempt, task.status, house.parameters(task.id)[DATA]) == (2, Status.QUEUED, "3" * 32)


def test_a_scheduler_of_another_project_is_not_handed_its_work(house: TriggerHouse) -> None:
    trigger = house.register(action={"kind": "webhook", "url": "https://example.com/hook"}, debounce_seconds=5)
    house.fire(trigger, house.tagged())
    house.passes(5)
    stranger = house.admin.changed(project="elsewhere")
    body = TakeDue(scheduler="s2")
    due = house.write(lambda tx: take_due(tx, stranger, body=body, settings=house.settings))
    assert (due.work, due.results) == ((), ())
    assert due.next_due_at is not None
    assert due.next_due_at > house.now
    assert len(house.due().work) == 1


def test_stopping_a_task_by_hand_gives_the_next_in_line_its_turn(house: TriggerHouse) -> None:
    trigger = house.register(max_active=1, when_busy="queue")
    first, _ = house.fire(trigger, house.tagged(), house.tagged())
    house.do(stop_task, task_id=first.task_id)
    house.due()
    assert [firing.status for firing in house.firings(trigger)] == ["launched", "launched"]
