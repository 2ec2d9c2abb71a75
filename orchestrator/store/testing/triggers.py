"""Triggers and their revisions."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import AlreadyExists, NotFound, StaleRevision
from orchestrator.records.action import ChainAction, Step, WebhookAction
from orchestrator.records.condition import MetricBound, ModelCondition, ScheduleCondition, TaskCondition
from orchestrator.records.gate import ColumnBounds, Gates
from orchestrator.records.trigger import TriggerState
from orchestrator.store.testing.records import a_trigger, moment, new_id

if TYPE_CHECKING:
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Store, Transaction


def _stored(store: Store, **fields: object) -> Trigger:
    trigger = a_trigger(**fields)
    store.write(lambda tx: tx.triggers.add(trigger))
    return trigger


def _replaced(store: Store, trigger: Trigger, **fields: object) -> Trigger:
    changed = trigger.changed(**fields)
    store.write(lambda tx: tx.triggers.replace(changed, expected=trigger))
    return changed


def _bound(threshold: float = 0.0, **fields: object) -> MetricBound:
    return MetricBound.model_validate({"title": "loss", "series": "validation", "threshold": threshold} | fields)


def _watched(store: Store, *names: tuple[str, str]) -> set[MetricBound]:
    found = store.read(lambda tx: tx.triggers.watched_metrics(names or [("loss", "validation")]))
    assert len(found) == len(set(found))
    return set(found)


class TriggerContract:
    """One trigger a name, and each revision as it was."""

    def test_a_trigger_comes_back_as_it_went_in(self, store: Store) -> None:
        trigger = _stored(store, max_active=1, starts_after=7)
        assert store.read(lambda tx: tx.triggers.get(trigger.id)) == trigger
        assert store.write(lambda tx: tx.triggers.get(trigger.id, lock=True)) == trigger
        assert store.read(lambda tx: tx.triggers.by_name(trigger.name)) == trigger
        assert store.read(lambda tx: tx.triggers.by_name("other")) is None
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.triggers.get(new_id()))

    def test_every_part_of_a_trigger_is_kept(self, store: Store) -> None:
        steps = tuple(Step(step=name, task=new_id(), parameters={"A/é": "${dataset.id}"}) for name in ("one", "two"))
        gates = Gates(min_rows=10, columns={"CO2": ColumnBounds(max_psi=0.25)}, reference=new_id())
        full = _stored(
            store,
            action=ChainAction(steps=steps),
            gates=gates,
            max_active=2,
            when_busy="replace",
            debounce_seconds=0.1,
            debounce_max_seconds=1e9,
            cooldown_seconds=3,
            limit_execution_seconds=4.5,
            dry_run=True,
            group="file",
            scheduled_at=moment(1),
            last_occurrence_at=moment(2.000001),
            next_occurrence_at=moment(3),
            last_launch_at=moment(4),
        )
        hook = WebhookAction(url="https://example.com/x", body={"a": [None, True, 1.5, "é"]})
        other = _stored(store, condition=ModelCondition(on_aliases=("production",)), action=hook)
        assert store.read(lambda tx: tx.triggers.get(full.id)) == full
        assert store.read(lambda tx: tx.triggers.get(other.id)) == other

    def test_a_name_is_free_again_when_its_trigger_is_removed(self, store: Store) -> None:
        trigger = _stored(store, name="retrain")
        with pytest.raises(AlreadyExists, match="retrain"):
            _stored(store, name="retrain")
        removed = _replaced(store, trigger, state=TriggerState.REMOVED)
        assert store.read(lambda tx: tx.triggers.by_name("retrain")) is None
        successor = _stored(store, name="retrain")
        assert store.read(lambda tx: tx.triggers.by_name("retrain")) == successor
        assert store.read(lambda tx: tx.triggers.find()) == [successor]
        assert store.read(lambda tx: tx.triggers.find(removed=True)) == [removed, successor]
        assert store.read(lambda tx: tx.triggers.find(removed=True, limit=1)) == [removed]
        assert store.read(lambda tx: tx.triggers.find(removed=True, after=removed.id)) == [successor]

    def test_triggers_are_found_by_their_ids_and_by_their_group(self, store: Store) -> None:
        alone, one, other, gone = (_stored(store, group=group) for group in (None, "a", "b", "a"))
        removed = _replaced(store, gone, state=TriggerState.REMOVED)

        def found(**filters: object) -> list[Trigger]:
            return store.read(lambda tx: tx.triggers.find(**filters))  # type: ignore[arg-type]

        assert found(group="a") == [one]
        assert found(group="a", removed=True) == [one, removed]
        assert found(group="c") == found(ids=[]) == []
        wanted = [other.id, gone.id, alone.id, new_id()]
        assert found(ids=wanted) == [alone, other]
        assert found(ids=wanted, removed=True, after=alone.id) == [other, removed]
        assert found(ids=wanted, group="b") == [other]

    def test_a_trigger_that_was_edited_meanwhile_is_not_overwritten(self, store: Store) -> None:
        read = _stored(store)
        edited = _replaced(store, read, revision=2, max_active=3)
        with pytest.raises(StaleRevision, match="revision 2"):
            _replaced(store, read, revision=2)
        paused = _replaced(store, edited, state=TriggerState.PAUSED)
        with pytest.raises(StaleRevision, match="paused"):
            _replaced(store, edited, revision=3)
        assert store.read(lambda tx: tx.triggers.get(read.id)) == paused

    def test_a_revision_is_as_it_was_registered_with_the_present_state_and_times(self, store: Store) -> None:
        first = _stored(store, max_active=1)
        second = _replaced(store, first, revision=2, max_active=2, changed_at=moment(5), created_by=new_id())
        present = {"state": TriggerState.PAUSED, "last_launch_at": moment(9), "next_occurrence_at": moment(10)}
        _replaced(store, second, **present)

        def revision(number: int) -> Trigger:
            return store.read(lambda tx: tx.triggers.revision(first.id, number))

        assert revision(1) == first.changed(**present)
        assert revision(2) == second.changed(**present)
        with pytest.raises(NotFound, match="revision 3"):
            revision(3)
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.triggers.revision(new_id(), 1))

    def test_a_locked_trigger_is_had_by_one_transaction_at_a_time(self, store: Store) -> None:
        trigger, other = _stored(store), _stored(store)
        inside: list[int] = []
        most: list[int] = []
        pause = threading.Event()

        def work(tx: Transaction, *, number: int) -> None:
            if number % 2:
                tx.triggers.get(trigger.id, lock=True)
            else:
                tx.triggers.lock_all([other.id, trigger.id])
            inside.append(1)
            most.append(len(inside))
            pause.wait(0.01)
            inside.pop()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: store.write(partial(work, number=number)), range(8)))
        assert max(most) == 1

    def test_whoever_locks_the_same_triggers_in_another_order_waits_and_reads_what_was_written(
        self, store: Store
    ) -> None:
        ids = [_stored(store, starts_after=0).id for _ in range(3)]

        def count(tx: Transaction, *, order: list[str]) -> list[str]:
            locked = tx.triggers.lock_all([*order, order[0], new_id()])
            for trigger in locked.values():
                tx.triggers.replace(trigger.changed(starts_after=trigger.starts_after + 1), expected=trigger)
            return list(locked)

        with ThreadPoolExecutor(4) as pool:
            orders = [ids, ids[::-1]] * 10
            locked = list(pool.map(lambda order: store.write(partial(count, order=order)), orders))
        assert locked == [ids] * 20
        assert [each.starts_after for each in store.read(lambda tx: tx.triggers.find(ids=ids))] == [20] * 3
        assert store.write(lambda tx: tx.triggers.lock_all([])) == {}

    def test_of_many_who_register_under_one_name_each_sees_what_the_one_before_did(self, store: Store) -> None:
        def register(tx: Transaction) -> str:
            tx.triggers.lock_names()
            present = tx.triggers.by_name("retrain")
            if present is None:
                present = a_trigger(name="retrain")
                tx.triggers.add(present)
            return present.id

        with ThreadPoolExecutor(6) as pool:
            assert len(set(pool.map(lambda _: store.write(register), range(12)))) == 1

    def test_schedules_are_due_by_their_next_time(self, store: Store) -> None:
        condition = ScheduleCondition(every_seconds=60)
        late, soon, never, removed, paused = (
            _stored(store, condition=condition, next_occurrence_at=at)
            for at in (moment(20), moment(10), None, moment(1), moment(15))
        )
        _replaced(store, removed, state=TriggerState.REMOVED)
        paused = _replaced(store, paused, state=TriggerState.PAUSED)
        assert store.read(lambda tx: tx.triggers.due(now=moment(9.999))) == []
        assert store.read(lambda tx: tx.triggers.due(now=moment(15))) == [soon, paused]
        assert store.read(lambda tx: tx.triggers.due(now=moment(99))) == [soon, paused, late]
        assert store.read(lambda tx: tx.triggers.due(now=moment(99), limit=1)) == [soon]
        assert store.read(lambda tx: tx.triggers.next_due_at()) == moment(10)
        _replaced(store, soon, last_occurrence_at=moment(10), next_occurrence_at=moment(70))
        assert store.read(lambda tx: tx.triggers.next_due_at()) == moment(15)
        assert never.id not in {trigger.id for trigger in store.read(lambda tx: tx.triggers.due(now=moment(1e6)))}

    def test_without_a_schedule_nothing_is_due(self, store: Store) -> None:
        _stored(store)
        assert store.read(lambda tx: tx.triggers.due(now=moment(1e6))) == []
        assert store.read(lambda tx: tx.triggers.next_due_at()) is None

    def test_series_that_triggers_wait_for_are_known_until_they_wait_no_more(self, store: Store) -> None:
        zero, high, below = _bound(), _bound(0.9), _bound(sign="below")
        other = _bound(title="accuracy")
        first = _stored(store, condition=TaskCondition(metric=zero))
        second = _stored(store, condition=TaskCondition(project="p", metric=zero))
        third = _stored(store, condition=TaskCondition(metric=below))
        _stored(store, condition=TaskCondition(metric=other))
        _stored(store, condition=TaskCondition())
        assert _watched(store) == {zero, below}
        assert _watched(store, ("loss", "validation"), ("accuracy", "validation"), ("x", "y")) == {zero, below, other}
        assert _watched(store, ("validation", "loss")) == set()
        assert store.read(lambda tx: tx.triggers.watched_metrics([])) == []
        edited = _replaced(store, first, revision=2, condition=TaskCondition(metric=high))
        assert _watched(store) == {zero, below, high}
        _replaced(store, third, state=TriggerState.PAUSED)
        assert _watched(store) == {zero, below, high}
        _replaced(store, second, state=TriggerState.REMOVED)
        _replaced(store, edited, revision=3, condition=TaskCondition())
        assert _watched(store) == {below}
