from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.console import ConsoleReader

if TYPE_CHECKING:
    from pathlib import Path


def everything(reader: ConsoleReader, *, ended: bool, maximum_bytes: int = 1 << 18) -> bytes:
    return b"".join(iter(lambda: reader.read(ended=ended, maximum_bytes=maximum_bytes), b""))


def test_a_console_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    reader = ConsoleReader(tmp_path / "console")
    assert reader.read(ended=False) == b""
    assert reader.free() == 0


def test_what_is_added_is_read_next(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_bytes(b"one\n")
    reader = ConsoleReader(path)
    assert reader.read(ended=False) == b"one\n"
    assert reader.read(ended=False) == b""
    with path.open("ab") as stream:
        stream.write(b"two\n")
    assert ConsoleReader(path, offset=reader.offset).read(ended=True) == b"two\n"


def test_chunks_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_bytes(b"x" * 1000)
    reader = ConsoleReader(path)
    assert [len(reader.read(ended=True, maximum_bytes=400)) for _ in range(4)] == [400, 400, 200, 0]


def test_a_character_that_has_begun_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_bytes("a🎈".encode()[:-1])
    reader = ConsoleReader(path)
    assert reader.read(ended=False) == b"a"
    assert reader.read(ended=False) == b""
    assert reader.read(ended=True) == "🎈".encode()[:-1]


def test_a_link_in_the_consoles_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "console").symlink_to("secret")
    with pytest.raises(OSError, match="symbolic links"):
        ConsoleReader(tmp_path / "console").read(ended=True)


def test_what_exceeds_the_limit_is_cut_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_bytes(b"a" * 100 + b"b" * 5000 + b"c" * 50)
    reader = ConsoleReader(path, limit_bytes=100, tail_bytes=50)
    assert everything(reader, ended=False) == b"a" * 100
    rest = everything(reader, ended=True)
    assert b"5,000 bytes of console were cut here; 100 are kept" in rest
    assert rest.endswith(b"]\n" + b"c" * 50)
    assert reader.offset == reader.length(path.stat().st_size)


def test_a_console_just_over_the_limit_is_kept_whole(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_bytes(b"x" * 120)
    reader = ConsoleReader(path, limit_bytes=100, tail_bytes=50)
    assert everything(reader, ended=False) + everything(reader, ended=True) == b"x" * 120


def test_the_disk_is_given_back_while_the_script_prints(tmp_path: Path) -> None:
    path = tmp_path / "console"
    mebibyte = 1 << 20
    reader = ConsoleReader(path, limit_bytes=mebibyte, tail_bytes=mebibyte)
    with path.open("ab", buffering=0) as script:
        for number in range(40):
            script.write(bytes([65 + number % 26]) * mebibyte)
            reader.free()
    assert path.stat().st_size == 40 * mebibyte
    assert path.stat().st_blocks * 512 <= 4 * mebibyte
    text = everything(reader, ended=True)
    assert text.startswith(b"A" * mebibyte + b"\n[retrain: 39,845,888 bytes")
    assert text.endswith(b"N" * mebibyte)


@given(
    text=st.text(max_size=200),
    limit=st.integers(0, 300),
    chunk=st.integers(4, 40),
    cuts=st.lists(st.integers(0, 800), max_size=5),
)
def test_the_text_is_the_same_however_it_is_read(
    tmp_path_factory: pytest.TempPathFactory, text: str, limit: int, chunk: int, cuts: list[int]
) -> None:
    data = text.encode()
    path = tmp_path_factory.getbasetemp() / "console-property"
    path.write_bytes(data)
    whole = everything(ConsoleReader(path, limit_bytes=limit, tail_bytes=20), ended=True)
    path.write_bytes(b"")
    parts, offset = [], 0
    for size in sorted(min(cut, len(data)) for cut in cuts):
        os.truncate(path, 0)
        path.write_bytes(data[:size])
        reader = ConsoleReader(path, offset=offset, limit_bytes=limit, tail_bytes=20)
        parts.append(everything(reader, ended=False, maximum_bytes=chunk))
        offset = reader.offset
    path.write_bytes(data)
    parts.append(everything(ConsoleReader(path, offset=offset, limit_bytes=limit, tail_bytes=20), ended=True))
    assert b"".join(parts) == whole
    if len(data) <= limit + 20:
        assert whole == data
