"""Tells whether the files of a local copy are as they were made, at the price of a stat each.

Permissions do not keep root from writing into a copy, nor an owner who gives himself the right, and through the links
the blobs change that other copies share. So a file that is made here gets a modification time that follows from its
digest: whoever writes to it changes that. (One time for all would make files of equal size look alike to rsync.)
"""

from __future__ import annotations

import os
import stat
from hashlib import blake2b
from typing import TYPE_CHECKING

from orchestrator.records.manifest import DIGEST_BYTES, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from orchestrator.records.manifest import Entry

_EARLIEST = 946_684_800
"""Seconds of 1 January 2000: there are formats that know no time before 1980."""
_SPARE_BITS = 4
"""Of the digest's first 32: 28 bits of seconds are eight years and a half."""
_NANOSECONDS = 1_000_000_000
_EXTERNAL, _DIRECTORY = int(Kind.EXTERNAL), int(Kind.DIRECTORY)


def key_of(entry: Entry) -> bytes:
    """Return what a file's bytes are kept under: their digest, or what is known of them where they lie elsewhere."""
    if entry.kind != _EXTERNAL:
        return entry.digest
    known = f"{entry.url}\0{entry.etag}\0{entry.size_bytes}"
    return blake2b(known.encode(), digest_size=DIGEST_BYTES).digest()


def seal(target: str | Path | int, *, key: bytes) -> None:
    """Give a file that was just written, or its descriptor, the time of its key."""
    seconds = _seconds(key)
    os.utime(target, (seconds, seconds))


def is_pristine(path: str | Path, *, key: bytes, size_bytes: int) -> bool:
    """Tell whether a file is there and nobody has written to it since it was sealed."""
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116  called for each file of a dataset
    except OSError:
        return False
    as_made = found.st_size == size_bytes and found.st_mtime_ns == _seconds(key) * _NANOSECONDS
    return as_made and stat.S_ISREG(found.st_mode)


def changed(root: str | Path, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the entries whose files below a folder are not as they were made."""
    for entry in entries:
        path = f"{root}/{entry.path}"
        if entry.kind == _DIRECTORY:
            if not os.path.isdir(path) or os.path.islink(path):  # noqa: PTH112, PTH114  as above
                yield entry
        elif not is_pristine(path, key=key_of(entry), size_bytes=entry.size_bytes):
            yield entry


def _seconds(key: bytes) -> int:
    return _EARLIEST + (int.from_bytes(key[:4], "big") >> _SPARE_BITS)
