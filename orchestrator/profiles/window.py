"""A part of a file, read as if it were a file of its own."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

    from typing_extensions import Buffer


class Window(io.RawIOBase):
    """Bytes of a seekable file from an offset on; never a byte before or after them.

    Args:
        source: where the bytes lie. Closing the window leaves it open.
        offset: where the window begins in it, in bytes.
        size_bytes: how long the window is.
    """

    def __init__(self, source: BinaryIO, *, offset: int, size_bytes: int) -> None:
        super().__init__()
        self._source = source
        self._offset = offset
        self._size = size_bytes
        self._position = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be sought in."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._position

    def size(self) -> int:
        """Return how many bytes the window has; pyarrow asks."""
        return self._size

    def first(self, size_bytes: int) -> Window:
        """Return a window on the first bytes of this one."""
        return Window(self._source, offset=self._offset, size_bytes=min(size_bytes, self._size))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place, which may lie behind the end as it may in any file."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"there is no byte {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        """Fill a buffer with the bytes that follow."""
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._size - self._position))
        if not length:
            return 0
        self._source.seek(self._offset + self._position)
        data = self._source.read(length)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


__all__ = ["Window"]
