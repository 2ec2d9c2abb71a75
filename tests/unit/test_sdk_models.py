"""Which files of a folder become a model, and what is refused by name."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.errors import InvalidPath, InvalidRequest
from orchestrator.sdk.models import files as files_module
from orchestrator.sdk.models.files import copy_files, find_files
from orchestrator.sdk.models.registering import register
from orchestrator.sdk.running import Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "saved"
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "weights.bin").write_bytes(b"weights")
    (root / "sub" / "é.json").write_text("{}")
    return root


def test_a_file_is_called_by_its_name_and_a_folder_s_files_by_their_paths(folder: Path) -> None:
    assert find_files(folder / "weights.bin") == {"weights.bin": folder / "weights.bin"}
    assert list(find_files(folder).items()) == [
        ("sub/é.json", folder / "sub" / "é.json"),
        ("weights.bin", folder / "weights.bin"),
    ]


def test_links_that_stay_in_the_folder_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "latest").symlink_to("weights.bin")
    (folder / "again").symlink_to("sub")
    (tmp_path / "link").symlink_to(folder)
    assert list(find_files(tmp_path / "link")) == ["again/é.json", "latest", "sub/é.json", "weights.bin"]
    copies = copy_files(find_files(folder), directory=tmp_path / "a" / "copies")
    assert Path(copies["latest"]).read_bytes() == b"weights"
    assert not any(Path(copy).is_symlink() for copy in copies.values())


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("../beside", "out of the folder, to"),
        ("..", "out of the folder"),
        ("nowhere", "a link to nothing: 'nowhere'"),
        (".", "around in a circle"),
        ("sub/..", "around in a circle"),
    ],
)
def test_links_that_lead_elsewhere_are_refused_by_name(folder: Path, target: str, words: str) -> None:
    (folder.parent / "beside").mkdir()
    (folder / "bad").symlink_to(target)
    with pytest.raises(InvalidPath, match="saved/bad is a link") as caught:
        find_files(folder)
    assert words in caught.value.message


def test_what_is_no_file_is_refused_by_name(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for path in (folder, folder / "pipe"):
        with pytest.raises(InvalidPath, match="pipe is neither"):
            find_files(path)
    (folder / "pipe").unlink()
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket has at most 107 bytes
        try:
            bound.bind("socket")
        finally:
            os.chdir(here)
        with pytest.raises(InvalidPath, match="socket is neither"):
            find_files(folder)


def test_what_is_not_there_is_empty_or_too_much_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        find_files(tmp_path / "absent")
    with pytest.raises(InvalidRequest, match="empty"):
        find_files(folder / "sub" / "empty")
    monkeypatch.setattr(files_module, "MOST_FILES", 1)
    with pytest.raises(InvalidRequest, match="more than 1 files"):
        find_files(folder)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / os.fsdecode(b"\xff")).touch()
    with pytest.raises(InvalidPath, match="UTF-8"):
        find_files(tmp_path / "odd")


def test_a_copy_that_fails_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    found = find_files(folder)
    (folder / "weights.bin").unlink()
    with pytest.raises(FileNotFoundError):
        copy_files(found, directory=tmp_path / "copies")
    assert not (tmp_path / "copies").exists()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"name": ""}, ValueError),
        ({"name": "a\nb"}, ValueError),
        ({"framework": ""}, ValueError),
        ({"tags": ["a,b"]}, ValueError),
        ({"aliases": ["x" * 129]}, ValueError),
        ({"metadata": {"loss": float("nan")}}, TypeError),
        ({"metadata": {"model": object()}}, TypeError),
        ({"path": "absent"}, FileNotFoundError),
    ],
)
def test_what_the_server_would_refuse_later_is_refused_at_once(
    folder: Path, said: dict[str, object], error: type[Exception]
) -> None:
    run = Run({"id": "0" * 32, "project": "p"}, attempt=1, parameters=[])
    plain = {"name": "m", "path": folder, "framework": None, "tags": None, "metadata": None, "aliases": None}
    register(run, **plain, comment="")  # type: ignore[arg-type]  keywords by name
    with pytest.raises(error):
        register(run, **plain | said, comment="")  # type: ignore[arg-type]  as above
