from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.records.manifest import order
from orchestrator.sdk.ingest.file_index import FileIndex, is_settled
from orchestrator.sdk.ingest.refused import Refused
from orchestrator.sdk.ingest.scan import Found, Selection

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = bytes(range(32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (root / name).write_text(name)
    return root


def walk(folder: Path) -> list[Found]:
    return list(Selection(folder).files(Refused()))


def index_of(folder: Path) -> FileIndex:
    return FileIndex(folder.parent / "index", root=str(folder))


def matched(folder: Path) -> dict[str, bytes | None]:
    return {found.relative: digest for found, digest in index_of(folder).matched(walk(folder))}


def remember(folder: Path, *, whole: bool = True) -> None:
    index = index_of(folder)
    for found, digest in index.matched(walk(folder)):
        if digest is None:
            index.learn(found.relative, found.status, DIGEST)
    index.save(whole=whole)


def test_what_was_learned_is_known_again(folder: Path) -> None:
    assert set(matched(folder).values()) == {None}
    remember(folder)
    assert matched(folder) == {"a": DIGEST, "b": DIGEST, "sub/c": DIGEST}


def test_a_file_that_changed_is_not(folder: Path) -> None:
    remember(folder)
    (folder / "b").write_text("B")
    (folder / "new").write_text("new")
    assert matched(folder) == {"a": DIGEST, "b": None, "new": None, "sub/c": DIGEST}
    remember(folder)
    assert set(matched(folder).values()) == {DIGEST}


def test_of_a_folder_in_which_little_changes_little_is_written(folder: Path) -> None:
    for number in range(100):
        (folder / f"{number:03}").write_text("x")
    remember(folder)
    (index_file,) = (folder.parent / "index").iterdir()
    before = index_file.stat()
    for name in ("000", "050", "new"):
        (folder / name).write_text("changed")
        remember(folder)
        assert set(matched(folder).values()) == {DIGEST}
        assert index_file.stat().st_ino == before.st_ino
    (folder / "050").write_text("changed once more")
    assert [name for name, digest in matched(folder).items() if digest is None] == ["050"]
    remember(folder)
    (folder / "new").unlink()
    (folder / "new").write_text("another")
    for number in range(10, 20):
        (folder / f"{number:03}").write_text("changed")
    remember(folder)
    assert [file.suffix for file in (folder.parent / "index").iterdir()] == [".index"]
    assert set(matched(folder).values()) == {DIGEST}
    assert len(matched(folder)) == 104


def test_an_old_time_that_was_put_back_does_not_help(folder: Path) -> None:
    remember(folder)
    before = (folder / "b").stat()
    time.sleep(0.02)
    (folder / "b").write_text("B")
    os.utime(folder / "b", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (folder / "b").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert matched(folder)["b"] is None


def test_another_file_in_its_place_is_not_the_same(folder: Path) -> None:
    remember(folder)
    (folder / "other").write_text("B")
    (folder / "other").rename(folder / "b")
    assert matched(folder)["b"] is None


def test_only_what_was_left_alone_is_trusted(folder: Path) -> None:
    now = time.time_ns()
    status = (folder / "a").stat()
    assert not is_settled(status, read_at_ns=now)
    assert is_settled(status, read_at_ns=now + 3_000_000_000)
    os.utime(folder / "a", ns=(now, now + 3_600_000_000_000))  # in the future
    assert not is_settled((folder / "a").stat(), read_at_ns=now + 3_000_000_000)


def test_what_is_gone_is_forgotten_where_all_was_walked_through(folder: Path) -> None:
    remember(folder)
    index_file = next((folder.parent / "index").iterdir())
    size_bytes = index_file.stat().st_size
    (folder / "a").unlink()
    remember(folder, whole=False)
    assert index_file.stat().st_size == size_bytes
    remember(folder)
    assert index_file.stat().st_size < size_bytes
    assert matched(folder) == {"b": DIGEST, "sub/c": DIGEST}


def test_of_a_part_the_rest_is_kept(folder: Path) -> None:
    remember(folder)
    (folder / "b").write_text("B")
    index = index_of(folder)
    for found, digest in index.matched(Selection(folder, wildcards=["b"]).files(Refused())):
        assert digest is None
        index.learn(found.relative, found.status, bytes(32))
    index.save(whole=False)
    assert matched(folder) == {"a": DIGEST, "b": bytes(32), "sub/c": DIGEST}


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other", "head"])
def test_a_damaged_index_is_no_index(folder: Path, damage: str) -> None:
    remember(folder)
    (file,) = (folder.parent / "index").iterdir()
    data = file.read_bytes()
    file.write_bytes(
        {
            "cut": data[:-1],
            "flipped": data[:60] + bytes([data[60] ^ 1]) + data[61:],
            "empty": b"",
            "other": os.urandom(500),
            "head": data[:7],
        }[damage]
    )
    assert set(matched(folder).values()) == {None}
    remember(folder)
    assert set(matched(folder).values()) == {DIGEST}


def test_an_index_that_cannot_be_written_is_said_and_does_no_harm(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder.parent / "index").write_text("in the way")
    remember(folder)
    assert "cannot be remembered" in capsys.readouterr().err
    assert set(matched(folder).values()) == {None}


def test_two_streams_become_one(folder: Path) -> None:
    index = index_of(folder)
    a, b, c = walk(folder)
    index.learn(b.relative, b.status, DIGEST, stream=1)
    index.learn(a.relative, a.status, DIGEST)
    index.learn(c.relative, c.status, DIGEST)
    index.save(whole=True)
    assert set(matched(folder).values()) == {DIGEST}


@settings(max_examples=40, deadline=None)
@given(rounds=st.lists(st.dictionaries(st.text("ab/", min_size=1, max_size=4), st.integers(0, 3)), max_size=4))
def test_it_remembers_as_a_dictionary_would(
    rounds: list[dict[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("index")
    model: dict[str, int] = {}
    for files in rounds:
        walked = [Found(name, "", status(files[name])) for name in sorted(files, key=order)]
        index = FileIndex(directory, root="/")
        for found, digest in index.matched(walked):
            known = model.get(found.relative)
            assert digest == (bytes([known]) * 32 if known == files[found.relative] else None)
            if digest is None:
                index.learn(found.relative, found.status, bytes([files[found.relative]]) * 32)
        index.save(whole=False)
        model |= files


def status(size: int) -> os.stat_result:
    times = {"st_mtime_ns": 0, "st_ctime_ns": 0}
    return os.stat_result((0o100644, 1, 1, 1, 0, 0, size, 0, 0, 0), times)
