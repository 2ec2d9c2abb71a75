"""Firings, and which events they stand for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import Conflict, NotFound
from orchestrator.records.firing import FiringStatus
from orchestrator.records.gate import Check, GateReport
from orchestrator.records.lifecycle import Status
from orchestrator.store.testing.records import a_firing, a_task, a_trigger, each, moment, new_id

if TYPE_CHECKING:
    from orchestrator.records.firing import Firing
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Store

_FAILED = {"status": FiringStatus.FAILED, "tries": 1}


def _stored(store: Store, **fields: object) -> Trigger:
    trigger = a_trigger(**fields)
    store.write(lambda tx: tx.triggers.add(trigger))
    return trigger


def _fired(store: Store, trigger: Trigger, *events: int, **fields: object) -> list[Firing]:
    firings = [a_firing(trigger, event, **fields) for event in events]
    store.write(lambda tx: tx.firings.add_all(firings))
    return firings


def _launched(store: Store, trigger: Trigger, event: int, *, task: Status, **fields: object) -> Firing:
    """Store a firing and the task that it made."""
    (firing,) = _fired(store, trigger, event, status=FiringStatus.LAUNCHED, **fields)
    store.write(lambda tx: tx.tasks.add(a_task(firing=firing.id, status=task)))
    return firing


def _replaced(store: Store, firing: Firing, **fields: object) -> Firing:
    changed = firing.changed(**fields)
    store.write(lambda tx: tx.firings.replace(changed, expected=firing))
    return changed


def _at_work(store: Store, trigger: Trigger) -> int:
    return store.read(lambda tx: tx.firings.at_work(trigger.id))


class FiringContract:
    """One firing an event, whatever becomes of it."""

    def test_an_event_fires_a_trigger_once(self, store: Store) -> None:
        trigger, other = _stored(store), _stored(store)
        firing = a_firing(trigger, 5)
        assert store.write(lambda tx: tx.firings.add(firing))
        assert not store.write(lambda tx: tx.firings.add(a_firing(trigger, 5)))
        assert store.write(lambda tx: tx.firings.add(a_firing(other, 5)))
        assert store.read(lambda tx: tx.firings.get(firing.id)) == firing
        assert store.read(lambda tx: tx.firings.of_event(trigger.id, "5")) == firing
        assert store.read(lambda tx: tx.firings.of_event(trigger.id, "6")) is None
        assert store.read(lambda tx: tx.firings.find(trigger_id=trigger.id)) == [firing]
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.firings.get(new_id()))

    def test_every_part_of_a_firing_is_kept(self, store: Store) -> None:
        check = Check(name="max_psi of CO2", value=0.31, bound=0.2, passed=False, reason="It is 0.31.")
        full = a_firing(
            _stored(store),
            event_key="step:x:train",
            events=(3, 5, 2**53),
            occurrence_at=moment(1),
            status=FiringStatus.GATING,
            step="train",
            root=new_id(),
            chain_open=True,
            replay_of=new_id(),
            task_id=new_id(),
            reason="é",
            gate=GateReport(open=False, checks=(check,), dataset=new_id(), reference=None, checked_at=moment(2)),
            result={"status": 200, "answer": None},
            due_at=moment(3),
            claimed_by="scheduler",
            claimed_until=moment(4.000001),
            tries=7,
            next_try_at=moment(5),
        )
        store.write(lambda tx: tx.firings.add(full))
        assert store.read(lambda tx: tx.firings.get(full.id)) == full
        plain = _replaced(store, full, gate=None, result=None, claimed_by=None, claimed_until=None, chain_open=False)
        assert store.read(lambda tx: tx.firings.get(full.id)) == plain

    def test_of_many_schedulers_at_once_one_fires(self, store: Store) -> None:
        trigger = _stored(store)

        def fire(_: int) -> bool:
            return store.write(lambda tx: tx.firings.add(a_firing(trigger, 5)))

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(fire, range(16))) == 1

    def test_of_many_that_are_stored_together_none_is_where_one_was_there(self, store: Store) -> None:
        trigger, other = _stored(store), _stored(store)
        _fired(store, trigger, 1)
        fine = [a_firing(trigger, 2), a_firing(other, 1)]
        with pytest.raises(Conflict):
            store.write(lambda tx: tx.firings.add_all([*fine, a_firing(trigger, 1)]))
        assert store.read(lambda tx: tx.firings.of_event(trigger.id, "2")) is None
        store.write(lambda tx: tx.firings.add_all(fine))
        store.write(lambda tx: tx.firings.add_all([]))
        assert store.read(lambda tx: tx.firings.of_event(other.id, "1")) == fine[1]
        assert len(store.read(lambda tx: tx.firings.find())) == 3

    def test_a_firing_that_collects_is_the_one_of_each_of_its_events(self, store: Store) -> None:
        trigger, other = _stored(store), _stored(store)
        (first,) = _fired(store, trigger, 1)
        (taken,) = _fired(store, trigger, 9)
        (others,) = _fired(store, other, 2)
        assert store.write(lambda tx: tx.firings.join(first, "2"))
        assert not store.write(lambda tx: tx.firings.join(first, "2"))
        assert not store.write(lambda tx: tx.firings.join(first, "9"))
        assert store.read(lambda tx: tx.firings.of_event(trigger.id, "2")) == first
        assert store.read(lambda tx: tx.firings.of_event(trigger.id, "9")) == taken
        assert not store.write(lambda tx: tx.firings.add(a_firing(trigger, 2)))
        wanted = [(trigger.id, "1"), (trigger.id, "2"), (trigger.id, "3"), (other.id, "2"), (other.id, "1")]
        found = store.read(lambda tx: tx.firings.of_events(wanted))
        assert found == {(trigger.id, "1"): first, (trigger.id, "2"): first, (other.id, "2"): others}
        assert store.read(lambda tx: tx.firings.of_events([])) == {}
        assert store.read(lambda tx: tx.firings.with_event("2")) == [first, others]
        assert store.read(lambda tx: tx.firings.with_event("3")) == []

    def test_very_many_events_are_looked_up_at_once(self, store: Store) -> None:
        trigger = _stored(store)
        (last,) = _fired(store, trigger, 12_000)
        keys = [(trigger.id, str(number)) for number in range(1, 12_001)]
        assert store.read(lambda tx: tx.firings.of_events(keys)) == {keys[-1]: last}

    def test_a_firing_that_moved_on_is_not_overwritten(self, store: Store) -> None:
        (read,) = _fired(store, _stored(store), 1)
        failed = _replaced(store, read, status=FiringStatus.FAILED, tries=1, reason="no queue", next_try_at=moment(10))
        with pytest.raises(Conflict, match="failed"):
            _replaced(store, read)
        again = _replaced(store, failed, tries=2)
        with pytest.raises(Conflict, match="2 tries"):
            _replaced(store, failed)
        assert store.read(lambda tx: tx.firings.get(read.id)) == again

    def test_of_two_schedulers_one_claims_a_firing(self, store: Store) -> None:
        (read,) = _fired(store, _stored(store), 1)
        claimed = _replaced(store, read, claimed_by="one", claimed_until=moment(60))
        with pytest.raises(Conflict):
            _replaced(store, read, claimed_by="two", claimed_until=moment(60))
        taken_over = _replaced(store, claimed, claimed_by="two", claimed_until=moment(120))
        with pytest.raises(Conflict):
            _replaced(store, claimed, status=FiringStatus.LAUNCHED)
        released = _replaced(store, taken_over, claimed_by=None, claimed_until=None)
        assert store.read(lambda tx: tx.firings.get(read.id)) == released

    def test_firings_are_found_by_trigger_and_status_in_either_order(self, store: Store) -> None:
        trigger, other = _stored(store), _stored(store)
        one, two, three = _fired(store, trigger, 1, 2, 3)
        (failed,) = _fired(store, trigger, 4, **_FAILED)
        (foreign,) = _fired(store, other, 1, **_FAILED)

        def found(**filters: object) -> list[Firing]:
            return store.read(lambda tx: tx.firings.find(**filters))  # type: ignore[arg-type]

        assert found(limit=2) == [foreign, failed]
        assert found(after=three.id) == [two, one]
        assert found(trigger_id=trigger.id, oldest_first=True, limit=2) == [one, two]
        assert found(trigger_id=trigger.id, oldest_first=True, after=two.id) == [three, failed]
        assert found(statuses=[FiringStatus.FAILED]) == [foreign, failed]
        assert found(statuses=["failed", "due"], trigger_id=trigger.id) == [failed, three, two, one]
        assert found(statuses=["blocked"]) == []

    def test_the_firing_whose_window_is_open_is_known(self, store: Store) -> None:
        trigger, other = _stored(store), _stored(store)
        _fired(store, trigger, 1, 2)
        _fired(store, other, 1, status=FiringStatus.COLLECTING, due_at=moment(5))
        assert store.read(lambda tx: tx.firings.collecting(trigger.id)) is None
        (open_one,) = _fired(store, trigger, 3, status=FiringStatus.COLLECTING, due_at=moment(10))
        assert store.read(lambda tx: tx.firings.collecting(trigger.id)) == open_one
        _replaced(store, open_one, status=FiringStatus.DUE, due_at=None)
        assert store.read(lambda tx: tx.firings.collecting(trigger.id)) is None

    def test_failures_and_windows_are_due_in_the_order_of_their_times(self, store: Store) -> None:
        trigger = _stored(store)
        late = a_firing(trigger, 1, **_FAILED, next_try_at=moment(20))
        soon = a_firing(trigger, 2, **_FAILED, next_try_at=moment(10))
        never = a_firing(trigger, 3, **_FAILED)
        later = a_firing(trigger, 4, **_FAILED, next_try_at=moment(99))
        launched = a_firing(trigger, 5, status=FiringStatus.LAUNCHED, next_try_at=moment(1), due_at=moment(1))
        closing = a_firing(trigger, 6, status=FiringStatus.COLLECTING, due_at=moment(15))
        waiting = a_firing(trigger, 7, status=FiringStatus.DUE, due_at=moment(1))
        firings = (late, soon, never, later, launched, closing, waiting)
        store.write(each(firings, lambda tx: tx.firings.add))
        assert store.read(lambda tx: tx.firings.due(now=moment(9.999))) == []
        assert store.read(lambda tx: tx.firings.due(now=moment(20))) == [soon, closing, late]
        assert store.read(lambda tx: tx.firings.due(now=moment(20), limit=1)) == [soon]

    def test_the_next_time_is_that_of_a_window_a_failure_or_a_claim(self, store: Store) -> None:
        def next_due_at() -> object:
            return store.read(lambda tx: tx.firings.next_due_at())

        trigger = _stored(store)
        assert next_due_at() is None
        claim = {"claimed_by": "s", "claimed_until": moment(1)}
        _fired(store, trigger, 1, status=FiringStatus.LAUNCHED, next_try_at=moment(1), due_at=moment(1), **claim)
        _fired(store, trigger, 2)
        assert next_due_at() is None
        (failed,) = _fired(store, trigger, 3, **_FAILED, next_try_at=moment(30))
        assert next_due_at() == moment(30)
        (closing,) = _fired(store, trigger, 4, status=FiringStatus.COLLECTING, due_at=moment(20))
        assert next_due_at() == moment(20)
        (claimed,) = _fired(store, trigger, 5, status=FiringStatus.GATING, claimed_by="s", claimed_until=moment(10))
        assert next_due_at() == moment(10)
        _replaced(store, claimed, status=FiringStatus.LAUNCHED)
        _replaced(store, closing, status=FiringStatus.SKIPPED, due_at=None)
        assert next_due_at() == moment(30)
        _replaced(store, failed, next_try_at=None)
        assert next_due_at() is None

    def test_those_in_line_are_returned_oldest_first_and_a_long_line_hides_no_other(self, store: Store) -> None:
        long, short = _stored(store), _stored(store)
        in_line = _fired(store, long, *range(1, 31))
        (gated,) = _fired(store, short, 1, status=FiringStatus.GATING)
        for status in (FiringStatus.COLLECTING, FiringStatus.LAUNCHED, FiringStatus.FAILED, FiringStatus.BLOCKED):
            _fired(store, _stored(store), 1, status=status)
        assert store.read(lambda tx: tx.firings.waiting()) == [*in_line[:20], gated]
        assert store.read(lambda tx: tx.firings.waiting(of_each=2)) == [*in_line[:2], gated]
        assert store.read(lambda tx: tx.firings.waiting(of_each=2, limit=1)) == in_line[:1]

    def test_firings_whose_tasks_are_queued_or_run_are_at_work(self, store: Store) -> None:
        trigger, other = _stored(store), _stored(store)
        for number, status in enumerate(Status):
            _launched(store, trigger, number, task=status)
        active = store.read(lambda tx: tx.firings.active_tasks(trigger.id))
        statuses = [store.read(lambda tx, it=it: tx.tasks.get(it)).status for it in active]  # type: ignore[misc]
        assert statuses == [Status.QUEUED, Status.IN_PROGRESS]
        assert _at_work(store, trigger) == 2
        assert _at_work(store, other) == 0
        assert store.read(lambda tx: tx.firings.active_tasks(other.id)) == []

    def test_those_that_are_gated_or_performed_are_at_work_and_those_in_line_are_not(self, store: Store) -> None:
        trigger = _stored(store)
        first, second, third = _fired(store, trigger, 1, 2, 3)
        _fired(store, trigger, 4, status=FiringStatus.COLLECTING)
        _fired(store, trigger, 5, status=FiringStatus.BLOCKED)
        _fired(store, trigger, 6, **_FAILED)
        assert _at_work(store, trigger) == 0
        claimed = _replaced(store, first, claimed_by="s", claimed_until=moment(60))
        _replaced(store, second, status=FiringStatus.GATING)
        assert _at_work(store, trigger) == 2
        _replaced(store, claimed, status=FiringStatus.LAUNCHED)
        assert _at_work(store, trigger) == 1
        assert store.read(lambda tx: tx.firings.get(third.id)) == third

    def test_a_chain_is_at_work_once_from_its_first_step_to_its_last(self, store: Store) -> None:
        trigger = _stored(store)
        root = _launched(store, trigger, 1, task=Status.COMPLETED, step="one", chain_open=True)
        assert _at_work(store, trigger) == 1
        assert store.read(lambda tx: tx.firings.open_chains(trigger.id)) == [root]
        later = {"step": "two", "root": root.id, "event_key": f"step:{root.id}:two"}
        _launched(store, trigger, 2, task=Status.QUEUED, **later)
        assert _at_work(store, trigger) == 1
        _replaced(store, root, chain_open=False)
        assert _at_work(store, trigger) == 1  # the last step's task is queued still
        assert store.read(lambda tx: tx.firings.open_chains(trigger.id)) == []
        _launched(store, trigger, 3, task=Status.QUEUED)
        assert _at_work(store, trigger) == 2

    def test_tasks_that_run_longer_than_their_trigger_lets_them_are_overdue(self, store: Store) -> None:
        limited, free = _stored(store, limit_execution_seconds=10), _stored(store)

        def running(trigger: Trigger, event: int, **fields: object) -> str:
            (firing,) = _fired(store, trigger, event, status=FiringStatus.LAUNCHED)
            task = a_task(firing=firing.id, status=Status.IN_PROGRESS, attempt=1, **fields)
            store.write(lambda tx: tx.tasks.add(task))
            return task.id

        assert store.read(lambda tx: tx.firings.next_overdue_at()) is None
        late, early = running(limited, 1, started_at=moment(5)), running(limited, 2, started_at=moment(1))
        running(limited, 3, started_at=moment(0), stop_requested_at=moment(3))
        running(free, 1, started_at=moment(0))
        store.write(lambda tx: tx.tasks.add(a_task(status=Status.IN_PROGRESS, attempt=1, started_at=moment(0))))
        _launched(store, limited, 4, task=Status.QUEUED)
        assert store.read(lambda tx: tx.firings.next_overdue_at()) == moment(11)
        assert store.read(lambda tx: tx.firings.overdue_tasks(now=moment(10.9))) == []
        assert store.read(lambda tx: tx.firings.overdue_tasks(now=moment(15))) == [early, late]
        assert store.read(lambda tx: tx.firings.overdue_tasks(now=moment(99), limit=1)) == [early]
