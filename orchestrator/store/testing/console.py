"""Console text."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import Conflict
from orchestrator.store.testing.records import a_task

if TYPE_CHECKING:
    from orchestrator.store.protocol import Store


def _a_task_in(store: Store) -> str:
    task = a_task()
    store.write(lambda tx: tx.tasks.add(task))
    return task.id


class ConsoleContract:
    """Every byte once, in order, however often it is sent."""

    def test_text_is_read_from_any_offset(self, store: Store) -> None:
        task = _a_task_in(store)
        assert store.write(lambda tx: tx.console.append(task, 1, 0, b"one\ntwo\n")) == 8
        assert store.write(lambda tx: tx.console.append(task, 1, 8, b"\xff\0three")) == 15
        assert store.write(lambda tx: tx.console.append(task, 2, 0, b"other")) == 5
        read = {
            after: store.read(lambda tx, after=after: tx.console.read(task, 1, after=after, limit=5))  # type: ignore[misc]
            for after in (0, 4, 6, 14, 15, 99)
        }
        assert read == {0: b"one\nt", 4: b"two\n\xff", 6: b"o\n\xff\0t", 14: b"e", 15: b"", 99: b""}
        assert store.read(lambda tx: tx.console.length(task, 1)) == 15
        assert store.read(lambda tx: tx.console.length(task, 3)) == 0

    def test_what_is_there_is_left_as_it_is(self, store: Store) -> None:
        task = _a_task_in(store)
        store.write(lambda tx: tx.console.append(task, 1, 0, b"abcdef"))
        assert store.write(lambda tx: tx.console.append(task, 1, 0, b"abcdef")) == 6
        assert store.write(lambda tx: tx.console.append(task, 1, 2, b"CD")) == 6
        assert store.write(lambda tx: tx.console.append(task, 1, 4, b"EFgh")) == 8
        assert store.read(lambda tx: tx.console.read(task, 1, after=0)) == b"abcdefgh"

    def test_a_gap_is_refused_with_the_length_that_is_there(self, store: Store) -> None:
        task = _a_task_in(store)
        store.write(lambda tx: tx.console.append(task, 1, 0, b"abc"))
        with pytest.raises(Conflict, match="has 3 bytes"):
            store.write(lambda tx: tx.console.append(task, 1, 4, b"e"))

    def test_chunks_of_every_size_make_one_text(self, store: Store) -> None:
        task = _a_task_in(store)
        chance = random.Random(7)  # noqa: S311  a seeded sequence
        text = chance.randbytes(1_500_000)
        end = 0
        while end < len(text):
            size = chance.choice((1, 10, 3000, 5000, 70_000, 600_000))
            start = max(0, end - chance.choice((0, 0, 5)))
            chunk = text[start : end + size]
            end = store.write(
                lambda tx, start=start, chunk=chunk: tx.console.append(task, 1, start, chunk)  # type: ignore[misc]
            )
        assert store.read(lambda tx: tx.console.length(task, 1)) == len(text)
        for _ in range(20):
            after, limit = chance.randrange(len(text)), chance.choice((1, 100, 400_000, 1 << 20))
            found = store.read(
                lambda tx, after=after, limit=limit: tx.console.read(task, 1, after=after, limit=limit)  # type: ignore[misc]
            )
            assert found == text[after : after + limit]

    def test_two_that_send_the_same_text_at_once_store_it_once(self, store: Store) -> None:
        task = _a_task_in(store)
        text = bytes(range(256)) * 40

        def send(size: int) -> None:
            for start in range(0, len(text), size):
                store.write(lambda tx, start=start: tx.console.append(task, 1, start, text[start : start + size]))  # type: ignore[misc]

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(send, (100, 250, 1000, 5000)))
        assert store.read(lambda tx: tx.console.read(task, 1, after=0)) == text
