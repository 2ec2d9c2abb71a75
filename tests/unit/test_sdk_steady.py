from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from orchestrator.errors import InvalidPath
from orchestrator.sdk.ingest import steady
from orchestrator.sdk.ingest.steady import Steady, hash_large, read_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "a.csv"
    file.write_text("content")
    return file


def after_reads(monkeypatch: pytest.MonkeyPatch, then: Callable[[int], object]) -> None:
    """Let something happen each time when a file was read and not yet looked at again."""
    read, reads = steady._read, []

    def read_and_more(descriptor: int, size_bytes: int) -> bytes:
        data = read(descriptor, size_bytes)
        reads.append(size_bytes)
        then(len(reads))
        return data

    monkeypatch.setattr(steady, "_read", read_and_more)


def test_a_small_file_is_read_whole(file: Path) -> None:
    read = read_whole(str(file), most_bytes=100)
    assert read is not None
    assert (read.data, read.status.st_ino) == (b"content", file.stat().st_ino)
    assert read_whole(str(file), most_bytes=6) is None


def test_a_file_that_changes_while_it_is_read_is_read_again_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after_reads(monkeypatch, lambda count: file.write_text("longer content") if count == 1 else None)
    read = read_whole(str(file), most_bytes=100)
    assert read is not None
    assert read.data == b"longer content"


@pytest.mark.parametrize("how", ["appended", "replaced", "overwritten, with its old time put back"])
def test_a_file_that_never_holds_still_is_named(file: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    before = file.stat()

    def change(_: int) -> None:
        if how == "appended":
            file.write_text(file.read_text() + "x")
        elif how == "replaced":
            (file.parent / "other").write_text("CONTENT")
            (file.parent / "other").rename(file)
        else:
            time.sleep(0.02)
            file.write_text("CONTENT")
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    after_reads(monkeypatch, change)
    with pytest.raises(InvalidPath, match=r"a\.csv changed while it was read"):
        read_whole(str(file), most_bytes=100)


def test_a_file_that_vanishes_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after_reads(monkeypatch, lambda _: file.unlink())
    with pytest.raises(InvalidPath, match=r"a\.csv is not there"):
        read_whole(str(file), most_bytes=100)
    for look in (Steady, lambda path: read_whole(path, most_bytes=1)):
        with pytest.raises(InvalidPath, match=r"a\.csv is not there"):
            look(str(file))


def test_what_became_a_pipe_does_not_block(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(InvalidPath, match=r"a\.csv changed"):
        read_whole(str(file), most_bytes=100)


def test_a_change_within_one_step_of_the_clock_is_seen(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_once(count: int) -> None:
        if count == 1:
            file.write_text("CONTENT")  # as long, and at once

    for _ in range(20):
        file.write_text("content")
        with monkeypatch.context() as patch:
            after_reads(patch, write_once)
            read = read_whole(str(file), most_bytes=100)
        assert read is not None
        assert read.data == b"CONTENT"


def test_a_large_file_is_hashed_in_pieces(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "_BUFFER_BYTES", 1000)
    content = os.urandom(10_500)
    file.write_bytes(content)
    counted: list[int] = []
    assert hash_large(str(file), on_bytes=counted.append) == blake3(content).digest()
    assert (sum(counted), max(counted)) == (10_500, 1000)


def test_a_large_file_that_is_written_to_meanwhile_is_named(file: Path) -> None:
    watched = Steady(str(file))
    watched.check()
    writer = threading.Thread(target=file.write_text, args=("CONTENT",))
    writer.start()
    writer.join()
    with pytest.raises(InvalidPath, match=r"a\.csv changed while it was read"):
        watched.check()
