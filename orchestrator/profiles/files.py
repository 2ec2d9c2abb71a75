"""The profile of one file."""

from __future__ import annotations

import io
import math
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.profiles.csv_tables import read_csv
from orchestrator.profiles.json_tables import read_json_lines
from orchestrator.profiles.kinds import MAGIC_BYTES, kind_of, magic_of
from orchestrator.profiles.media import read_audio, read_image, read_text
from orchestrator.profiles.parquet_tables import read_parquet
from orchestrator.profiles.tables import Damaged
from orchestrator.profiles.window import Window
from orchestrator.records.profile import FileKind, FileProfile, cut

if TYPE_CHECKING:
    from typing import BinaryIO

_BUFFER_BYTES = 1 << 20
_WHY_CHARACTERS = 300


class Limits(NamedTuple):
    """How much of a file is read at most; what is behind makes its profile partial."""

    size_bytes: int = 1 << 30
    seconds: float = math.inf
    """Only tables ask for it: between two batches of rows."""


_DEFAULT = Limits()


def profile_file(
    source: BinaryIO, *, name: str, size_bytes: int, offset: int = 0, limits: Limits = _DEFAULT
) -> FileProfile:
    """Profile a file; one that is damaged or not what its name says gets a profile with `error`.

    Args:
        source: seekable; it stays open.
        name: the file's name or path, whose end tells what it is.
        size_bytes: of the file.
        offset: where the file begins in the source.
        limits: how much of it is read.
    """
    kind = FileKind.OTHER
    try:
        first = Window(source, offset=offset, size_bytes=min(size_bytes, MAGIC_BYTES)).read() or b""
        kind, table = kind_of(name, first=first)
        if kind is FileKind.OTHER:
            return FileProfile(kind=kind, size_bytes=size_bytes)
        _check(kind, first=first)
        return _profile(Window(source, offset=offset, size_bytes=size_bytes), kind, table, limits=limits)
    except Exception as error:  # noqa: BLE001  parsers raise anything for bytes from anywhere; the profile tells of it
        transient = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None)
        return FileProfile(kind=kind, size_bytes=size_bytes, error=_why(error), transient=transient)


_ARTICLES = {
    FileKind.TABLE: "a table",
    FileKind.IMAGE: "an image",
    FileKind.AUDIO: "a sound file",
    FileKind.TEXT: "a text",
    FileKind.OTHER: "something else",
}


def _check(kind: FileKind, *, first: bytes) -> None:
    if not first and kind is not FileKind.TEXT:
        raise Damaged("it is empty")
    found = magic_of(first)
    if found is not None and found is not kind:
        raise Damaged(f"its name is that of {_ARTICLES[kind]}, its bytes are those of {_ARTICLES[found]}")


def _profile(file: Window, kind: FileKind, table: str | None, *, limits: Limits) -> FileProfile:
    size_bytes = file.size()
    whole = size_bytes <= limits.size_bytes
    until = monotonic() + limits.seconds
    bounded = size_bytes
    if not whole and table != "parquet" and kind in {FileKind.TABLE, FileKind.TEXT}:
        bounded = _last_line_end(file, limit_bytes=limits.size_bytes)
    window = io.BufferedReader(file.first(bounded), _BUFFER_BYTES)
    profile = FileProfile(kind=kind, size_bytes=size_bytes, partial=bounded < size_bytes)
    match kind, table:
        case FileKind.TABLE, "csv":
            sketch, late = read_csv(window, whole=whole, until=until)
            return profile.changed(table=sketch, partial=late or profile.partial)
        case FileKind.TABLE, "jsonl":
            sketch, late = read_json_lines(window, until=until)
            return profile.changed(table=sketch, partial=late or profile.partial)
        case FileKind.TABLE, _:
            sketch, cut_off = read_parquet(window, limit_bytes=limits.size_bytes, until=until)
            return profile.changed(table=sketch, partial=cut_off)
        case FileKind.IMAGE, _:
            image, too_large = read_image(window)
            return profile.changed(image=image, partial=too_large)
        case FileKind.AUDIO, _:
            return profile.changed(audio=read_audio(window, size_bytes=size_bytes))
        case _:
            return profile.changed(text=read_text(window, whole=whole))


def _last_line_end(file: Window, *, limit_bytes: int) -> int:
    """Return how many bytes up to a limit are whole lines; the limit where the last line is very long."""
    start = max(0, limit_bytes - _BUFFER_BYTES)
    file.seek(start)
    tail = file.read(limit_bytes - start) or b""
    end = tail.rfind(b"\n") + 1
    return start + end if end else limit_bytes


def _why(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it takes more memory to read than there is"
    text = str(error).strip().split("\n", 1)[0]
    if not text or not isinstance(error, (Damaged, OSError, ValueError)):  # those read as sentences without their name
        text = f"{type(error).__name__}: {text}"
    return cut(text, characters=_WHY_CHARACTERS)


__all__ = ["Limits", "profile_file"]
