"""Triggers and firings."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import AlreadyExists, Conflict, NotFound, StaleRevision
from orchestrator.records.firing import FiringStatus
from orchestrator.records.trigger import TriggerState
from orchestrator.store.testing.records import a_firing, a_trigger, each, moment, new_id

if TYPE_CHECKING:
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Store, Transaction


def _stored(store: Store, **fields: object) -> Trigger:
    trigger = a_trigger(**fields)
    store.write(lambda tx: tx.triggers.add(trigger))
    return trigger


class TriggerContract:
    """One trigger a name, one firing an event."""

    def test_a_trigger_comes_back_as_it_went_in(self, store: Store) -> None:
        trigger = _stored(store, max_active=1, starts_after=7)
        assert store.read(lambda tx: tx.triggers.get(trigger.id)) == trigger
        assert store.write(lambda tx: tx.triggers.get(trigger.id, lock=True)) == trigger
        assert store.read(lambda tx: tx.triggers.by_name(trigger.name)) == trigger
        assert store.read(lambda tx: tx.triggers.by_name("other")) is None
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.triggers.get(new_id()))

    def test_a_name_is_free_again_when_its_trigger_is_removed(self, store: Store) -> None:
        trigger = _stored(store, name="retrain")
        with pytest.raises(AlreadyExists, match="retrain"):
            _stored(store, name="retrain")
        removed = trigger.changed(state=TriggerState.REMOVED)
        store.write(lambda tx: tx.triggers.replace(removed, expected=trigger))
        assert store.read(lambda tx: tx.triggers.by_name("retrain")) is None
        successor = _stored(store, name="retrain")
        assert store.read(lambda tx: tx.triggers.by_name("retrain")) == successor
        assert store.read(lambda tx: tx.triggers.find()) == [successor]
        assert store.read(lambda tx: tx.triggers.find(removed=True)) == [removed, successor]
        assert store.read(lambda tx: tx.triggers.find(removed=True, limit=1)) == [removed]
        assert store.read(lambda tx: tx.triggers.find(removed=True, after=removed.id)) == [successor]

    def test_a_trigger_that_was_edited_meanwhile_is_not_overwritten(self, store: Store) -> None:
        read = _stored(store)
        edited = read.changed(revision=2, max_active=3)
        store.write(lambda tx: tx.triggers.replace(edited, expected=read))
        with pytest.raises(StaleRevision, match="revision 2"):
            store.write(lambda tx: tx.triggers.replace(read.changed(revision=2), expected=read))
        paused = edited.changed(state=TriggerState.PAUSED)
        store.write(lambda tx: tx.triggers.replace(paused, expected=edited))
        with pytest.raises(StaleRevision, match="paused"):
            store.write(lambda tx: tx.triggers.replace(edited.changed(revision=3), expected=edited))
        assert store.read(lambda tx: tx.triggers.get(read.id)) == paused

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

    def test_of_many_schedulers_at_once_one_fires(self, store: Store) -> None:
        trigger = _stored(store)

        def fire(_: int) -> bool:
            return store.write(lambda tx: tx.firings.add(a_firing(trigger, 5)))

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(fire, range(16))) == 1

    def test_a_locked_trigger_is_had_by_one_transaction_at_a_time(self, store: Store) -> None:
        trigger = _stored(store)
        inside: list[int] = []
        most: list[int] = []
        pause = threading.Event()

        def work(tx: Transaction) -> None:
            tx.triggers.get(trigger.id, lock=True)
            inside.append(1)
            most.append(len(inside))
            pause.wait(0.01)
            inside.pop()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: store.write(work), range(8)))
        assert max(most) == 1

    def test_a_firing_that_moved_on_is_not_overwritten(self, store: Store) -> None:
        read = a_firing(_stored(store))
        store.write(lambda tx: tx.firings.add(read))
        failed = read.changed(status=FiringStatus.FAILED, tries=1, reason="no queue", next_try_at=moment(10))
        store.write(lambda tx: tx.firings.replace(failed, expected=read))
        with pytest.raises(Conflict, match="failed"):
            store.write(lambda tx: tx.firings.replace(read, expected=read))
        again = failed.changed(tries=2)
        store.write(lambda tx: tx.firings.replace(again, expected=failed))
        with pytest.raises(Conflict, match="2 tries"):
            store.write(lambda tx: tx.firings.replace(failed, expected=failed))
        assert store.read(lambda tx: tx.firings.get(read.id)) == again

    def test_failed_firings_are_due_in_order(self, store: Store) -> None:
        trigger = _stored(store)
        failed = {"status": FiringStatus.FAILED, "tries": 1}
        late = a_firing(trigger, 1, **failed, next_try_at=moment(20))
        soon = a_firing(trigger, 2, **failed, next_try_at=moment(10))
        never = a_firing(trigger, 3, **failed)
        later = a_firing(trigger, 4, **failed, next_try_at=moment(99))
        launched = a_firing(trigger, 5, status=FiringStatus.LAUNCHED, next_try_at=moment(1))
        firings = (late, soon, never, later, launched)
        store.write(each(firings, lambda tx: tx.firings.add))
        assert store.read(lambda tx: tx.firings.due(now=moment(20))) == [soon, late]
        assert store.read(lambda tx: tx.firings.due(now=moment(20), limit=1)) == [soon]
        assert store.read(lambda tx: tx.firings.find(limit=2)) == [launched, later]
        assert store.read(lambda tx: tx.firings.find(after=soon.id)) == [late]
