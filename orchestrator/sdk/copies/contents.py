"""What a tree consists of, in a file beside it, so that it can be checked while the server is away.

Blocks of a manifest, each behind its length; a length of zero; a summary in JSON; the summary's length. All lengths
are 32 bits, little-endian. What a view has is blocks alone, one for each file that was fetched.
"""

from __future__ import annotations

import json
import os
import struct
from contextlib import suppress
from itertools import islice
from typing import IO, TYPE_CHECKING, NamedTuple

from orchestrator.errors import DigestMismatch
from orchestrator.records.manifest import decode_block, encode_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from orchestrator.records.manifest import Entry

_LENGTH = struct.Struct("<I")
_IN_BLOCK = 512


class Summary(NamedTuple):
    """What a tree is, for people.

    Attributes:
        version_id: whose files it has.
        title: project, name and version.
        subset: which of the files; empty for all.
        files: how many, with directories in which nothing is.
        size_bytes: of them.
    """

    version_id: str
    title: str
    subset: str
    files: int
    size_bytes: int


class Contents:
    """The file of one tree.

    Args:
        path: where it is, or is to be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, blocks: Iterable[bytes], *, version_id: str, title: str, subset: str) -> Summary:
        """Write it, whole or not at all; the caller alone makes the tree."""
        draft = self.path.with_name(f".{self.path.name}.draft")
        files = size_bytes = 0
        try:
            with draft.open("wb") as file:
                for block in blocks:
                    entries = decode_block(block)
                    files += len(entries)
                    size_bytes += sum(entry.size_bytes for entry in entries)
                    _put(file, block)
                summary = Summary(version_id, title, subset, files, size_bytes)
                told = json.dumps(summary).encode()
                file.write(_LENGTH.pack(0) + told + _LENGTH.pack(len(told)))
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)
        return summary

    def summary(self) -> Summary | None:
        """Return what the tree is, or None where nothing that can be read says so."""
        with suppress(OSError, ValueError, TypeError, struct.error), self.path.open("rb") as file:
            file.seek(-_LENGTH.size, os.SEEK_END)
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            file.seek(-_LENGTH.size - length, os.SEEK_END)
            return Summary(*json.loads(file.read(length)))
        return None

    def entries(self) -> Iterator[Entry]:
        """Yield what the tree consists of, in order; memory is that of a block.

        Raises:
            DigestMismatch: something else stands in the file.
            FileNotFoundError: there is none.
        """
        with self.path.open("rb") as file:
            while head := file.read(_LENGTH.size):
                if len(head) < _LENGTH.size:
                    raise DigestMismatch(f"{self.path} was cut.")
                (length,) = _LENGTH.unpack(head)
                if not length:
                    return
                yield from decode_block(file.read(length))

    def append(self, entries: list[Entry]) -> None:
        """Add what a view has fetched. Several may do so at once: each adds with one write at the end of the file."""
        block = encode_block(entries)
        with self.path.open("ab", buffering=0) as file:
            file.write(_LENGTH.pack(len(block)) + block)

    def remove(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)


def blocks_of(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield entries as blocks."""
    left = iter(entries)
    while some := list(islice(left, _IN_BLOCK)):
        yield encode_block(some)


def _put(file: IO[bytes], block: bytes) -> None:
    file.write(_LENGTH.pack(len(block)))
    file.write(block)
