from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import InvalidPath
from orchestrator.records.manifest import order
from orchestrator.sdk.ingest.refused import Refused
from orchestrator.sdk.ingest.scan import Selection, scan, unusable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    (root / "a.csv").write_text("a")
    (root / "sub" / "b.csv").write_text("bb")
    (root / "sub" / "c.txt").write_text("c")
    return root


def names(path: Path, **options: object) -> list[str]:
    return [name for name, _ in scan(path, **options)]  # type: ignore[arg-type]


def test_names_are_relative_to_the_folder(folder: Path) -> None:
    assert names(folder) == ["a.csv", "sub/b.csv", "sub/c.txt"]
    assert names(folder, recursive=False) == ["a.csv"]
    assert names(folder, prefix="in/here") == ["in/here/a.csv", "in/here/sub/b.csv", "in/here/sub/c.txt"]
    assert names(folder, prefix="in//here/./") == names(folder, prefix="in/here")
    assert names(folder / "sub", base=folder) == ["sub/b.csv", "sub/c.txt"]
    assert names(folder / "sub" / "b.csv") == ["b.csv"]
    assert names(folder / "sub" / "b.csv", prefix="in") == ["in/b.csv"]
    assert names(folder / "sub" / "b.csv", base=folder) == ["sub/b.csv"]


def test_wildcards_match_names_and_paths(folder: Path) -> None:
    assert names(folder, wildcards=["*.csv"]) == ["a.csv", "sub/b.csv"]
    assert names(folder, wildcards=["sub/*", "a.*"]) == ["a.csv", "sub/b.csv", "sub/c.txt"]
    assert names(folder, wildcards=["*.none"]) == []


def test_a_selection_knows_what_it_would_select(folder: Path) -> None:
    whole = Selection(folder)
    assert (whole.whole, whole.selects("x/y")) == (True, True)
    flat = Selection(folder, recursive=False)
    assert (flat.whole, flat.selects("x"), flat.selects("x/y")) == (False, True, False)
    tables = Selection(folder, wildcards=["*.csv"], prefix="in")
    assert (tables.whole, tables.selects("x/y.csv"), tables.selects("x/y.txt"), tables.head) == (
        False,
        True,
        False,
        "in/",
    )
    alone = Selection(folder / "a.csv", prefix="in")
    assert (alone.whole, alone.alone, alone.selects("a.csv"), alone.selects("b.csv")) == (True, "in/a.csv", True, False)


def test_links_inside_are_followed(folder: Path) -> None:
    (folder / "again").symlink_to("sub")
    (folder / "copy.csv").symlink_to("a.csv")
    assert names(folder) == ["a.csv", "again/b.csv", "again/c.txt", "copy.csv", "sub/b.csv", "sub/c.txt"]
    found = dict(scan(folder))
    assert found["copy.csv"].file == str(folder.resolve() / "a.csv")
    assert found["again/b.csv"].status.st_ino == (folder / "sub" / "b.csv").stat().st_ino


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to("data")
    (folder / "copy.csv").symlink_to(folder / "a.csv")
    assert names(folder.parent / "link") == names(folder)


@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "nowhere", ".", "sub/.."])
def test_links_out_of_the_folder_to_nothing_or_in_a_circle_are_refused_by_name(folder: Path, target: str) -> None:
    (folder.parent / "outside").write_text("secret")
    (folder / "bad").symlink_to(target)
    with pytest.raises(InvalidPath, match="data/bad is a link"):
        names(folder)


def test_a_link_to_a_folder_whose_name_begins_alike_leads_out(folder: Path) -> None:
    (folder.parent / "data2").mkdir()
    (folder / "bad").symlink_to("../data2")
    with pytest.raises(InvalidPath, match="data/bad is a link out of the folder"):
        names(folder)


