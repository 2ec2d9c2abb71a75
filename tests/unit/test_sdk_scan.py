from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.errors import InvalidPath
from orchestrator.sdk.scan import read_steadily, scan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    (root / "a.csv").write_text("a")
    (root / "sub" / "b.csv").write_text("bb")
    (root / "sub" / "c.txt").write_text("c")
    return root


def names(path: Path, **options: object) -> list[str]:
    given = {"wildcards": (), "base": None, "prefix": "", "recursive": True} | options
    return [found.name for found in scan(path, **given)]  # type: ignore[arg-type]


def test_names_are_relative_to_the_folder(folder: Path) -> None:
    assert names(folder) == ["a.csv", "sub/b.csv", "sub/c.txt"]
    assert names(folder, recursive=False) == ["a.csv"]
    assert names(folder, prefix="in/here") == ["in/here/a.csv", "in/here/sub/b.csv", "in/here/sub/c.txt"]
    assert names(folder / "sub", base=folder) == ["sub/b.csv", "sub/c.txt"]
    assert names(folder / "sub" / "b.csv") == ["b.csv"]
    assert names(folder / "sub" / "b.csv", base=folder) == ["sub/b.csv"]


def test_wildcards_match_names_and_paths(folder: Path) -> None:
    assert names(folder, wildcards=["*.csv"]) == ["a.csv", "sub/b.csv"]
    assert names(folder, wildcards=["sub/*", "a.*"]) == ["a.csv", "sub/b.csv", "sub/c.txt"]
    assert names(folder, wildcards=["*.none"]) == []


def test_executable_files_keep_that_bit(folder: Path) -> None:
    (folder / "a.csv").chmod(0o700)
    assert [found.mode for found in scan(folder, wildcards=(), base=None, prefix="", recursive=False)] == [0o755]


def test_links_inside_are_followed(folder: Path) -> None:
    (folder / "again").symlink_to("sub")
    (folder / "copy.csv").symlink_to("a.csv")
    assert names(folder) == ["a.csv", "again/b.csv", "again/c.txt", "copy.csv", "sub/b.csv", "sub/c.txt"]


@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "nowhere", ".", "sub/.."])
def test_links_out_of_the_folder_to_nothing_or_in_a_circle_are_refused_by_name(folder: Path, target: str) -> None:
    (folder.parent / "outside").write_text("secret")
    (folder / "bad").symlink_to(target)
    with pytest.raises(InvalidPath, match="data/bad is a link"):
        names(folder)


@pytest.mark.parametrize("prefix", ["..", "/abs", "a/../b"])
def test_names_that_leave_the_dataset_are_refused(folder: Path, prefix: str) -> None:
    with pytest.raises(InvalidPath, match="leaves the dataset"):
        names(folder, prefix=prefix)


def test_a_file_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(InvalidPath, match=r"absent\.csv is not there"):
        names(folder / "absent.csv")


def test_what_is_no_file_is_named(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(InvalidPath, match="pipe is no file"):
        names(folder)


def test_a_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.csv")).write_text("x")
    with pytest.raises(InvalidPath, match="not valid UTF-8"):
        names(folder)


def test_a_file_outside_its_base_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidPath, match="is not below"):
        names(folder, base=tmp_path / "elsewhere")


def test_a_file_that_changes_while_it_is_read_is_read_again_once(folder: Path) -> None:
    (found,) = scan(folder / "a.csv", wildcards=(), base=None, prefix="", recursive=True)
    reads = []

    def read(file: Path) -> str:
        reads.append(file)
        if len(reads) == 1:
            file.write_text("longer")
        return file.read_text()

    assert read_steadily(found, read=read) == ("longer", 6)


def test_a_file_that_never_holds_still_is_named(folder: Path) -> None:
    (found,) = scan(folder / "a.csv", wildcards=(), base=None, prefix="", recursive=True)

    def read(file: Path) -> str:
        file.write_text(file.read_text() + "x")
        return ""

    with pytest.raises(InvalidPath, match=r"a\.csv changed while it was read"):
        read_steadily(found, read=read)


def test_a_file_that_vanishes_is_named(folder: Path) -> None:
    (found,) = scan(folder / "a.csv", wildcards=(), base=None, prefix="", recursive=True)
    found.file.unlink()
    with pytest.raises(InvalidPath, match=r"a\.csv is not there"):
        read_steadily(found, read=lambda file: file.read_text())
