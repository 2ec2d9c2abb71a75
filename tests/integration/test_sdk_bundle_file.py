"""The container of exported versions."""

from __future__ import annotations

import errno
import os
import tarfile
from io import BytesIO
from typing import IO, TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import DigestMismatch, InvalidRequest, NoSpace
from orchestrator.sdk.bundles.file import BundleReader, BundleWriter, Member, written_beside

if TYPE_CHECKING:
    from pathlib import Path

NAME = f"blobs/{'ab' * 32}"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.from_regex(r"\A[a-z0-9/-]{1,90}\Z"), st.binary(max_size=2000), max_size=6))
def test_what_is_written_is_read_again_here_and_by_any_tar(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = tmp_path / "it.tar"
    with path.open("wb") as file:
        writer = BundleWriter(file)
        for name, data in members.items():
            writer.add(name, data)
        writer.end()
        assert file.tell() == writer.size_bytes
    with BundleReader(path) as reader:
        assert {member.name: reader.read(member) for member in reader.members()} == members
        assert {each.name: b"".join(reader.chunks(each, start=1)) for each in reader.members()} == {
            name: data[1:] for name, data in members.items()
        }
    with tarfile.open(path) as tar:
        assert {each.name: (tar.extractfile(each) or BytesIO()).read() for each in tar} == members


def test_members_of_more_than_8_gib_are_found(tmp_path: Path) -> None:
    path, size = tmp_path / "it.tar", (9 << 30) + 1

    def write(target: IO[bytes]) -> None:
        block = bytes(256 << 20)
        for _ in range(size // len(block)):
            target.write(block)
        target.write(b"!" * (size % len(block)))

    with path.open("wb") as file:
        writer = BundleWriter(file)
        writer.add_large(NAME, size, write)
        writer.add("after", b"x")
        writer.end()
    assert path.stat().st_blocks * 512 < 1 << 20  # holes stay holes
    with BundleReader(path) as reader:
        large, after = reader.members()
        assert (large.name, large.size_bytes, after.name) == (NAME, size, "after")
        assert b"".join(reader.chunks(large, start=size - 3)) == b"\0\0!"
    with tarfile.open(path) as tar:
        assert [(each.name, each.size) for each in tar] == [(NAME, size), ("after", 1)]


def test_a_large_member_that_fails_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "it.tar"
    with path.open("wb") as file:
        writer = BundleWriter(file)
        with pytest.raises(DigestMismatch, match="2 bytes where 3"):
            writer.add_large("short", 3, lambda target: target.write(b"ab"))
        writer.add_large("whole", 3, lambda target: target.write(b"abc"))
        writer.end()
    with BundleReader(path) as reader:
        assert [member.name for member in reader.members()] == ["whole"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])
def test_nothing_but_files_is_accepted(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "it.tar"
    info = tarfile.TarInfo("retrain-dataset.json")
    info.type, info.linkname = kind, "/etc/passwd" if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else ""
    with tarfile.open(path, "w") as tar:
        tar.addfile(info)
    with BundleReader(path) as reader, pytest.raises(InvalidRequest, match=r"it\.tar is no exported"):
        list(reader.members())


def test_a_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "it.tar"
    with path.open("wb") as file:
        writer = BundleWriter(file)
        writer.add("first", b"x")
        writer.add("second", b"y" * 1000)
        writer.end()
    with path.open("r+b") as file:
        file.truncate(1024 + 512 + 700)
    with BundleReader(path) as reader, pytest.raises(DigestMismatch, match="second is not there to its end"):
        list(reader.members())
    with BundleReader(path) as reader, pytest.raises(DigestMismatch, match="it was cut"):
        reader.read(Member("second", 1536, 1000))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_nothing_is_left(tmp_path: Path, number: int) -> None:
    def write() -> None:
        with written_beside(tmp_path / "it.tar"):
            raise OSError(number, os.strerror(number))

    with pytest.raises(NoSpace, match=r"it\.tar"):
        write()
    assert list(tmp_path.iterdir()) == []
