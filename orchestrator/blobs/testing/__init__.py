"""The contract of `orchestrator.blobs.objects` as tests, for our stores and for those of others.

A store passes when a class of its own passes under pytest:

    class TestMyStore(ObjectStoreContract):
        @pytest.fixture
        def open_again(self):
            return lambda: MyObjects(...)  # the same empty store each time
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import blake3
import pytest

from orchestrator.blobs import packs, parts
from orchestrator.blobs.objects import CHUNK_BYTES
from orchestrator.blobs.owner import claim
from orchestrator.blobs.pack_index import read_index
from orchestrator.blobs.spans import Span, object_path, part_path
from orchestrator.blobs.store import BlobStore
from orchestrator.errors import Conflict, DigestMismatch, InvalidPath, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.blobs.objects import Bytes, Objects
    from orchestrator.blobs.packs import Pack

_PART_BYTES = 1 << 20
_PACK_BYTES = 3 << 20


def digest_of(data: bytes) -> str:
    """Return a blob's name."""
    return "blake3:" + blake3.blake3(data).hexdigest()


def paths_in(objects: Objects) -> list[str]:
    """Return what is in a store, what is unfinished included."""
    return sorted(listed.path for folder in ("", "uploads") for listed in objects.listing(folder))


class CutObjects:
    """A store whose line is cut after so many objects were put.

    Args:
        objects: the store.
        puts: how many objects arrive.
    """

    def __init__(self, objects: Objects, *, puts: int) -> None:
        self._objects = objects
        self._left = puts
        self.put_paths: list[str] = []

    def put(self, path: str, data: Bytes) -> None:
        """Put an object, or lose the line."""
        if not self._left:
            raise Unavailable("The line is cut.")
        self._left -= 1
        self._objects.put(path, data)
        self.put_paths.append(path)

    def __getattr__(self, name: str) -> object:
        return getattr(self._objects, name)


