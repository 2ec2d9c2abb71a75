"""Content-addressed bytes."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from typing import TYPE_CHECKING, BinaryIO

import blake3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.blobs import CHUNK_BYTES, BlobStore
from orchestrator.errors import DigestMismatch, NoSpace, NotFound

if TYPE_CHECKING:
    from pathlib import Path


def digest_of(data: bytes) -> str:
    return "blake3:" + blake3.blake3(data).hexdigest()


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def read(store: BlobStore, data: bytes) -> bytes:
    digest = digest_of(data)
    return b"".join(store.read(store.location(digest), digest=digest, size_bytes=len(data)))


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


def test_the_same_bytes_are_stored_once(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path))
    for _ in range(3):
        store.put([b"same"])
    assert len(files_below(tmp_path)) == 1


def test_bytes_of_another_digest_leave_nothing_behind(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path))
    with pytest.raises(DigestMismatch, match=digest_of(b"sent")):
        store.put([b"sent"], expected=digest_of(b"meant"))
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "grow"])
def test_damaged_bytes_are_never_passed_on_to_their_end(tmp_path: Path, damage: str) -> None:
    store = BlobStore(str(tmp_path))
    data = os.urandom(3 * CHUNK_BYTES + 17)
    store.put([data])
    path = tmp_path / store.location(digest_of(data))
    if damage == "flip":
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    elif damage == "cut":
        path.write_bytes(data[:-1])
    else:
        path.write_bytes(b"x" + data)
    got = b""
    chunks = store.read(store.location(digest_of(data)), digest=digest_of(data), size_bytes=len(data))
    with pytest.raises(DigestMismatch, match=digest_of(data)):  # noqa: PT012  the loop is what fails
        for chunk in chunks:
            got += chunk
    assert len(got) < len(data)


def test_uploading_again_heals(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path))
    store.put([b"whole"])
    (tmp_path / store.location(digest_of(b"whole"))).write_bytes(b"rotten")
    store.put([b"whole"])
    assert read(store, b"whole") == b"whole"


def test_bytes_that_are_gone_are_named(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path))
    with pytest.raises(NotFound, match=digest_of(b"x")):
        read(store, b"x")


class FullFile:
    """A file on a full disk: the real one cannot be made here without rights to mount one."""

    def __init__(self, file: BinaryIO, number: int) -> None:
        self._file = file
        self._number = number

    def write(self, data: bytes) -> int:
        self._file.write(data[:1])
        raise OSError(self._number, os.strerror(self._number))

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_nothing_partial_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = BlobStore(str(tmp_path))
    really = store._files.open
    monkeypatch.setattr(store._files, "open", lambda *args: FullFile(really(*args), number))
    with pytest.raises(NoSpace, match=str(tmp_path)):
        store.put([b"too much"])
    monkeypatch.undo()
    assert files_below(tmp_path) == []


def test_uploads_that_a_crash_cut_off_are_removed_when_they_are_old(tmp_path: Path) -> None:
    store = BlobStore(str(tmp_path))
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    for name, age in (("old", 2 * 86_400), ("new", 0)):
        (uploads / name).write_bytes(b"part")
        os.utime(uploads / name, (time.time() - age,) * 2)
    store.sweep_uploads()
    assert [path.name for path in uploads.iterdir()] == ["new"]
