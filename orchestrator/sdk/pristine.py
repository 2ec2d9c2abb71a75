"""Tells whether the files of a local copy are as they were made, at the price of a stat each.

Permissions do not keep root from writing into a copy, nor an owner who gives himself the right, and through the links
the blobs change that other copies share. So a file that is made here gets a modification time that follows from its
digest: whoever writes to it changes that. (One time for all would make files of equal size look alike to rsync.)
"""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_EARLIEST = 946_684_800
"""Seconds of 1 January 2000: there are formats that know no time before 1980."""
_DIGITS = 7
"""Of the digest: 28 bits of seconds are eight years and a half."""
_FIELDS = ("path", "digest", "size_bytes", "mode")


def seal(path: Path, *, digest: str) -> None:
    """Give a file that was just written the time of its digest."""
    seconds = _seconds(digest)
    os.utime(path, (seconds, seconds))


def is_pristine(path: Path | str, *, digest: str, size_bytes: int) -> bool:
    """Tell whether a file is there and nobody has written to it since it was sealed."""
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116  called for each file of a dataset
    except OSError:
        return False
    as_made = found.st_size == size_bytes and found.st_mtime_ns == _seconds(digest) * 1_000_000_000
    return as_made and stat.S_ISREG(found.st_mode)


def changed(root: Path, entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those entries of a manifest whose files below a folder are not as they were made."""
    return [
        entry
        for entry in entries
        if not is_pristine(f"{root}/{entry['path']}", digest=entry["digest"], size_bytes=entry["size_bytes"])
    ]


def write_manifest(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Write what a copy consists of, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps([[entry[field] for field in _FIELDS] for entry in entries]), encoding="utf-8")
    draft.replace(path)


def read_manifest(path: Path) -> list[dict[str, Any]] | None:
    """Return what a copy consists of, or None where nothing that can be read says so."""
    try:
        return [dict(zip(_FIELDS, row, strict=True)) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return None


def _seconds(digest: str) -> int:
    return _EARLIEST + int(digest.partition(":")[2][:_DIGITS], 16)
