"""Where blobs lie."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import AlreadyExists, NotFound
from orchestrator.records.blob import BlobPlace, PlacedAt, StoredObject
from orchestrator.store.testing.records import (
    a_pack,
    a_report,
    a_task,
    a_version,
    an_artifact,
    blob,
    digest,
    new_id,
    some_metadata,
)

if TYPE_CHECKING:
    from orchestrator.records.blob import BlobUse
    from orchestrator.store.protocol import Store, Transaction

_HOUR = timedelta(hours=1)


class BlobContract:
    """Blobs in objects."""

    def test_a_blob_keeps_its_first_place(self, store: Store) -> None:
        assert _add(store, "packs/1", 1, 2) == 2
        assert _add(store, "packs/2", 2, 3, 4) == 2
        assert store.read(lambda tx: tx.blobs.get(blob(2))) == BlobPlace("default", "packs/1", 0, 10, 10)
        assert store.read(lambda tx: tx.blobs.get(blob(4))) == BlobPlace("default", "packs/2", 0, 20, 10)
        places = store.read(lambda tx: tx.blobs.places([blob(number) for number in (4, 9, 1)]))
        assert {digest: place.path for digest, place in places.items()} == {blob(4): "packs/2", blob(1): "packs/1"}
        with pytest.raises(NotFound, match=digest(9)):
            store.read(lambda tx: tx.blobs.get(blob(9)))

    def test_a_large_blob_may_lie_in_parts(self, store: Store) -> None:
        stored = StoredObject("lake", "parts/ab/cd", 5 << 40, part_bytes=32 << 20)
        store.write(lambda tx: tx.blobs.add_object(stored, blobs=[PlacedAt(blob(1), 0, 5 << 40)]))
        assert store.read(lambda tx: tx.blobs.get(blob(1))) == BlobPlace("lake", "parts/ab/cd", 32 << 20, 0, 5 << 40)

    def test_sizes_of_objects_are_known(self, store: Store) -> None:
        _add(store, "packs/1", 1, 2)
        stored = StoredObject("lake", "parts/ab/cd", 5 << 40, part_bytes=32 << 20)
        store.write(lambda tx: tx.blobs.add_object(stored, blobs=[PlacedAt(blob(3), 0, 5 << 40)]))
        assert store.read(lambda tx: tx.blobs.known_sizes([10, 20, 5 << 40, 5 << 39])) == {20, 5 << 40}
        assert store.read(lambda tx: tx.blobs.known_sizes([])) == set()

    def test_an_object_is_recorded_once(self, store: Store) -> None:
        assert _add(store, "packs/1", 1, 2) == 2
        assert _add(store, "packs/1", 1, 2) == 0
        assert _add(store, "packs/1", 1, 2, storage="lake") == 0
        with pytest.raises(AlreadyExists, match="packs/1"):
            _add(store, "packs/1", 1)
        stored, placed = a_pack("packs/1", 1, 2)
        moved = [PlacedAt(blob(1), 10, 10), PlacedAt(blob(2), 0, 10)]
        for wrong, blobs in ((stored, moved), (stored._replace(size_bytes=21), placed)):
            with pytest.raises(AlreadyExists, match="packs/1"):
                store.write(lambda tx, it=wrong, at=blobs: tx.blobs.add_object(it, blobs=at))  # type: ignore[misc]
        assert store.read(lambda tx: tx.blobs.usage()) == {"default": (1, 20), "lake": (1, 20)}

    def test_a_blob_that_lost_its_place_has_it_again_when_the_object_is_sent_again(self, store: Store) -> None:
        _add(store, "packs/1", 1, 2)
        for path in ("packs/2", "packs/1"):
            store.write(lambda tx, path=path: tx.blobs.forget(blob(1), storage="default", path=path))  # type: ignore[misc]
            gone = store.read(lambda tx: tx.blobs.missing([blob(1)]))
            assert gone == ([blob(1)] if path == "packs/1" else [])
        store.write(lambda tx: tx.blobs.forget(blob(2), storage="lake", path="packs/1"))
        assert _add(store, "packs/1", 1, 2) == 1
        assert store.read(lambda tx: tx.blobs.missing([blob(1), blob(2)])) == []

    def test_what_was_forgotten_is_lost_until_it_is_stored_again(self, store: Store) -> None:
        _add(store, "packs/1", 1, 2, 3)
        for number in (1, 2):
            store.write(lambda tx, n=number: tx.blobs.forget(blob(n), storage="default", path="packs/1"))  # type: ignore[misc]
        for elsewhere in ("packs/1", "packs/2"):
            store.write(lambda tx, at=elsewhere: tx.blobs.forget(blob(9), storage="default", path=at))  # type: ignore[misc]
        store.write(lambda tx: tx.blobs.forget(blob(3), storage="default", path="packs/2"))
        assert store.read(lambda tx: tx.blobs.lost()) == {blob(1), blob(2)}
        _add(store, "packs/2", 2)
        assert store.read(lambda tx: tx.blobs.lost()) == {blob(1)}
        _add(store, "packs/1", 1, 2, 3)
        assert store.read(lambda tx: tx.blobs.lost()) == set()
        store.write(lambda tx: tx.blobs.forget(blob(3), storage="default", path="packs/1"))
        store.write(lambda tx: tx.blobs.drop_lost([blob(3)]))
        assert store.read(lambda tx: tx.blobs.lost()) == set()

    def test_a_blob_may_stand_twice_in_an_object(self, store: Store) -> None:
        assert _add(store, "packs/1", 1, 2, 1) == 2
        assert _add(store, "packs/1", 1, 2, 1) == 0
        assert store.read(lambda tx: tx.blobs.get(blob(1))).offset == 0

    def test_an_object_may_be_empty(self, store: Store) -> None:
        stored = StoredObject("default", "blake3/af/1349", 0)
        assert store.write(lambda tx: tx.blobs.add_object(stored, blobs=[PlacedAt(blob(1), 0, 0)])) == 1
        assert store.read(lambda tx: tx.blobs.get(blob(1))).size_bytes == 0
        assert _add(store, "packs/none") == 0

    def test_missing_blobs_are_named_in_the_order_asked(self, store: Store) -> None:
        _add(store, "packs/1", 7)
        asked = [blob(number) for number in range(12_000, 0, -1)]
        assert store.read(lambda tx: tx.blobs.missing(asked)) == [each for each in asked if each != blob(7)]
        assert store.read(lambda tx: tx.blobs.missing([])) == []
        assert store.read(lambda tx: tx.blobs.places([])) == {}

    def test_an_object_may_hold_very_many(self, store: Store) -> None:
        numbers = range(12_000)
        assert _add(store, "packs/1", *numbers) == len(numbers)
        asked = [blob(number) for number in numbers]
        places = store.read(lambda tx: tx.blobs.places(asked))
        assert [places[each].offset for each in asked] == [10 * number for number in numbers]
        assert store.read(lambda tx: tx.blobs.in_object(_only(tx))) == a_pack("packs/1", *numbers)[1]

    def test_pages_are_in_the_order_of_digests(self, store: Store) -> None:
        _add(store, "packs/1", *range(9, -1, -1))
        found: list[bytes] = []

        def next_page(tx: Transaction) -> list[BlobUse]:
            return tx.blobs.page(after=found[-1] if found else b"", limit=4)

        while page := store.read(next_page):
            found += [use.digest for use in page]
            assert {(use.size_bytes, use.pinned_until, use.condemned_at) for use in page} == {(10, None, None)}
        assert found == [blob(number) for number in range(10)]

    def test_paths_of_objects_are_found(self, store: Store) -> None:
        _add(store, "packs/1", 1)
        _add(store, "packs/é'\"", 2)
        _add(store, "packs/3", 3, storage="lake")
        asked = ["packs/é'\"", "packs/1", "packs/3", "nothing"]
        assert store.read(lambda tx: tx.blobs.object_paths("default", asked)) == {"packs/1", "packs/é'\""}
        assert store.read(lambda tx: tx.blobs.object_paths("other", asked)) == set()
        assert store.read(lambda tx: tx.blobs.object_paths("lake", [])) == set()

    def test_a_pin_is_written_again_where_it_would_end_much_earlier(self, store: Store) -> None:
        now = store.read(lambda tx: tx.now())
        _add(store, "packs/1", 1, 2)

        def pinned(minutes: float) -> list[float | None]:
            until = now + timedelta(minutes=minutes)
            store.write(lambda tx: tx.blobs.pin([blob(1), blob(9)], until=until))
            page = store.read(lambda tx: tx.blobs.page(after=b"", limit=9))
            pins = [use.pinned_until for use in page]
            return [None if pin is None else (pin - now) / timedelta(minutes=1) for pin in pins]

        assert pinned(60) == [60, None]
        assert pinned(90) == [60, None]
        assert pinned(91) == [91, None]
        assert pinned(10) == [91, None]

    def test_blobs_may_be_pinned_when_they_are_recorded(self, store: Store) -> None:
        _add(store, "packs/1", 1)
        until = store.read(lambda tx: tx.now()) + _HOUR
        stored, placed = a_pack("packs/2", 1, 2)
        store.write(lambda tx: tx.blobs.add_object(stored, blobs=placed, pinned_until=until))
        page = store.read(lambda tx: tx.blobs.page(after=b"", limit=9))
        assert [use.pinned_until for use in page] == [None, until]

    def test_of_many_who_store_the_same_blobs_at_once_each_has_them(self, store: Store) -> None:
        numbers = list(range(3000))

        def add(writer: int) -> int:
            own = [*numbers[writer * 7 :], *numbers[: writer * 7]]
            return _add(store, f"packs/{writer % 4}", *(own if writer < 4 else own[:0]))

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(add, range(4))) == len(numbers)
        assert store.read(lambda tx: tx.blobs.missing([blob(number) for number in numbers])) == []
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda _: _add(store, "packs/same", *numbers, 9999), range(4))).count(1) == 1

    def test_blobs_that_others_than_manifests_name_are_known(self, store: Store) -> None:
        task, version, owner = a_task(), a_version(manifest=digest(99)), new_id()
        source = {"tree": "0" * 40, "patch": digest(1), "bundle": digest(2)}
        inner = {"path": "sub", "source": {"tree": "0" * 40, "patch": digest(3)}}
        full = a_task(source=source | {"submodules": [inner]}, packages={"python": "3.11", "lock": digest(4)})

        def fill(tx: Transaction) -> None:
            tx.tasks.add(task)
            tx.tasks.add(full)
            tx.tasks.put_artifact(an_artifact(task, "a", digest=digest(5)))
            tx.datasets.add(version)
            tx.datasets.put_metadata(some_metadata(version, "m", digest=digest(6)))
            image = {"digest": digest(7), "width": 1, "height": 1}
            tx.reports.put(a_report(owner, "image", kind="image", data=image))
            tx.reports.put(a_report(owner, "plot", kind="plotly", data={"images": [{"source": f"/blobs/{digest(8)}"}]}))
            tx.reports.put(a_report(owner, "text", data="blake3:none"))

        assert store.read(lambda tx: tx.blobs.named_elsewhere()) == set()
        store.write(fill)
        assert store.read(lambda tx: tx.blobs.named_elsewhere()) == {blob(number) for number in range(1, 9)}


def _add(store: Store, path: str, *numbers: int, storage: str = "default") -> int:
    stored, placed = a_pack(path, *numbers, storage=storage)
    return store.write(lambda tx: tx.blobs.add_object(stored, blobs=placed))


def _only(tx: Transaction) -> int:
    (found,) = tx.blobs.sparse_objects(most_used=100)  # it has no index, as packs have
    return found.object_id
