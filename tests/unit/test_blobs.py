"""Content-addressed bytes in a directory: what it promises beyond the contract of every store."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.blobs import CHUNK_BYTES, BlobStore, Span
from orchestrator.blobs.testing import digest_of
from orchestrator.errors import (
    AlreadyExists,
    DigestMismatch,
    Forbidden,
    InvalidPath,
    NoSpace,
    OrchestratorError,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MIB = 1 << 20


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def read(store: BlobStore, data: bytes) -> bytes:
    digest = digest_of(data)
    return b"".join(store.read(Span(store.location(digest), 0, len(data)), digest=digest))


def on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(chunks=st.lists(st.binary(max_size=300), max_size=5))
def test_what_goes_in_comes_out(tmp_path: Path, chunks: list[bytes]) -> None:
    store = BlobStore(str(tmp_path))
    data = b"".join(chunks)
    stored = store.put(chunks, sha256=True)
    assert stored.digest == digest_of(data)
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert stored.size_bytes == len(data)
    assert read(store, data) == data


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    runs=st.lists(st.tuples(st.booleans(), st.integers(1, 3 * _MIB)), min_size=1, max_size=5),
    shared=st.booleans(),
)
def test_a_file_with_holes_anywhere_is_stored_and_copied_as_it_is(
    tmp_path: Path, runs: list[tuple[bool, int]], shared: bool
) -> None:
    file, copy = tmp_path / "file", tmp_path / "copy"
    with file.open("wb") as target:
        for is_hole, size_bytes in runs:
            if is_hole:
                target.seek(size_bytes, os.SEEK_CUR)
            else:
                target.write(os.urandom(size_bytes))
        target.truncate()
    data = file.read_bytes()
    store = BlobStore(str(tmp_path / "store"))
    if shared:
        span = Span(store.put([data]).path, 0, len(data))
        digest = digest_of(data)
    else:
        digest, span = store.put_stream_file(file)
    assert digest == digest_of(data)
    store.copy_to(span, copy, digest=digest)
    assert copy.read_bytes() == data
    copy.unlink()


def test_holes_stay_holes_and_take_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    size_bytes = 2 << 30
    with file.open("wb") as target:
        target.write(b"begin")
        target.seek(size_bytes // 2)
        target.write(b"middle")
        target.truncate(size_bytes)
    if on_disk(file) > _MIB:
        pytest.skip("not applicable: this file system keeps no holes")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    store = BlobStore(str(tmp_path / "store"))
    seen: list[int] = []
    digest, span = store.put_stream_file(file, on_bytes=seen.append)
    assert span.size_bytes == sum(seen) == size_bytes
    assert on_disk(tmp_path / "store" / span.path) < _MIB
    store.copy_to(span, tmp_path / "copy", digest=digest)
    assert on_disk(tmp_path / "copy") < _MIB
    with (tmp_path / "copy").open("rb") as copy:
        assert copy.read(6) == b"begin\0"
        copy.seek(size_bytes // 2)
        assert copy.read(7) == b"middle\0"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_a_file_that_is_cut_while_it_is_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(8 * _MIB))

    def cut(_: int) -> None:
        os.truncate(file, _MIB)

    store = BlobStore(str(tmp_path / "store"))
    with pytest.raises(InvalidPath, match="file changed"):
        store.put_stream_file(file, on_bytes=cut)
    assert files_below(tmp_path / "store") == []


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_the_kernel_cannot_copy_it_is_done_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    data = os.urandom(3 * CHUNK_BYTES + 1)
    store = BlobStore(str(tmp_path / "store"))
    stored = store.put([data])
    store.copy_to(Span(stored.path, 0, len(data)), tmp_path / "copy", digest=stored.digest)
    assert (tmp_path / "copy").read_bytes() == data


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidPath, match="folder cannot be read"):
        BlobStore(str(tmp_path / "store")).put_stream_file(tmp_path / "folder")


def test_the_same_bytes_are_stored_once(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path / "store"))
    (tmp_path / "file").write_bytes(b"same")
    for _ in range(2):
        store.put([b"same"])
        store.put_stream_file(tmp_path / "file")
    assert len(files_below(tmp_path / "store")) == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "grow"])
def test_damaged_bytes_are_never_passed_on_to_their_end(tmp_path: Path, damage: str) -> None:
    store = BlobStore(str(tmp_path))
    data = os.urandom(3 * CHUNK_BYTES + 17)
    stored = store.put([data])
    path = tmp_path / stored.path
    if damage == "flip":
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    elif damage == "cut":
        path.write_bytes(data[:-1])
    else:
        path.write_bytes(b"x" + data)
    span = Span(stored.path, 0, len(data))
    got = b""
    with pytest.raises(DigestMismatch, match=stored.digest):  # noqa: PT012  the loop is what fails
        for chunk in store.read(span, digest=stored.digest):
            got += chunk
    assert len(got) < len(data)
    with pytest.raises(DigestMismatch, match=stored.digest):
        store.copy_to(span, tmp_path / "copy", digest=stored.digest)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("store_again", [lambda store, _: store.put([b"whole"]), BlobStore.put_stream_file])
def test_storing_again_heals(tmp_path: Path, store_again: Callable[[BlobStore, Path], object]) -> None:
    store = BlobStore(str(tmp_path / "store"))
    (tmp_path / "file").write_bytes(b"whole")
    stored = store.put([b"whole"])
    (tmp_path / "store" / stored.path).write_bytes(b"rotte")
    store_again(store, tmp_path / "file")
    assert read(store, b"whole") == b"whole"


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EROFS, Forbidden), (errno.EIO, Unavailable)],
)
def test_what_a_disk_says_is_passed_on_with_its_name_and_nothing_partial_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[OrchestratorError]
) -> None:
    store = BlobStore(str(tmp_path))

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(error, match=str(tmp_path)):
        store.put([b"too much"])
    monkeypatch.undo()
    assert files_below(tmp_path) == []


def test_a_copy_never_replaces_a_file(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path / "store"))
    stored = store.put([b"data"])
    (tmp_path / "mine").write_bytes(b"mine")
    with pytest.raises(AlreadyExists, match="mine exists"):
        store.copy_to(Span(stored.path, 0, 4), tmp_path / "mine", digest=stored.digest)
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_uploads_that_a_crash_cut_off_are_removed_when_they_are_old(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path))
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    for name, age in (("old", 2 * 86_400), ("new", 0)):
        (uploads / name).write_bytes(b"part")
        os.utime(uploads / name, (time.time() - age,) * 2)
    store.sweep_uploads()
    assert [path.name for path in uploads.iterdir()] == ["new"]


def test_a_marker_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "retrain-store.json").write_text("nonsense")
    with pytest.raises(OrchestratorError, match=r"retrain-store\.json"):
        BlobStore(str(tmp_path)).objects.identity(create=True)


def test_a_file_url_is_a_directory(tmp_path: Path) -> None:
    stored = BlobStore(f"file://{tmp_path}").put([b"x"])
    assert (tmp_path / stored.path).read_bytes() == b"x"
