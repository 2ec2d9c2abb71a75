"""What holds for every unit of work."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import Conflict, NotFound
from orchestrator.store.testing.records import a_queue, a_task, an_event

if TYPE_CHECKING:
    from orchestrator.store.protocol import Store, Transaction


class UnitContract:
    """Atomic, isolated, durable; parts of a unit can fail alone."""

    def test_a_unit_that_raises_writes_nothing(self, store: Store) -> None:
        task = a_task()

        def work(tx: Transaction) -> None:
            tx.tasks.add(task)
            tx.events.append(an_event())
            raise KeyError("some bug")

        with pytest.raises(KeyError, match="some bug"):
            store.write(work)
        assert store.read(lambda tx: tx.tasks.find()) == []
        assert store.read(lambda tx: tx.events.last_id()) == 0

    def test_a_failing_unit_leaves_those_beside_it_alone(self, store: Store) -> None:
        tasks = [a_task() for _ in range(40)]
        gate = threading.Barrier(8)

        def submit(place: int) -> bool:
            gate.wait()
            results = []
            for number in range(place, len(tasks), 8):

                def work(tx: Transaction, number: int = number) -> None:
                    tx.tasks.add(tasks[number])
                    if number % 3 == 0:
                        raise Conflict("not this one")

                try:
                    store.write(work)
                    results.append(number % 3 != 0)
                except Conflict:
                    results.append(number % 3 == 0)
            return all(results)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(submit, range(8)))
        stored = {task.id for task in store.read(lambda tx: tx.tasks.find())}
        assert stored == {task.id for number, task in enumerate(tasks) if number % 3}

    def test_a_savepoint_undoes_only_its_own_part(self, store: Store) -> None:
        kept, lost = a_task(), a_task()

        def failing(tx: Transaction) -> None:
            tx.tasks.add(lost)
            tx.events.append(an_event(subject=lost.id))
            raise Conflict("undo this")

        def work(tx: Transaction) -> None:
            tx.tasks.add(kept)
            tx.events.append(an_event(subject=kept.id))
            with pytest.raises(Conflict, match="undo this"):
                tx.savepoint(lambda: failing(tx))

        store.write(work)
        assert [task.id for task in store.read(lambda tx: tx.tasks.find())] == [kept.id]
        assert [event.subject for event in store.read(lambda tx: tx.events.after(0))] == [kept.id]

    def test_a_refused_row_leaves_the_transaction_usable(self, store: Store) -> None:
        def work(tx: Transaction) -> None:
            tx.queues.add(a_queue("gpu"))
            with pytest.raises(Conflict):
                tx.queues.add(a_queue("gpu"))
            tx.queues.add(a_queue("default"))

        store.write(work)
        assert [queue.name for queue in store.read(lambda tx: tx.queues.all())] == ["default", "gpu"]

    def test_a_reader_sees_one_moment_however_long_it_looks(self, store: Store) -> None:
        store.write(lambda tx: tx.tasks.add(a_task()))

        def work(tx: Transaction) -> tuple[int, int]:
            before = len(tx.tasks.find())
            store.write(lambda other: other.tasks.add(a_task()))
            return before, len(tx.tasks.find())

        assert store.read(work) == (1, 1)
        assert len(store.read(lambda tx: tx.tasks.find())) == 2

    def test_time_stands_still_within_a_unit_and_is_in_utc(self, store: Store) -> None:
        first, again = store.write(lambda tx: (tx.now(), tx.now()))
        assert first == again
        assert first.utcoffset() == timedelta(0)
        assert store.read(lambda tx: tx.now()) >= first

    def test_a_child_of_nothing_is_not_found(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.write(lambda tx: tx.series.append("0" * 32, 1, "w", 0, []))
        with pytest.raises(NotFound):
            store.write(lambda tx: tx.console.append("0" * 32, 1, 0, b"text"))

    def test_a_duty_is_had_by_whoever_asks_alone(self, store: Store) -> None:
        assert store.write(lambda tx: tx.claim_duty("sweep"))
        assert store.write(lambda tx: tx.claim_duty("sweep"))

    def test_what_is_held_is_held_alone_until_it_is_let_go(self, store: Store) -> None:
        with store.hold("one") as held, store.hold("one", wait=False) as again, store.hold("other") as other:
            assert (held, again, other) == (True, False, True)
            assert store.write(lambda tx: tx.setting("none")) is None  # units of work go on
        with store.hold("one", wait=False) as held:
            assert held

    def test_who_waits_for_what_is_held_gets_it_next(self, store: Store) -> None:
        order: list[str] = []

        def wait() -> None:
            with store.hold("one"):
                order.append("then")

        waiting = threading.Thread(target=wait)
        with store.hold("one"):
            waiting.start()
            waiting.join(0.1)
            order.append("first")
        waiting.join(5)
        assert order == ["first", "then"]