def test_links_that_lead_to_each_other_end(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "to_sub").symlink_to("../sub")
    (folder / "sub" / "to_other").symlink_to("../other")
    with pytest.raises(InvalidPath, match="is a link to a folder around it"):
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
    with pytest.raises(InvalidPath, match="pipe is no file"):
        names(folder / "pipe")
    assert names(folder, wildcards=["*.csv"]) == ["a.csv", "sub/b.csv"]


def test_a_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.csv")).write_text("x")
    with pytest.raises(InvalidPath, match="not valid UTF-8"):
        names(folder)


def test_a_path_that_is_too_long_is_refused_and_the_others_are_named(folder: Path) -> None:
    here = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(14):  # longer than the system takes at once: step by step
            os.mkdir("d" * 230, dir_fd=here)
            inner = os.open("d" * 230, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    finally:
        os.close(here)
    with pytest.raises(InvalidPath, match=r"longer than 3072 bytes") as refused:
        names(folder)
    assert refused.value.hint
    assert names(folder, recursive=False) == ["a.csv"]


def test_what_cannot_be_read_says_what_to_do(folder: Path) -> None:
    for error in (FileNotFoundError(2, "No such file"), PermissionError(13, "Permission denied")):
        assert unusable(str(folder / "a.csv"), error).hint


def test_a_file_outside_its_base_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidPath, match="is not below"):
        names(folder, base=tmp_path / "elsewhere")


def test_all_that_is_wrong_is_named_at_once(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "sub" / "lost").symlink_to("nowhere")
    with pytest.raises(InvalidPath, match="2 files cannot be added") as caught:
        names(folder)
    assert "data/pipe is no file" in str(caught.value)
    assert "sub/lost is a link to nothing" in str(caught.value)


def test_after_many_wrong_ones_no_more_are_looked_for(folder: Path) -> None:
    for number in range(50):
        (folder / f"lost{number:02}").symlink_to("nowhere")
    with pytest.raises(InvalidPath, match="20 files cannot be added, and maybe more") as caught:
        names(folder)
    assert "lost19" in caught.value.message
    assert "lost20" not in caught.value.message


def test_a_folder_that_vanishes_while_it_is_walked_is_named(folder: Path) -> None:
    refused = Refused()
    walk = Selection(folder).files(refused)
    assert next(walk).relative == "a.csv"
    for file in (folder / "sub").iterdir():
        file.unlink()
    (folder / "sub").rmdir()
    assert list(walk) == []
    with pytest.raises(InvalidPath, match="sub is not there"):
        refused.check()


def test_folders_with_nothing_in_them_are_found_where_everything_is_selected(folder: Path) -> None:
    (folder / "empty" / "inside").mkdir(parents=True)
    assert names(folder) == ["a.csv", "empty/inside", "sub/b.csv", "sub/c.txt"]
    assert names(folder, wildcards=["*"]) == ["a.csv", "sub/b.csv", "sub/c.txt"]
    assert names(folder, recursive=False) == ["a.csv"]


def test_names_that_differ_in_case_only_are_kept_and_said_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("A.csv", "x", "X"):
        (folder / name).write_text(name)
    (folder / "sub" / "B.csv").write_text("b")
    assert names(folder) == ["A.csv", "X", "a.csv", "sub/B.csv", "sub/b.csv", "sub/c.txt", "x"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "'A.csv' and 'a.csv'" in said


PART = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=6).filter(
    lambda part: part not in {".", ".."}
)


@settings(max_examples=50, deadline=None)
@given(paths=st.lists(st.lists(PART, min_size=1, max_size=3), max_size=15))
def test_a_walk_comes_in_the_order_of_manifests(
    paths: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("walk")
    made = set()
    for parts in paths:
        file = root.joinpath(*parts)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(exist_ok=False)
        except OSError:  # a file is a folder of another
            continue
        made.add("/".join(parts))
    found = [name for name, each in scan(root) if not os.path.isdir(each.file)]  # noqa: PTH112  it is a string
    assert found == sorted(made, key=order)
