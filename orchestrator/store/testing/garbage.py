"""How blobs that nothing needs are removed, and how none that is needed is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import AlreadyExists, Conflict
from orchestrator.records.blob import PACKED_BYTES, PlacedAt, StoredObject
from orchestrator.store.testing.records import a_pack, blob

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orchestrator.records.blob import ObjectUse
    from orchestrator.store.protocol import Store, Transaction

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)


class GarbageContract:
    """Condemned, revived, removed, moved."""

    def test_a_blob_is_removed_when_it_was_condemned_long_enough(self, store: Store) -> None:
        now = _filled(store, 1, 2, 3)
        every = [blob(number) for number in (3, 2, 1, 9)]
        store.write(lambda tx: tx.blobs.condemn(every[:2], at=now))
        store.write(lambda tx: tx.blobs.condemn(every, at=now + _SECOND))
        assert _condemned(store) == {1: now + _SECOND, 2: now, 3: now}
        assert store.write(lambda tx: tx.blobs.remove_condemned(every, before=now)) == []
        assert store.write(lambda tx: tx.blobs.remove_condemned(every[1:], before=now + _SECOND)) == [blob(2)]
        assert store.read(lambda tx: tx.blobs.missing(every)) == [blob(2), blob(9)]
        assert store.write(lambda tx: tx.blobs.remove_condemned(every, before=now + _HOUR)) == [blob(1), blob(3)]

    @pytest.mark.parametrize(
        "revive",
        [
            lambda tx: tx.blobs.pin([blob(2), blob(9)], until=tx.now() + _HOUR),
            lambda tx: tx.blobs.pin([blob(2)], until=tx.now() - _HOUR),
            lambda tx: tx.blobs.revive([blob(2), blob(9)]),
            lambda tx: _add(tx, "packs/1", 1, 2, 3),
            lambda tx: _add(tx, "packs/9", 2),
        ],
        ids=["pin", "pin that has ended", "revive", "same object", "another object"],
    )
    def test_whoever_needs_a_condemned_blob_revives_it(
        self, store: Store, revive: Callable[[Transaction], object]
    ) -> None:
        now = _filled(store, 1, 2, 3)
        store.write(lambda tx: tx.blobs.condemn([blob(2)], at=now))
        store.write(revive)
        assert _condemned(store)[2] is None
        assert store.write(lambda tx: tx.blobs.remove_condemned([blob(2)], before=now + _HOUR)) == []

    def test_what_is_pinned_is_neither_condemned_nor_removed(self, store: Store) -> None:
        now = _filled(store, 1, 2)
        store.write(lambda tx: tx.blobs.condemn([blob(2)], at=now))
        store.write(lambda tx: tx.blobs.pin([blob(1), blob(2)], until=now + _HOUR))
        store.write(lambda tx: tx.blobs.condemn([blob(1), blob(2)], at=now))
        assert _condemned(store) == {1: None, 2: None}
        assert store.write(lambda tx: tx.blobs.remove_condemned([blob(1), blob(2)], before=now + 9 * _HOUR)) == []

    def test_a_pin_that_ended_holds_nothing(self, store: Store) -> None:
        now = _filled(store, 1)
        store.write(lambda tx: tx.blobs.pin([blob(1)], until=now - _SECOND))
        store.write(lambda tx: tx.blobs.condemn([blob(1)], at=now))
        assert store.write(lambda tx: tx.blobs.remove_condemned([blob(1)], before=now + _SECOND)) == [blob(1)]

    def test_a_removed_blob_loses_its_profile(self, store: Store) -> None:
        now = _filled(store, 1, 2)
        store.write(lambda tx: tx.datasets.put_file_profiles({blob(1): 1, blob(2): 2}))
        store.write(lambda tx: tx.blobs.condemn([blob(1)], at=now))
        store.write(lambda tx: tx.blobs.remove_condemned([blob(1), blob(2)], before=now + _SECOND))
        assert store.read(lambda tx: tx.datasets.file_profiles([blob(1), blob(2)])) == {blob(2): 2}

    def test_objects_are_sparse_by_the_share_of_their_bytes_in_use(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            _add(tx, "full", 1)
            _add(tx, "half", 1, 2)
            _add(tx, "empty", 1, 2)
            _add(tx, "quarter", 1, 2, 1, 3)
            tx.blobs.add_object(StoredObject("lake", "nothing", 0), blobs=[PlacedAt(blob(0), 0, 0)])

        store.write(fill)

        def sparse(most_used: float, limit: int = 100) -> list[tuple[str, int, int]]:
            found = store.read(lambda tx: tx.blobs.sparse_objects(most_used=most_used, limit=limit))
            return [(use.stored.path, use.used_bytes, use.blobs) for use in found]

        empty, quarter, half, full = ("empty", 0, 0), ("quarter", 10, 1), ("half", 10, 1), ("full", 10, 1)
        assert sparse(0) == [empty]
        assert sparse(0.25) == [empty, quarter]
        assert sparse(0.5) == [empty, quarter, half]
        assert sparse(1) == [empty, quarter, half, full, ("nothing", 0, 1)]
        assert sparse(1, limit=2) == [empty, quarter]

    def test_a_packs_index_counts_as_used_where_its_blobs_are(self, store: Store) -> None:
        lines = 2 * PACKED_BYTES
        stored, placed = a_pack("packs/small", 1, 2)
        store.write(lambda tx: tx.blobs.add_object(stored._replace(size_bytes=stored.size_bytes + lines), blobs=placed))
        assert store.read(lambda tx: tx.blobs.sparse_objects(most_used=0.9)) == []
        store.write(lambda tx: tx.blobs.forget(blob(2), storage=stored.storage, path=stored.path))
        assert len(store.read(lambda tx: tx.blobs.sparse_objects(most_used=0.5))) == 1

    def test_an_object_that_blobs_lie_in_is_not_dropped(self, store: Store) -> None:
        now = _filled(store, 1, 2)
        (found,) = _objects(store)
        with pytest.raises(Conflict, match=str(found.object_id)):
            store.write(lambda tx: tx.blobs.drop_object(found.object_id))
        store.write(lambda tx: tx.blobs.condemn([blob(1), blob(2)], at=now))
        store.write(lambda tx: tx.blobs.remove_condemned([blob(1), blob(2)], before=now + _SECOND))
        store.write(lambda tx: tx.blobs.drop_object(found.object_id))
        assert _objects(store) == []
        assert store.read(lambda tx: tx.blobs.usage()) == {}
        store.write(lambda tx: _add(tx, "packs/1", 1))
        assert _objects(store)[0].object_id != found.object_id

    def test_what_is_left_of_an_object_moves_to_another(self, store: Store) -> None:
        _filled(store, 1, 2, 3, 4)
        (old,) = _objects(store)
        kept = [PlacedAt(blob(4), 0, 10), PlacedAt(blob(2), 10, 10), PlacedAt(blob(3), 20, 10)]
        until = store.read(lambda tx: tx.now()) + _HOUR
        store.write(lambda tx: tx.blobs.pin([blob(2)], until=until))
        store.write(lambda tx: tx.blobs.forget(blob(3), storage="default", path="packs/1"))  # in between
        store.write(lambda tx: _add(tx, "packs/3", 3))
        to = StoredObject("default", "packs/2", 30)
        store.write(lambda tx: tx.blobs.move(object_id=old.object_id, to=to, blobs=kept))
        places = store.read(lambda tx: tx.blobs.places([blob(number) for number in (1, 2, 3, 4)]))
        found = {each: (place.path, place.offset) for each, place in places.items()}
        assert found == {
            blob(1): ("packs/1", 0),
            blob(2): ("packs/2", 10),
            blob(3): ("packs/3", 0),
            blob(4): ("packs/2", 0),
        }
        assert store.read(lambda tx: tx.blobs.page(after=blob(1), limit=1))[0].pinned_until == until
        assert store.read(lambda tx: tx.blobs.in_object(old.object_id)) == [PlacedAt(blob(1), 0, 10)]
        with pytest.raises(AlreadyExists, match="packs/2"):
            store.write(lambda tx: tx.blobs.move(object_id=old.object_id, to=to, blobs=[]))

    def test_a_pinned_blob_is_never_removed_however_close_the_race(self, store: Store) -> None:
        now = _filled(store, *range(200))
        every = [blob(number) for number in range(200)]
        for round_number in range(8):
            store.write(lambda tx: _add(tx, "packs/1", *range(200)))
            store.write(lambda tx: tx.blobs.condemn(every, at=now))
            mine = every[round_number::2]
            gate = threading.Barrier(2)

            def pin(wanted: list[bytes] = mine, gate: threading.Barrier = gate) -> set[bytes]:
                def work(tx: Transaction) -> set[bytes]:
                    tx.blobs.pin(wanted, until=now + _HOUR)
                    return set(wanted) - set(tx.blobs.missing(wanted))

                gate.wait()
                return store.write(work)

            def remove(gate: threading.Barrier = gate) -> set[bytes]:
                gate.wait()
                return set(store.write(lambda tx: tx.blobs.remove_condemned(every, before=now + _HOUR)))

            with ThreadPoolExecutor(2) as pool:
                pinned, removed = pool.submit(pin), pool.submit(remove)
            assert pinned.result() & removed.result() == set()
            there = set(every) - set(store.read(lambda tx: tx.blobs.missing(every)))
            assert pinned.result() <= there
            for each in every:  # and their pins with them
                store.write(lambda tx, it=each: tx.blobs.forget(it, storage="default", path="packs/1"))  # type: ignore[misc]

    def test_an_object_is_not_dropped_under_who_puts_blobs_into_it(self, store: Store) -> None:
        for _ in range(8):
            store.write(lambda tx: _add(tx, "packs/1"))
            object_id = next(use.object_id for use in _objects(store) if use.stored.path == "packs/1")
            gate = threading.Barrier(2)

            def drop(object_id: int = object_id, gate: threading.Barrier = gate) -> None:
                gate.wait()
                try:
                    store.write(lambda tx: tx.blobs.drop_object(object_id))
                except Conflict:
                    return

            def add(gate: threading.Barrier = gate) -> None:
                gate.wait()
                store.write(lambda tx: tx.blobs.add_object(StoredObject("default", "packs/1", 0), blobs=_NOTHING))

            with ThreadPoolExecutor(2) as pool:
                for done in (pool.submit(drop), pool.submit(add)):
                    done.result()
            assert store.read(lambda tx: tx.blobs.get(blob(1))).path == "packs/1"
            store.write(lambda tx: tx.blobs.forget(blob(1), storage="default", path="packs/1"))


_NOTHING = [PlacedAt(blob(1), 0, 0)]


def _add(tx: Transaction, path: str, *numbers: int) -> int:
    stored, placed = a_pack(path, *numbers)
    return tx.blobs.add_object(stored, blobs=placed)


def _filled(store: Store, *numbers: int) -> datetime:
    """Record a pack and return what time it is."""
    store.write(lambda tx: _add(tx, "packs/1", *numbers))
    return store.read(lambda tx: tx.now())


def _condemned(store: Store) -> dict[int, datetime | None]:
    page = store.read(lambda tx: tx.blobs.page(after=b"", limit=100))
    return {int.from_bytes(use.digest, "big"): use.condemned_at for use in page}


def _objects(store: Store) -> list[ObjectUse]:
    """Return all objects: the share of those that have no index, as packs have, may be above one here."""
    return store.read(lambda tx: tx.blobs.sparse_objects(most_used=100))
