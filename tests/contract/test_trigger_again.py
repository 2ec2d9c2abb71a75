"""Acting on the past, and doing a firing over, on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import Conflict, Forbidden, InvalidRequest, NotFound
from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Permission, Role
from orchestrator.records.task import ExitReason
from orchestrator.records.trigger import TriggerState
from orchestrator.services.backfill import backfill
from orchestrator.services.replay import replay_firing
from orchestrator.services.testing import DATA, EPOCHS, TriggerHouse
from orchestrator.services.triggers import set_trigger_state
from orchestrator.wire import Backfill

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.records.firing import Firing
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.store.protocol import Store
    from orchestrator.wire import Backfilled

SCHEDULE: dict[str, Any] = {"kind": "schedule", "project": "shop", "cron": "0 * * * *"}
FUNCTION: dict[str, Any] = {"kind": "function", "function": "f"}


@pytest.fixture
def house(store: Store, tmp_path: Path) -> TriggerHouse:
    return TriggerHouse(store, tmp_path)


def set_state(house: TriggerHouse, state: TriggerState) -> None:
    house.do(set_trigger_state, key="nightly", state=state, permission=Permission.EDIT)


def filled_back(house: TriggerHouse, *, by: Principal | None = None, **fields: object) -> Backfilled:
    return house.do(backfill, by=by, key="nightly", body=Backfill.model_validate(fields), settings=house.settings)


def outcomes(done: Backfilled) -> list[tuple[int | None, str]]:
    return [(result.event, result.outcome) for result in done.results]


def replayed(house: TriggerHouse, firing: str | None, *, by: Principal | None = None) -> Firing:
    return house.do(replay_firing, by=by, firing_id=firing, settings=house.settings)


def chain(house: TriggerHouse, *steps: str) -> dict[str, object]:
    def parameters(number: int) -> dict[str, str]:
        return {DATA: ",".join(f"${{steps.{name}.id}}" for name in steps[:number]) or "first"}

    made = [
        {"step": step, "task": house.reference, "parameters": parameters(number)} for number, step in enumerate(steps)
    ]
    return {"kind": "chain", "steps": made}


def task_of(house: TriggerHouse, firing: Firing) -> Task:
    return house.read(lambda tx: tx.tasks.get(str(firing.task_id)))


def test_what_happened_before_a_trigger_was_there_is_acted_on_once(house: TriggerHouse) -> None:
    events = [house.tagged(subject=f"{number:032x}") for number in range(3)]
    house.tagged("other")
    house.tagged(project="bank")
    trigger = house.register()
    after = house.tagged()
    house.fire(trigger, after)
    planned = filled_back(house, plan=True)
    assert outcomes(planned) == [*((event, "launched") for event in events), (after, "duplicate")]
    assert {(each.task_id, each.firing_id) for each in planned.results[:3]} == {(None, None)}
    assert (planned.looked_at, planned.next) == (5, None)
    assert len(house.firings(trigger)) == len(house.tasks()) == 1
    done = filled_back(house)
    assert outcomes(done) == outcomes(planned)
    assert [house.parameters(str(each.task_id))[DATA] for each in done.results[:3]] == [
        f"{number:032x}" for number in range(3)
    ]
    assert {outcome for _, outcome in outcomes(filled_back(house))} == {"duplicate"}
    assert {result.outcome for result in house.fire(trigger, *events)} == {"duplicate"}
    assert len(house.firings(trigger)) == len(house.tasks()) == 4


def test_a_plan_leaves_no_trace(house: TriggerHouse) -> None:
    house.tagged()
    house.register(debounce_seconds=60, cooldown_seconds=60)
    before = house.read(lambda tx: (tx.events.last_id(), tx.triggers.find()))
    assert [outcome for _, outcome in outcomes(filled_back(house, plan=True))] == ["collecting"]
    assert house.read(lambda tx: (tx.events.last_id(), tx.triggers.find())) == before
    assert house.read(lambda tx: tx.firings.find()) == []


def test_the_past_is_acted_on_from_one_moment_to_another(house: TriggerHouse) -> None:
    events, moments = [], []
    for _ in range(4):
        house.passes(60)
        moments.append(house.now)
        events.append(house.tagged())
    house.register()

    def planned(**fields: object) -> list[int | None]:
        return [result.event for result in filled_back(house, plan=True, **fields).results]

    assert planned(since=moments[1]) == events[1:]
    assert planned(until=moments[3]) == events[:3]
    assert planned(since=moments[1], until=moments[2]) == events[1:2]
    assert planned(after=events[2], since=moments[0]) == events[3:]
    house.passes(60)
    assert filled_back(house, since=house.now).model_dump() == {"results": (), "looked_at": 0, "next": None}


def test_the_past_is_gone_through_a_stretch_at_a_time(house: TriggerHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.services.backfill._STRETCH", 4)
    tags = [house.tagged("go" if number % 2 else "other") for number in range(8)]
    house.register(max_active=2)
    first = filled_back(house)
    assert (first.looked_at, first.next, outcomes(first)) == (
        4,
        tags[3],
        [(tags[1], "launched"), (tags[3], "launched")],
    )
    second = filled_back(house, after=first.next)
    assert (second.next, outcomes(second)) == (tags[7], [(tags[5], "skipped"), (tags[7], "skipped")])
    third = filled_back(house, after=second.next)
    assert (third.looked_at, third.next, third.results) == (0, None, ())


def test_what_was_collected_from_the_past_is_one_firing(house: TriggerHouse) -> None:
    events = [house.tagged() for _ in range(3)]
    trigger = house.register(debounce_seconds=60)
    assert outcomes(filled_back(house)) == [(event, "collecting") for event in events]
    house.passes(60)
    house.due()
    (firing,) = house.firings(trigger)
    assert (firing.status, firing.events) == ("launched", tuple(events))


def test_one_that_cannot_be_launched_stops_no_other(house: TriggerHouse) -> None:
    bad, good = house.tagged("7", "x"), house.tagged("7")
    house.register(
        condition={"kind": "dataset", "project": "shop", "on_tags": ["7"]},
        action={"kind": "clone", "task": house.reference, "parameters": {EPOCHS: "${dataset.tags}"}},
    )
    done = filled_back(house)
    assert outcomes(done) == [(bad, "failed"), (good, "launched")]
    assert EPOCHS in str(done.results[0].reason)


@pytest.mark.parametrize("state", [TriggerState.PAUSED, TriggerState.REMOVED])
def test_the_past_is_for_triggers_that_act(house: TriggerHouse, state: TriggerState) -> None:
    trigger = house.register()
    (launched,) = house.fire(trigger, house.tagged())
    set_state(house, state)
    with pytest.raises(Conflict, match="paused" if state is TriggerState.PAUSED else "removed"):
        house.do(backfill, key=trigger.id, body=Backfill(), settings=house.settings)
    with pytest.raises(Conflict, match="paused" if state is TriggerState.PAUSED else "removed"):
        replayed(house, launched.firing_id)


def test_the_past_is_for_those_who_may_operate_and_for_triggers_on_events(house: TriggerHouse) -> None:
    trigger = house.register()
    (launched,) = house.fire(trigger, house.tagged())
    for by in (house.somebody(Role.VIEWER), house.somebody(project="bank"), house.somebody(Role.SCHEDULER)):
        with pytest.raises(Forbidden):
            filled_back(house, by=by)
        with pytest.raises(Forbidden):
            replayed(house, launched.firing_id, by=by)
    operator = house.somebody(Role.OPERATOR, project="shop")
    assert outcomes(filled_back(house, by=operator))[0][1] == "duplicate"
    assert replayed(house, launched.firing_id, by=operator).status == "launched"
    house.register(condition=SCHEDULE, action=FUNCTION)
    with pytest.raises(InvalidRequest, match="waits for times"):
        filled_back(house)
    with pytest.raises(NotFound):
        replayed(house, "0" * 32)


def test_a_firing_is_done_over_with_its_events_by_the_trigger_as_it_is_now(house: TriggerHouse) -> None:
    trigger = house.register()
    event = house.tagged()
    (launched,) = house.fire(trigger, event)
    house.register(action={"kind": "clone", "task": house.reference, "parameters": {DATA: "new ${dataset.id}"}})
    again = replayed(house, launched.firing_id)
    first, second = house.firings(trigger)
    assert (again, second.replay_of, second.events, second.revision) == (second, first.id, (event,), 2)
    assert second.event_key.startswith("replay:")
    assert house.parameters(str(second.task_id))[DATA].startswith("new ")
    third = replayed(house, second.id)
    assert (third.replay_of, third.status) == (second.id, "launched")
    assert len(house.tasks()) == 3
    assert [result.outcome for result in house.fire(house.trigger(trigger.id), event)] == ["duplicate"]


def test_a_failed_firing_that_is_done_over_is_tried_no_more(house: TriggerHouse) -> None:
    trigger = house.register()
    missing = trigger.changed(action=trigger.action.changed(queue="nowhere"))
    house.write(lambda tx: tx.triggers.replace(missing, expected=trigger))
    (failed,) = house.fire(trigger, house.tagged())
    again = replayed(house, failed.firing_id)
    assert (again.status, again.next_try_at is not None) == ("failed", True)
    mended = house.register(dry_run=False)
    assert mended.revision == 2
    assert replayed(house, again.id).status == "launched"
    house.passes(1000)
    house.due()
    statuses = [(firing.status, firing.next_try_at) for firing in house.firings(trigger)]
    assert statuses == [("failed", None), ("failed", None), ("launched", None)]


def test_what_is_still_to_come_is_not_done_over(house: TriggerHouse) -> None:
    trigger = house.register(debounce_seconds=60)
    (collecting,) = house.fire(trigger, house.tagged())
    with pytest.raises(Conflict, match="collecting"):
        replayed(house, collecting.firing_id)
    waiting = house.register(action=FUNCTION)
    (due,) = house.fire(waiting, house.tagged())
    with pytest.raises(Conflict, match="due"):
        replayed(house, due.firing_id)


def test_a_replay_waits_its_turn_like_any_other(house: TriggerHouse) -> None:
    trigger = house.register(max_active=1, when_busy="queue")
    (launched,) = house.fire(trigger, house.tagged())
    again = replayed(house, launched.firing_id)
    assert (again.status, again.task_id) == ("due", None)
    house.run()
    house.due()
    assert house.firings(trigger)[1].status == "launched"


def test_a_time_of_a_schedule_is_done_over_as_that_time(house: TriggerHouse) -> None:
    clone = {"kind": "clone", "task": house.reference, "parameters": {DATA: "${schedule.time}"}}
    trigger = house.register(condition=SCHEDULE, action=clone)
    house.passes(3600)
    house.due()
    (fired,) = house.firings(trigger)
    again = replayed(house, fired.id)
    assert again.occurrence_at == fired.occurrence_at == house.now
    assert house.parameters(str(again.task_id)) == house.parameters(str(fired.task_id))


def test_a_step_that_is_done_over_is_the_one_that_the_chain_goes_on_with(house: TriggerHouse) -> None:
    trigger = house.register(action=chain(house, "prepare", "train", "evaluate"))
    house.fire(trigger, house.tagged())
    house.fire(trigger, ended=(house.run(),))
    house.fire(trigger, ended=(house.run(ExitReason.SCRIPT_FAILED),))
    prepare, train = house.firings(trigger)
    assert (prepare.chain_open, prepare.reason) == (False, "step train failed: no step follows")
    house.register(action=chain(house, "other"))  # the chain goes on as it began
    again = replayed(house, train.id)
    assert (again.step, again.root, again.replay_of, again.revision) == ("train", prepare.id, train.id, 1)
    assert house.parameters(str(again.task_id))[DATA] == prepare.task_id
    house.fire(trigger, ended=(house.run(),))
    evaluate = house.firings(trigger)[-1]
    assert (evaluate.step, evaluate.root) == ("evaluate", prepare.id)
    assert house.parameters(str(evaluate.task_id))[DATA] == f"{prepare.task_id},{again.task_id}"
    house.fire(trigger, ended=(house.run(),))
    assert len(house.firings(trigger)) == 4


def test_a_first_step_that_is_done_over_begins_a_new_chain(house: TriggerHouse) -> None:
    trigger = house.register(action=chain(house, "prepare", "train"))
    house.fire(trigger, house.tagged())
    house.fire(trigger, ended=(house.run(ExitReason.SCRIPT_FAILED),))
    (first,) = house.firings(trigger)
    again = replayed(house, first.id)
    assert (again.step, again.root, again.chain_open) == ("prepare", None, True)
    house.fire(trigger, ended=(house.run(),))
    train = house.firings(trigger)[-1]
    assert (train.step, train.root, task_of(house, train).status) == ("train", again.id, Status.QUEUED)
