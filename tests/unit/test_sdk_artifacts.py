from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from orchestrator.sdk.artifacts import Artifact, prepare
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from pathlib import Path


def read_back(value: Any, folder: Path) -> Any:  # noqa: ANN401  any artifact
    """What `Artifact.get` makes of the bytes that `prepare` wrote, without a server in between."""
    made = prepare("a/name", value, directory=folder)
    kept = folder / "copies" / "digest" / made.filename
    kept.parent.mkdir(parents=True, exist_ok=True)
    made.path.replace(kept)
    with Client("http://127.0.0.1:1") as client:
        artifact = Artifact(
            name="a/name",
            kind=made.kind,
            filename=made.filename,
            digest="blake3:digest",
            size_bytes=kept.stat().st_size,
            preview=made.preview,
            client=client,
            directory=folder / "copies",
        )
        return artifact.get()


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None]}, [1, "é"], {}, 3, True, None, "text\nof lines é"])
def test_values_come_back_as_they_were(value: object, tmp_path: Path) -> None:
    assert read_back(value, tmp_path) == value


def test_bytes_and_files_come_back_as_paths(tmp_path: Path) -> None:
    assert read_back(b"\0\1", tmp_path).read_bytes() == b"\0\1"
    file = tmp_path / "model.bin"
    file.write_bytes(b"weights")
    for named in (file, str(file)):
        copy = read_back(named, tmp_path)
        assert (copy.name, copy.read_bytes()) == ("model.bin", b"weights")
    assert file.exists()


def test_a_file_may_change_after_it_was_uploaded(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"first")
    made = prepare("model", file, directory=tmp_path / "work")
    file.write_bytes(b"second")
    assert made.path.read_bytes() == b"first"


def test_a_text_that_names_no_file_is_a_text(tmp_path: Path) -> None:
    for text in ("absent.bin", "", "x" * 10_000, "nul\0"):
        assert prepare("note", text, directory=tmp_path).kind == "text"


def test_a_path_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        prepare("model", tmp_path / "absent", directory=tmp_path)
    with pytest.raises(IsADirectoryError):
        prepare("model", tmp_path, directory=tmp_path)


@dataclasses.dataclass
class Thing:
    value: int = 1


@pytest.mark.parametrize("value", [Thing(), {"thing": Thing()}, {1, 2}, print])
def test_what_would_have_to_be_pickled_is_refused(value: object, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="pickled"):
        prepare("thing", value, directory=tmp_path)


def test_a_long_text_is_shown_in_part(tmp_path: Path) -> None:
    made = prepare("long", ["x" * 100_000], directory=tmp_path)
    assert 0 < len(made.preview) < 10_000
    assert json.loads(made.path.read_text()) == ["x" * 100_000]


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert (read_back(array, tmp_path) == array).all()
    with pytest.raises(TypeError, match="pickled"):
        prepare("objects", np.array([object()]), directory=tmp_path)


def test_frames_come_back_as_they_were(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert read_back(frame, tmp_path).equals(frame)


def test_images_and_figures_become_png(tmp_path: Path) -> None:
    assert read_back(Image.new("RGB", (2, 2)), tmp_path).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("text", ["absent/f.csv", "absent/", "/absent/model.pt", "~/x.tar.gz"])
def test_a_text_that_can_only_be_a_path_is_not_stored_in_place_of_the_file(text: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="upload it in a dict"):
        prepare("data", text, directory=tmp_path)


def test_the_name_of_a_folder_is_not_stored_in_place_of_it(tmp_path: Path) -> None:
    for named in (str(tmp_path), tmp_path):
        with pytest.raises(IsADirectoryError, match="make_archive"):
            prepare("data", named, directory=tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        *("yes/no", "3/4.5", "see docs/readme.md", "https://host/a.csv", "<p>a/b.c</p>", "s3://bucket/a.csv"),
        *("a sentence. And/or another.", "meta-llama/Llama-3.1", '{"file": "a/b.csv"}', "é/ü b"),
    ],
)
def test_plain_texts_with_slashes_and_dots_are_texts(text: str, tmp_path: Path) -> None:
    assert prepare("note", text, directory=tmp_path).kind == "text"
