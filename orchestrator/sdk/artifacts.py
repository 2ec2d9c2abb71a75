"""Results of a run as files: what an object becomes, and how it is read back. Nothing is ever pickled."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.sdk.client import Client

PREVIEW_LENGTH = 4000
_PATH = re.compile(r"(?=.*/)[\w./~@+=,-]*(?:/|[^/.]\.[A-Za-z][A-Za-z0-9]{0,7})")
"""Slashes, and a slash or a file's suffix at the end. Addresses, sentences, fractions and `yes/no` are texts."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An object that became a file.

    Attributes:
        kind: how the bytes are to be read: `json`, `text`, `csv`, `parquet`, `npy`, `image` or `file`.
        filename: what it is called when it is downloaded.
        path: where its bytes are now.
        preview: its beginning, for people.
    """

    kind: str
    filename: str
    path: Path
    preview: str = ""


def prepare(name: str, value: Any, *, directory: Path) -> Prepared:  # noqa: ANN401  what people upload
    """Write an object into a file of a directory; a file is copied, so that it may change afterwards.

    Args:
        name: what the artifact is called.
        value: a dict or list (JSON), a string, bytes, the path of a file (a string that names one is one), a NumPy
            array, a pandas DataFrame or Series, a PIL image or a matplotlib figure.
        directory: where to; made when it is not there.

    Raises:
        TypeError: it is something else.
        FileNotFoundError: a `Path` that is not there, or a string that can only be meant as one.
        IsADirectoryError: a path of a directory, or a string that names one.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / os.urandom(8).hex()
    stem = name.replace("/", "_")
    file = _named_file(value)
    if file is not None:
        shutil.copyfile(file, path)
        return Prepared(kind="file", filename=file.name, path=path)
    writer = _writer_of(value)
    if writer is None:
        raise TypeError(
            f"an artifact cannot be made of {type(value).__module__}.{type(value).__qualname__}, for objects are not"
            " pickled here; write it to a file of a format of its own and upload the path"
        )
    kind, suffix, preview = writer(value, path)
    return Prepared(kind=kind, filename=stem + suffix, path=path, preview=preview[:PREVIEW_LENGTH])


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A named result of a task.

    Attributes:
        name: what it is called.
        kind: see `Prepared`.
        size_bytes: of the file.
        digest: of the bytes.
        preview: its beginning, for people.
    """

    name: str
    kind: str
    filename: str
    digest: str
    size_bytes: int
    preview: str
    client: Client
    directory: Path

    def get_local_copy(self) -> Path:
        """Return the path of a copy on this machine, downloaded where it is not here yet.

        Raises:
            OrchestratorError: it cannot be downloaded.
        """
        return fetch(self.digest, filename=self.filename, directory=self.directory, client=self.client)

    def get(self) -> Any:  # noqa: ANN401  what was uploaded
        """Return the object: JSON values, a string, an array or a DataFrame; for other kinds the path of a copy."""
        path = self.get_local_copy()
        reader = _READERS.get(self.kind)
        return path if reader is None else reader(path)


def fetch(digest: str, *, filename: str, directory: Path, client: Client) -> Path:
    """Return the path of a copy of a blob on this machine, downloaded where it is not here yet.

    Args:
        digest: of the bytes.
        filename: what the copy is called.
        directory: where copies are kept.
        client: speaks to the server.

    Raises:
        OrchestratorError: it cannot be downloaded.
    """
    path = directory / digest.partition(":")[2] / filename
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{os.urandom(8).hex()}")
        try:
            with draft.open("wb") as target:
                client.download(f"/blobs/{digest}", target)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return path


def _named_file(value: object) -> Path | None:
    """Return the file that an object names, if it names one.

    Raises:
        FileNotFoundError, IsADirectoryError: it can only be meant as a path, but there is no file.
    """
    if isinstance(value, Path):
        _refuse_directory(value)
        return value
    if isinstance(value, str) and value and len(value) < os.pathconf("/", "PC_PATH_MAX") and "\n" not in value:
        try:
            if Path(value).is_file():
                return Path(value)
            there = Path(value).exists()
        except (OSError, ValueError):
            return None
        if there:
            _refuse_directory(Path(value))
        elif _PATH.fullmatch(value):
            raise FileNotFoundError(
                f"there is no file {value!r}, looked for from {Path.cwd()}; if it is a text and no path, upload it in a"
                ' dict: {"text": …}'
            )
    return None


def _refuse_directory(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(
            f"{str(path)!r} is a directory, and an artifact is one file: pack it (shutil.make_archive) and upload the"
            ' path, or make a Dataset of it; if it is a text and no path, upload it in a dict: {"text": …}'
        )


def _writer_of(value: object) -> Callable[[Any, Path], tuple[str, str, str]] | None:
    if isinstance(value, str):
        return _write_text
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _write_bytes
    if isinstance(value, (dict, list, tuple, int, float, bool)) or value is None:
        return _write_json
    for module, name, writer in _FOREIGN:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(value, kind):
            return writer
    return None


def _write_text(value: str, path: Path) -> tuple[str, str, str]:
    path.write_text(value, encoding="utf-8")
    return "text", ".txt", value


def _write_bytes(value: bytes, path: Path) -> tuple[str, str, str]:
    path.write_bytes(value)
    return "file", ".bin", ""


def _write_json(value: object, path: Path) -> tuple[str, str, str]:
    try:
        text = json.dumps(value, indent=1, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"an artifact of a {type(value).__name__} has to be JSON, for nothing is pickled: {error}"
        ) from None
    path.write_text(text, encoding="utf-8")
    return "json", ".json", text


def _write_array(value: Any, path: Path) -> tuple[str, str, str]:  # noqa: ANN401  numpy is not imported here
    if value.dtype.hasobject:
        raise TypeError("an array of Python objects would have to be pickled; give it a type of numbers or strings")
    with path.open("wb") as target:
        sys.modules["numpy"].save(target, value, allow_pickle=False)
    return "npy", ".npy", f"{value.dtype} {value.shape}"


def _write_frame(value: Any, path: Path) -> tuple[str, str, str]:  # noqa: ANN401  pandas is not imported here
    frame = value.to_frame() if value.ndim == 1 else value
    preview = frame.head(20).to_csv()
    if find_spec("pyarrow") is None:
        frame.to_csv(path)
        return "csv", ".csv", preview
    frame.to_parquet(path)
    return "parquet", ".parquet", preview


def _write_image(value: Any, path: Path) -> tuple[str, str, str]:  # noqa: ANN401  PIL is not imported here
    value.save(path, format="PNG")
    return "image", ".png", ""


def _write_figure(value: Any, path: Path) -> tuple[str, str, str]:  # noqa: ANN401  matplotlib is not imported here
    value.savefig(path, format="png")
    return "image", ".png", ""


def _read_json(path: Path) -> Any:  # noqa: ANN401  what was uploaded
    return json.loads(path.read_text(encoding="utf-8"))


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _read_array(path: Path) -> Any:  # noqa: ANN401  numpy is not imported here
    return import_module("numpy").load(path, allow_pickle=False)


def _read_csv(path: Path) -> Any:  # noqa: ANN401  pandas is not imported here
    if find_spec("pandas") is None:
        return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    return import_module("pandas").read_csv(path, index_col=0)


def _read_parquet(path: Path) -> Any:  # noqa: ANN401  pandas is not imported here
    return import_module("pandas").read_parquet(path)


_FOREIGN: tuple[tuple[str, str, Callable[[Any, Path], tuple[str, str, str]]], ...] = (
    ("numpy", "ndarray", _write_array),
    ("pandas", "DataFrame", _write_frame),
    ("pandas", "Series", _write_frame),
    ("PIL.Image", "Image", _write_image),
    ("matplotlib.figure", "Figure", _write_figure),
)
_READERS: dict[str, Callable[[Path], Any]] = {
    "json": _read_json,
    "text": _read_text,
    "npy": _read_array,
    "csv": _read_csv,
    "parquet": _read_parquet,
}
