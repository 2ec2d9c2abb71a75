"""Chunks of bytes in memory while they are few, in a temporary file when they are many."""

from __future__ import annotations

import errno
import itertools
import os
import struct
import tempfile
import weakref
from typing import TYPE_CHECKING

from orchestrator.errors import NoSpace
from orchestrator.sdk.attempt import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

_IN_MEMORY_BYTES = 8 << 20
_LENGTH = struct.Struct("<I")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Spool:
    """Chunks in the order in which they were added. The file has no name: it is gone when the process is."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._descriptor = -1
        self._offsets: list[int] = []
        self._end = 0

    def __len__(self) -> int:
        return len(self._offsets) + len(self._held)

    def add(self, chunk: bytes) -> None:
        """Append a chunk.

        Raises:
            NoSpace: the disk that holds temporary files is full.
        """
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes > _IN_MEMORY_BYTES:
            self._flush()

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        """Yield the chunks, from the one of this number on."""
        for offset in itertools.islice(self._offsets, start, None):
            (length,) = _LENGTH.unpack(os.pread(self._descriptor, _LENGTH.size, offset))
            yield os.pread(self._descriptor, length, offset + _LENGTH.size)
        yield from itertools.islice(self._held, max(0, start - len(self._offsets)), None)

    def _flush(self) -> None:
        directory = scratch_directory()
        try:
            if self._descriptor < 0:
                self._descriptor, name = tempfile.mkstemp(prefix="retrain-", dir=directory)
                weakref.finalize(self, os.close, self._descriptor)
                os.unlink(name)  # noqa: PTH108  it is a string
            for chunk in self._held:
                self._offsets.append(self._end)
                self._write(_LENGTH.pack(len(chunk)) + chunk)
        except OSError as error:
            if error.errno in _FULL:
                raise NoSpace(
                    f"The disk that holds {directory} is full.", hint="Free some space there, or set TMPDIR."
                ) from error
            raise
        self._held, self._held_bytes = [], 0

    def _write(self, data: bytes) -> None:
        while data:
            count = os.pwrite(self._descriptor, data, self._end)
            self._end += count
            data = data[count:]