class ObjectStoreContract:
    """Everything that a store of bytes promises, and blobs in it."""

    @pytest.fixture
    def objects(self, open_again: Callable[[], Objects]) -> Objects:
        """An empty store."""
        return open_again()

    @pytest.fixture
    def store(self, objects: Objects) -> BlobStore:
        """Blobs in it."""
        return BlobStore(objects)

    @pytest.fixture
    def pack_bytes(self, monkeypatch: pytest.MonkeyPatch) -> int:
        """How long a pack gets: less than elsewhere."""
        monkeypatch.setattr(packs, "PACK_BYTES", _PACK_BYTES)
        return _PACK_BYTES

    @pytest.fixture
    def large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A file of five parts, the last of which is shorter."""
        monkeypatch.setattr(parts, "PART_BYTES", _PART_BYTES)
        file = tmp_path / "large.bin"
        file.write_bytes(os.urandom(4 * _PART_BYTES + 17))
        return file

    def test_an_object_is_read_as_it_was_put(self, objects: Objects) -> None:
        data = os.urandom(2 * CHUNK_BYTES + 5)
        objects.put("a/b", data)
        chunks = list(objects.read("a/b", size_bytes=len(data)))
        assert b"".join(chunks) == data
        assert max(map(len, chunks)) <= CHUNK_BYTES
        assert b"".join(objects.read("a/b", offset=7, size_bytes=100)) == data[7:107]
        assert b"".join(objects.read("a/b", offset=len(data) - 3, size_bytes=100)) == data[-3:]
        assert b"".join(objects.read("a/b", offset=len(data) + 3, size_bytes=100)) == b""
        assert objects.size_of("a/b") == len(data)

    def test_an_object_of_many_requests_is_read_in_order(self, objects: Objects) -> None:
        data = os.urandom(20 << 20)
        objects.put("a", data)
        assert b"".join(objects.read("a", offset=1, size_bytes=len(data))) == data[1:]

    def test_an_empty_object_is_an_object(self, objects: Objects) -> None:
        objects.put("empty", b"")
        assert objects.size_of("empty") == 0
        assert b"".join(objects.read("empty", size_bytes=0)) == b""

    def test_what_is_not_there_is_named(self, objects: Objects) -> None:
        with pytest.raises(NotFound, match="a/b"):
            list(objects.read("a/b", size_bytes=1))
        assert objects.size_of("a/b") is None
        assert objects.delete("a/b") == 0
        assert list(objects.listing("a")) == []

    def test_a_folder_is_no_object(self, objects: Objects) -> None:
        objects.put("a/b/c", b"1")
        assert list(objects.listing("a/b/c/d")) == []
        assert objects.holds("a/b", b"") is False

    @pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/./b", "a\0b", ""])
    def test_paths_that_leave_the_store_are_refused(self, objects: Objects, path: str) -> None:
        with pytest.raises(InvalidPath):
            objects.put(path, b"x")
        with pytest.raises(InvalidPath):
            list(objects.read(path, size_bytes=1))

    def test_putting_again_replaces(self, objects: Objects) -> None:
        objects.put("a", b"first")
        objects.put("a", b"2nd")
        assert b"".join(objects.read("a", size_bytes=100)) == b"2nd"
        assert objects.delete("a") == 3
        assert paths_in(objects) == []

    def test_what_is_written_is_there_when_it_is_whole(self, objects: Objects) -> None:
        data = os.urandom(33 << 20)  # longer than what waits in memory
        with objects.write("a/b") as writer:
            writer.write(memoryview(data)[:100])
            assert objects.size_of("a/b") is None
            writer.write(data[100:])
        assert objects.size_of("a/b") == len(data)
        assert b"".join(objects.read("a/b", size_bytes=len(data))) == data

    @pytest.mark.parametrize("size_bytes", [10, 33 << 20])
    def test_what_is_broken_off_leaves_nothing(self, objects: Objects, size_bytes: int) -> None:
        with pytest.raises(KeyError), objects.write("a/b") as writer:  # noqa: PT012  the body is what breaks off
            writer.write(bytes(size_bytes))
            raise KeyError
        assert paths_in(objects) == []

    def test_a_listing_holds_what_is_below_a_folder(self, objects: Objects) -> None:
        for path in ("a/b/1", "a/b/c/d/2", "a/bc/3", "a/4", "5"):
            objects.put(path, path.encode())
        assert sorted(each.path for each in objects.listing("a/b")) == ["a/b/1", "a/b/c/d/2"]
        assert sorted(each.path for each in objects.listing("")) == ["5", "a/4", "a/b/1", "a/b/c/d/2", "a/bc/3"]
        (listed,) = objects.listing("a/bc")
        assert listed.size_bytes == 6
        assert abs(listed.changed_at - datetime.now(tz=UTC)) < timedelta(minutes=1)

    def test_what_others_store_and_remove_is_seen(self, objects: Objects, open_again: Callable[[], Objects]) -> None:
        other = open_again()
        assert paths_in(objects) == []
        other.put("a/b", b"1")
        assert paths_in(objects) == ["a/b"]
        assert objects.size_of("a/b") == 1
        other.delete("a/b")
        assert paths_in(objects) == []
        assert objects.size_of("a/b") is None

    def test_what_an_object_holds_is_told_without_moving_it(self, objects: Objects) -> None:
        objects.put("a", b"these")
        assert objects.holds("a", b"these")
        assert not objects.holds("a", b"those")
        assert not objects.holds("a", b"these ones")
        assert not objects.holds("b", b"these")

    def test_a_store_is_known_again(self, objects: Objects, open_again: Callable[[], Objects]) -> None:
        assert objects.identity(create=False) is None
        made = objects.identity(create=True)
        assert made is not None
        assert open_again().identity(create=True) == open_again().identity(create=False) == made
        assert paths_in(objects) == []  # the marker is nobody's object

    def test_of_several_who_mark_a_store_at_once_all_get_one_mark(
        self, objects: Objects, open_again: Callable[[], Objects]
    ) -> None:
        with ThreadPoolExecutor(4) as pool:
            found = set(pool.map(lambda _: open_again().identity(create=True), range(4)))
        assert found == {objects.identity(create=False)}

    def test_the_first_of_several_small_objects_stays(
        self, objects: Objects, open_again: Callable[[], Objects]
    ) -> None:
        assert objects.put_first("a/b", b"first") == b"first"
        assert open_again().put_first("a/b", b"second") == b"first"

    def test_a_store_is_one_databases_alone(self, objects: Objects, open_again: Callable[[], Objects]) -> None:
        claim(objects, database="one")
        claim(open_again(), database="one")
        with pytest.raises(Conflict, match="another server"):
            claim(open_again(), database="two")
        assert paths_in(objects) == []

    def test_a_blob_is_read_as_it_was_stored(self, store: BlobStore) -> None:
        data = os.urandom(3 * CHUNK_BYTES + 1)
        stored = store.put([data[:5], data[5:]], sha256=True)
        assert (stored.digest, stored.size_bytes) == (digest_of(data), len(data))
        assert b"".join(store.read(Span(stored.path, 0, len(data)), digest=stored.digest)) == data

    def test_bytes_of_another_digest_leave_nothing_behind(self, store: BlobStore) -> None:
        with pytest.raises(DigestMismatch, match=digest_of(b"sent")):
            store.put([b"sent"], expected=digest_of(b"meant"))
        assert paths_in(store.objects) == []

    @pytest.mark.parametrize("size_bytes", [0, 10, 3 * CHUNK_BYTES])
    def test_a_file_is_stored_and_copied_back(self, store: BlobStore, tmp_path: Path, size_bytes: int) -> None:
        file = tmp_path / "file"
        file.write_bytes(os.urandom(size_bytes))
        digest = digest_of(file.read_bytes())
        span = store.put_file(file, digest=digest, size_bytes=size_bytes)
        assert store.put_stream_file(file) == (digest, span)
        seen: list[int] = []
        store.copy_to(span, tmp_path / "copy", digest=digest, on_bytes=seen.append)
        assert (tmp_path / "copy").read_bytes() == file.read_bytes()
        assert sum(seen) == size_bytes
        assert store.delete(span.path, span.part_bytes) == size_bytes
        assert paths_in(store.objects) == []

    def test_a_large_file_comes_back_whole(self, store: BlobStore, large: Path, tmp_path: Path) -> None:
        data = large.read_bytes()
        seen: list[int] = []
        span = store.put_file(large, digest=digest_of(data), size_bytes=len(data), on_bytes=seen.append)
        assert sum(seen) == len(data)
        assert b"".join(store.read(span, digest=digest_of(data))) == data
        store.copy_to(span, tmp_path / "copy", digest=digest_of(data))
        assert (tmp_path / "copy").read_bytes() == data
        assert store.delete(span.path, span.part_bytes) == len(data)
        assert paths_in(store.objects) == []

    @pytest.mark.parametrize("size_bytes", [10, 4 * _PART_BYTES + 17])
    def test_a_file_that_changed_is_named_and_nothing_of_it_stays(
        self, store: BlobStore, large: Path, size_bytes: int
    ) -> None:
        data = large.read_bytes()[:size_bytes]
        large.write_bytes(data)
        for other in (bytes([data[0] ^ 1]) + data[1:], data + b"x", data[:-1]):
            large.write_bytes(other)
            with pytest.raises(InvalidPath, match=r"large\.bin changed"):
                store.put_file(large, digest=digest_of(data), size_bytes=size_bytes)
            assert paths_in(store.objects) == []

    def test_a_file_that_is_gone_is_named(self, store: BlobStore, tmp_path: Path) -> None:
        with pytest.raises(InvalidPath, match="gone"):
            store.put_file(tmp_path / "gone", digest=digest_of(b""), size_bytes=0)
        with pytest.raises(InvalidPath, match="gone"):
            store.put_stream_file(tmp_path / "gone")

    def test_after_a_cut_only_the_missing_parts_are_sent(self, objects: Objects, large: Path) -> None:
        data = large.read_bytes()
        span = Span("parts/x", 0, len(data), _PART_BYTES)
        cut = CutObjects(objects, puts=2)
        with pytest.raises(Unavailable):
            parts.send_parts(cut, large, span=span, digest=digest_of(data), on_bytes=None)  # type: ignore[arg-type]
        assert paths_in(objects) == sorted(cut.put_paths)
        whole = CutObjects(objects, puts=100)
        seen: list[int] = []
        parts.send_parts(whole, large, span=span, digest=digest_of(data), on_bytes=seen.append)  # type: ignore[arg-type]
        assert sorted(cut.put_paths + whole.put_paths) == [part_path("parts/x", number) for number in range(5)]
        assert sum(seen) == len(data)
        assert b"".join(BlobStore(objects).read(span, digest=digest_of(data))) == data

    def test_parts_of_others_are_replaced_only_by_the_right_bytes(self, objects: Objects, large: Path) -> None:
        data = large.read_bytes()
        span = Span("parts/x", 0, len(data), _PART_BYTES)
        objects.put(part_path("parts/x", 1), b"x" * _PART_BYTES)
        large.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(InvalidPath, match="changed"):
            parts.send_parts(objects, large, span=span, digest=digest_of(data), on_bytes=None)
        assert paths_in(objects) == [part_path("parts/x", 1)]
        assert b"".join(objects.read(part_path("parts/x", 1), size_bytes=3)) == b"xxx"
        large.write_bytes(data)
        parts.send_parts(objects, large, span=span, digest=digest_of(data), on_bytes=None)
        assert b"".join(BlobStore(objects).read(span, digest=digest_of(data))) == data

    def test_a_file_that_changes_while_it_is_sent_harms_nothing_that_another_stored(
        self, store: BlobStore, objects: Objects, large: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = large.read_bytes()
        digest, size_bytes, prefixes = parts.hash_in_parts(large)
        assert (digest, size_bytes) == (digest_of(data), len(data))
        span = Span("parts/x", 0, size_bytes, _PART_BYTES)
        parts.send_parts(objects, large, span=span, digest=digest, prefixes=prefixes, on_bytes=None)
        monkeypatch.setattr(objects, "listing", lambda _: iter(()))  # it was asked before the other was done
        for place in (0, _PART_BYTES + 1, len(data) - 1):
            large.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            with pytest.raises(InvalidPath, match="changed"):
                parts.send_parts(objects, large, span=span, digest=digest, prefixes=prefixes, on_bytes=None)
            assert b"".join(store.read(span, digest=digest)) == data

    def test_small_blobs_travel_in_packs(self, store: BlobStore) -> None:
        blobs = {digest_of(data): data for data in (os.urandom(number % 2000) for number in range(300))}
        told: list[Pack] = []
        with store.packs(on_pack=told.append) as writer:
            for digest, data in blobs.items():
                writer.add(digest, data)
            assert told == []
        (pack,) = told
        assert paths_in(store.objects) == [pack.path]
        assert store.objects.size_of(pack.path) == pack.size_bytes > sum(map(len, blobs.values()))
        assert read_index(store.objects, pack.path, size_bytes=pack.size_bytes) == pack.blobs
        spans = [(packed.digest, Span(pack.path, packed.offset, packed.size_bytes)) for packed in pack.blobs]
        assert dict(store.read_many(spans)) == blobs
        assert dict(store.read_many(spans[5::70])) == dict(list(blobs.items())[5::70])
        digest, span = spans[7]
        assert b"".join(store.read(span, digest=digest)) == blobs[digest]

    def test_a_pack_without_a_whole_index_is_refused(self, store: BlobStore) -> None:
        told: list[Pack] = []
        with store.packs(on_pack=told.append) as writer:
            writer.add(digest_of(b"blob"), b"blob")
        (pack,) = told
        whole = b"".join(store.objects.read(pack.path, size_bytes=pack.size_bytes))
        for data in (whole[:-1], whole[: len(b"blob")], whole[:5] + b"?" + whole[6:], b""):
            store.objects.put("packs/00/other.pack", data)
            with pytest.raises(DigestMismatch, match="no index"):
                read_index(store.objects, "packs/00/other.pack", size_bytes=len(data))

    def test_packs_are_closed_before_they_are_too_long(self, store: BlobStore, pack_bytes: int) -> None:
        told: list[Pack] = []
        data = bytes(pack_bytes // 3)
        with store.packs(on_pack=told.append) as writer:
            for _ in range(7):
                writer.add(digest_of(data), data)
        assert [len(pack.blobs) for pack in told] == [3, 3, 1]
        assert paths_in(store.objects) == sorted(pack.path for pack in told)

    def test_packs_that_are_broken_off_leave_what_was_told_of(self, store: BlobStore, pack_bytes: int) -> None:
        told: list[Pack] = []
        data = bytes(pack_bytes // 2)
        with pytest.raises(KeyError), store.packs(on_pack=told.append) as writer:  # noqa: PT012  the body breaks off
            for _ in range(5):
                writer.add(digest_of(data), data)
            raise KeyError
        assert len(told) == 1
        assert paths_in(store.objects) == [pack.path for pack in told]

    @pytest.mark.parametrize("damage", ["flip", "cut"])
    def test_a_damaged_blob_is_named(self, store: BlobStore, tmp_path: Path, damage: str) -> None:
        data = os.urandom(2 * CHUNK_BYTES)
        stored = store.put([data])
        store.objects.put(stored.path, bytes([data[0] ^ 1]) + data[1:] if damage == "flip" else data[:-1])
        span = Span(stored.path, 0, len(data))
        got = 0
        with pytest.raises(DigestMismatch, match=stored.digest):  # noqa: PT012  the loop is what fails
            for chunk in store.read(span, digest=stored.digest):
                got += len(chunk)
        assert got < len(data)
        with pytest.raises(DigestMismatch, match=stored.digest):
            store.copy_to(span, tmp_path / "copy", digest=stored.digest)
        assert not (tmp_path / "copy").exists()
        with pytest.raises(DigestMismatch, match=stored.digest):
            list(store.read_many([(stored.digest, span)]))
        store.put([data])
        assert b"".join(store.read(span, digest=stored.digest)) == data

    def test_a_blob_that_is_gone_is_named(self, store: BlobStore, tmp_path: Path) -> None:
        digest = digest_of(b"x")
        span = Span(object_path(digest), 0, 1)
        with pytest.raises(NotFound, match=digest):
            list(store.read(span, digest=digest))
        with pytest.raises(NotFound, match=digest):
            list(store.read_many([(digest, span)]))
        with pytest.raises(NotFound, match=digest):
            store.copy_to(span, tmp_path / "copy", digest=digest)
        assert not (tmp_path / "copy").exists()

    def test_several_may_store_the_same_blob_at_once(self, store: BlobStore, large: Path) -> None:
        data = large.read_bytes()
        with ThreadPoolExecutor(4) as pool:
            stored = list(pool.map(lambda _: store.put([data], expected=digest_of(data)), range(4)))
            spans = list(
                pool.map(lambda _: store.put_file(large, digest=digest_of(data), size_bytes=len(data)), range(4))
            )
        assert len(set(stored)) == len(set(spans)) == 1
        assert b"".join(store.read(spans[0], digest=digest_of(data))) == data
        assert b"".join(store.read(Span(stored[0].path, 0, len(data)), digest=digest_of(data))) == data
