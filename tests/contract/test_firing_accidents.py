"""What goes wrong with a firing stays with it: it blocks nobody, doubles nothing, and acts on its own events."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import Forbidden, InvalidRequest, StaleClaim
from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission, Role
from orchestrator.records.task import ExitReason
from orchestrator.records.trigger import TriggerState
from orchestrator.services.claim import claim_task
from orchestrator.services.events import advance_cursor
from orchestrator.services.queues import create_queue
from orchestrator.services.testing import DATA, SUBJECT, TriggerHouse
from orchestrator.services.triggers import set_trigger_state
from orchestrator.wire import ClaimTask, CreateQueue, Cursor

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.records.firing import Firing
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Store

GATE: dict[str, Any] = {"checked_at": datetime(2026, 1, 1, tzinfo=UTC).isoformat(), "checks": [], "open": True}
GONE = "gone"


@pytest.fixture
def house(store: Store, tmp_path: Path) -> TriggerHouse:
    made = TriggerHouse(store, tmp_path)
    made.do(create_queue, body=CreateQueue(name=GONE))
    return made


def chain(house: TriggerHouse, *names: str) -> dict[str, object]:
    steps = [{"step": name, "task": house.reference, "parameters": {DATA: "${dataset.id}"}} for name in names]
    return {"kind": "chain", "steps": steps}


def into(house: TriggerHouse, queue: str, action: dict[str, Any], *, step: int) -> dict[str, Any]:
    """Return a chain of which one step goes into another queue."""
    steps = [dict(each) for each in action["steps"]]
    steps[step]["queue"] = queue
    assert house.reference
    return {"kind": "chain", "steps": steps}


def take_queue_away(house: TriggerHouse) -> None:
    house.write(lambda tx: tx._unit._connection.exec_driver_sql("DELETE FROM queues WHERE name = 'gone'"))  # type: ignore[attr-defined]


def statuses(house: TriggerHouse, trigger: Trigger) -> list[str]:
    return [firing.status.value for firing in house.firings(trigger)]


def newest(house: TriggerHouse, trigger: Trigger) -> Firing:
    return house.firings(trigger)[-1]


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("when_busy", ["skip", "queue"])
def test_a_step_that_could_not_start_is_tried_again_as_it_was(house: TriggerHouse, step: int, when_busy: str) -> None:
    action = into(house, GONE, chain(house, "prepare", "train"), step=step)
    trigger = house.register(action=action, max_active=1, when_busy=when_busy)
    take_queue_away(house)
    house.fire(trigger, house.tagged())
    if step == 1:
        house.fire(trigger, ended=(house.run(),))
    assert newest(house, trigger).status == "failed"
    house.do(create_queue, body=CreateQueue(name=GONE))
    house.passes(10)
    house.due()
    launched = newest(house, trigger)
    assert (launched.status, launched.step) == ("launched", ("prepare", "train")[step])
    assert house.parameters(house.task_of(launched).id)[DATA] == SUBJECT


def test_a_step_that_is_gone_from_its_chain_stops_nobody_else(house: TriggerHouse) -> None:
    bad = house.register("bad", action=into(house, GONE, chain(house, "prepare", "train"), step=1))
    other = house.register("other", debounce_seconds=10)
    take_queue_away(house)
    event = house.tagged()
    house.fire(bad, event)
    house.fire(other, event)
    house.fire(bad, ended=(house.run(),))
    house.do(create_queue, body=CreateQueue(name=GONE))
    house.register("bad", action={"kind": "clone", "task": house.reference})
    house.passes(10)
    house.due()
    assert statuses(house, other) == ["launched"]
    # The chain keeps to the revision with which it began.
    assert (newest(house, bad).status, newest(house, bad).step) == ("launched", "train")


def test_a_chain_whose_first_step_never_starts_is_not_at_work(house: TriggerHouse) -> None:
    trigger = house.register(action=into(house, GONE, chain(house, "a", "b"), step=0), max_active=1)
    take_queue_away(house)
    house.fire(trigger, house.tagged())
    for seconds in (10, 20, 40):
        house.passes(seconds)
        house.due()
    (firing,) = house.firings(trigger)
    assert (firing.status, firing.next_try_at, firing.chain_open) == ("failed", None, False)
    assert len(house.told(EventType.TRIGGER_FAILED)) == 2  # the first time, and when it was given up
    house.do(create_queue, body=CreateQueue(name=GONE))
    assert house.fire(trigger, house.tagged())[0].outcome == "launched"


@pytest.mark.parametrize("when_busy", ["skip", "queue"])
def test_a_burst_of_gated_firings_keeps_to_the_limit(house: TriggerHouse, when_busy: str) -> None:
    trigger = house.register(gates={"min_files": 1}, max_active=1, when_busy=when_busy)
    house.fire(trigger, house.tagged(), house.tagged(), house.tagged())
    for piece in house.due().work:
        house.finish(piece.firing.id, gate=GATE)
    for piece in house.due().work:
        house.finish(piece.firing.id, gate=GATE)
    assert len(house.tasks()) == 1
    if when_busy == "queue":
        house.run()
        (piece,) = house.due().work
        house.finish(piece.firing.id, gate=GATE)
        assert len(house.tasks()) == 2


def test_a_gate_report_that_comes_twice_does_not_stand_for_the_action(house: TriggerHouse) -> None:
    action = {"kind": "webhook", "url": "https://example.com/hook"}
    trigger = house.register(action=action, gates={"min_files": 1})
    house.fire(trigger, house.tagged())
    (gates,) = house.due().work
    house.finish(gates.firing.id, gate=GATE)
    (action_work,) = house.due().work
    assert action_work.kind == "action"
    with pytest.raises(StaleClaim):
        house.finish(gates.firing.id, kind="gates", gate=GATE)
    assert house.finish(gates.firing.id, outcome="failed", reason="503").status == "failed"


def test_a_report_about_an_earlier_claim_is_dropped(house: TriggerHouse) -> None:
    trigger = house.register(action={"kind": "function", "function": "f"})
    house.fire(trigger, house.tagged())
    (first,) = house.due(functions=("f",)).work
    house.passes(61)
    (second,) = house.due(functions=("f",)).work
    assert (second.firing.id, second.firing.tries) == (first.firing.id, 1)
    with pytest.raises(StaleClaim):
        house.finish(first.firing.id, tries=0)
    assert house.finish(first.firing.id).status == "launched"


@pytest.mark.parametrize("state", [TriggerState.PAUSED, TriggerState.REMOVED])
@pytest.mark.parametrize("when", ["before it is handed out", "while it is looked at"])
def test_what_is_gated_does_not_launch_when_its_trigger_acts_no_more(
    house: TriggerHouse, state: TriggerState, when: str
) -> None:
    trigger = house.register(gates={"min_files": 1})
    house.fire(trigger, house.tagged())
    work = house.due().work if when == "while it is looked at" else ()
    house.do(set_trigger_state, key=trigger.id, state=state, permission=Permission.EDIT)
    for piece in work:
        house.finish(piece.firing.id, gate=GATE)
    house.due()
    assert statuses(house, trigger) == ["skipped"]
    assert house.tasks() == []


@pytest.mark.parametrize("state", [TriggerState.PAUSED, TriggerState.REMOVED])
def test_a_chain_goes_on_while_its_trigger_is_paused_and_ends_when_it_is_removed(
    house: TriggerHouse, state: TriggerState
) -> None:
    trigger = house.register(action=chain(house, "prepare", "train"))
    house.fire(trigger, house.tagged())
    house.do(set_trigger_state, key=trigger.id, state=state, permission=Permission.EDIT)
    house.fire(trigger, ended=(house.run(),))
    root = house.firings(trigger)[0]
    assert root.chain_open is False
    assert len(house.firings(trigger)) == (2 if state is TriggerState.PAUSED else 1)


@pytest.mark.parametrize("kind", ["clone", "gated clone", "message"])
def test_a_burst_within_a_cooldown_is_one_launch_and_then_another_with_all_the_rest(
    house: TriggerHouse, kind: str
) -> None:
    action: dict[str, object] = {"kind": "clone", "task": house.reference}
    if kind == "message":
        action = {"kind": "message", "to": ["mailto:a@example.com"]}
    gates = {"min_files": 1} if kind == "gated clone" else None
    trigger = house.register(action=action, gates=gates, cooldown_seconds=3600)
    house.fire(trigger, *(house.tagged() for _ in range(5)))

    def serve() -> None:
        for piece in house.due().work:
            house.finish(piece.firing.id, **({"gate": GATE} if piece.kind == "gates" else {}))

    serve()
    for _ in range(5):
        house.passes(60)
        serve()
    assert statuses(house, trigger) == ["launched", "collecting"]
    house.passes(3600)
    serve()
    serve()
    assert statuses(house, trigger) == ["launched", "launched"]
    assert len(house.firings(trigger)[1].events) == 4


def test_launches_that_fail_keep_a_cooldown_when_they_are_tried_again(house: TriggerHouse) -> None:
    action = {"kind": "clone", "task": house.reference, "queue": GONE}
    trigger = house.register(action=action, cooldown_seconds=3600)
    take_queue_away(house)
    house.fire(trigger, *(house.tagged() for _ in range(4)))
    house.do(create_queue, body=CreateQueue(name=GONE))
    house.passes(30)
    house.due()
    house.passes(30)
    house.due()
    assert len(house.tasks()) == 1
    assert statuses(house, trigger) == ["launched", "collecting"]


def test_an_edit_leaves_what_was_not_read_in_one_window(house: TriggerHouse) -> None:
    trigger = house.register(debounce_seconds=600)
    events = [house.tagged() for _ in range(5)]
    house.register(debounce_seconds=600, max_active=1)
    (firing,) = house.firings(trigger)
    assert (firing.status, list(firing.events)) == ("collecting", events)
    house.passes(600)
    house.due()
    assert len(house.tasks()) == 1


def test_a_firing_of_another_kind_of_condition_acts_as_it_was_made(house: TriggerHouse) -> None:
    trigger = house.register()
    house.tagged()
    condition = {"kind": "task", "project": "shop"}
    house.register(condition=condition, action={"kind": "clone", "task": house.reference, "name": "of ${task.id}"})
    house.due()
    (firing,) = house.firings(trigger)
    assert house.parameters(house.task_of(firing).id)[DATA] == SUBJECT
    assert firing.revision == 1


def test_an_older_firing_that_is_tried_again_does_not_replace_a_newer_one(house: TriggerHouse) -> None:
    action = {"kind": "clone", "task": house.reference, "queue": GONE}
    trigger = house.register(action=action, max_active=1, when_busy="replace")
    take_queue_away(house)
    house.fire(trigger, house.tagged())
    house.do(create_queue, body=CreateQueue(name=GONE))
    house.fire(trigger, house.tagged())
    house.passes(10)
    house.due()
    older, newer = house.firings(trigger)
    assert (older.status, newer.status) == ("skipped", "launched")
    assert newer.id in (older.reason or "")
    assert [task.status for task in house.tasks()] == ["queued"]


def test_only_ends_of_tasks_close_a_chain_and_only_for_those_who_may(house: TriggerHouse) -> None:
    trigger = house.register(action=chain(house, "prepare", "train"))
    house.fire(trigger, house.tagged())
    (queued,) = house.told(EventType.TASK_QUEUED)
    house.fire(trigger, ended=(queued.id,))
    assert house.firings(trigger)[0].chain_open
    ended = house.run()
    stranger = house.admin.changed(project="elsewhere")
    house.fire(trigger, ended=(ended,), by=stranger)
    assert len(house.firings(trigger)) == 1
    house.fire(trigger, ended=(ended, ended))
    assert statuses(house, trigger) == ["launched", "launched"]
    assert house.told(EventType.TRIGGER_FAILED) == []


def test_the_place_of_schedulers_is_not_moved_past_the_log_nor_by_strangers(house: TriggerHouse) -> None:
    with pytest.raises(InvalidRequest, match="newest"):
        house.do(advance_cursor, name="scheduler", body=Cursor(event=2**60))
    newest_event = house.tagged()
    stranger = house.somebody(Role.EDITOR, project="elsewhere")
    with pytest.raises(Forbidden, match="another project"):
        house.do(advance_cursor, by=stranger, name="scheduler", body=Cursor(event=newest_event))
    assert house.do(advance_cursor, name="scheduler", body=Cursor(event=newest_event)).event == newest_event


def test_no_event_is_lost_to_an_edit_while_others_tag(house: TriggerHouse) -> None:
    trigger = house.register()
    done = threading.Event()

    def tag() -> int:
        count = 0
        while not done.is_set():
            house.tagged()
            count += 1
        return count

    with ThreadPoolExecutor(3) as people:
        counts = [people.submit(tag) for _ in range(3)]
        for number in range(12):
            trigger = house.register(max_active=1000 + number)
            done.wait(0.02)
        done.set()
        total = sum(count.result() for count in counts)
    tags = [
        event.id
        for event in house.store.read(lambda tx: tx.events.after(0, limit=100_000))
        if event.type is EventType.DATASET_TAGGED
    ]
    assert len(tags) == total
    for start in range(0, len(tags), 100):
        house.fire(trigger, *tags[start : start + 100])
    made = house.store.read(lambda tx: tx.firings.find(trigger_id=trigger.id, limit=100_000))
    assert sorted(event for firing in made for event in firing.events) == tags


def test_a_dry_run_records_what_it_would_have_done(house: TriggerHouse) -> None:
    trigger = house.register(dry_run=True)
    house.fire(trigger, house.tagged())
    (firing,) = house.firings(trigger)
    assert firing.status == "skipped"
    assert f"{DATA}={SUBJECT}" in (firing.reason or "")
    assert "queue 'default'" in (firing.reason or "")


def test_a_task_that_is_stopped_and_has_ended_stops_nobody(house: TriggerHouse) -> None:
    trigger = house.register(max_active=1, when_busy="replace")
    house.fire(trigger, house.tagged())
    house.run(ExitReason.COMPLETED)
    assert house.fire(trigger, house.tagged())[0].outcome == "launched"
    assert house.do(claim_task, agent_id=house.agent, body=ClaimTask(slot="s"), settings=house.settings) is not None
