"""The console of a run, read from an offset: from the file that the script appends to, to whoever keeps the text.

A script prints faster than anybody reads, and for ever if it likes. What is shipped is therefore a text of bounded
length, the same for every reader at every time, so that one offset says how far it has come:

    the first `limit_bytes` of the file
    and if it is longer, once the script has ended: a line that says how much was cut, and the file's last bytes

What will never be shipped is given back to the disk while the script still runs (a hole in the file: the script appends
without noticing).
"""

from __future__ import annotations

import codecs
import ctypes
import errno
import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02  # fallocate(2)
_NOT_OFFERED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM}
_LONGEST_BEGINNING = 3  # bytes of a character of which one is missing
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class ConsoleReader:
    """Reads the text of one console in chunks. Holds no file open and no text in memory."""

    def __init__(
        self,
        path: Path,
        *,
        offset: int = 0,
        limit_bytes: int = 1 << 30,
        tail_bytes: int = 1 << 16,
    ) -> None:
        """Begin at an offset.

        Args:
            path: the console; a link is never followed, since the script may have put it there.
            offset: of the first byte that is wanted.
            limit_bytes: how much of the beginning is kept.
            tail_bytes: how much of the end is kept when the limit is exceeded; an error's traceback is there.
        """
        self._path = path
        self._limit_bytes = limit_bytes
        self._tail_bytes = tail_bytes
        self._freed = limit_bytes
        self._can_free = True
        self.offset = offset
        """Of the next byte. Set it back to read again."""

    def read(self, *, ended: bool, maximum_bytes: int = 1 << 18) -> bytes:
        """Return the next bytes and move on; none where there are no more, for now or for good.

        A chunk does not end within a UTF-8 character, unless the text does or the limit falls there.

        Args:
            ended: whether the script has ended, so that the file is complete.
            maximum_bytes: length of a chunk, at least 4.

        Raises:
            OSError: the file is there and cannot be read.
        """
        with self._open(os.O_RDONLY) as descriptor:
            if descriptor is None:
                return b""
            size = os.fstat(descriptor).st_size
            data = self._pick(descriptor, size=size, ended=ended, maximum_bytes=maximum_bytes)
        end = self.offset + len(data)
        if end != self._limit_bytes and not (ended and end == self.length(size)):
            data = data[: _whole_characters(data)]
        self.offset += len(data)
        return data

    def length(self, size_bytes: int) -> int:
        """Return the length of the whole text for a complete file of this size."""
        if size_bytes <= self._limit_bytes + self._tail_bytes:
            return size_bytes
        return self._limit_bytes + len(self._notice(size_bytes)) + self._tail_bytes

    def free(self) -> int:
        """Give what will never be read back to the disk; call it now and then while the script runs.

        Returns:
            How many bytes were freed by this call.
        """
        with self._open(os.O_WRONLY) as descriptor:
            if descriptor is None or not self._can_free:
                return 0
            begin, end = self._freed, os.fstat(descriptor).st_size - self._tail_bytes
            if end <= begin:
                return 0
            if _libc.fallocate(descriptor, _KEEP_SIZE_AND_PUNCH_HOLE, begin, end - begin) != 0:
                number = ctypes.get_errno()
                if number not in _NOT_OFFERED:
                    raise OSError(number, os.strerror(number), str(self._path))
                self._can_free = False
                logger.warning(
                    "this file system cannot free a part of a file: the console may grow without bound",
                    extra={"action": "console_not_freed", "path": str(self._path)},
                )
                return 0
            self._freed = end
            return end - begin

    def _pick(self, descriptor: int, *, size: int, ended: bool, maximum_bytes: int) -> bytes:
        if size <= self._limit_bytes + self._tail_bytes and ended:
            return os.pread(descriptor, maximum_bytes, self.offset)
        if self.offset < self._limit_bytes:
            return os.pread(descriptor, min(maximum_bytes, self._limit_bytes - self.offset), self.offset)
        if not ended:
            return b""
        notice = self._notice(size)
        into = self.offset - self._limit_bytes
        if into < len(notice):
            return notice[into : into + maximum_bytes]
        into -= len(notice)
        tail = max(0, min(maximum_bytes, self._tail_bytes - into))
        return os.pread(descriptor, tail, size - self._tail_bytes + into)

    def _notice(self, size: int) -> bytes:
        cut = size - self._limit_bytes - self._tail_bytes
        return f"\n[retrain: {cut:,} bytes of console were cut here; {self._limit_bytes:,} are kept]\n".encode()

    @contextmanager
    def _open(self, flags: int) -> Iterator[int | None]:
        try:
            descriptor = os.open(self._path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            yield None
            return
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _whole_characters(data: bytes) -> int:
    """Return the length without a UTF-8 character that has only begun; what is no UTF-8 is left whole."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data[-_LONGEST_BEGINNING:])
    return len(data) - len(decoder.getstate()[0])
