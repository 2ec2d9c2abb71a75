"""Zeros that are not written: holes of files stay holes on their way. The standard library alone."""

from __future__ import annotations

import os
from typing import IO


def is_zeros(data: bytes) -> bool:
    """Tell whether bytes are nothing but zeros; of others the first or the last one tells as a rule."""
    return bool(data) and not data[0] and not data[-1] and data == bytes(len(data))


class SparseWriter:
    """Writes into a new file what comes, and leaves out what is zeros; `finish` when all has come.

    Args:
        target: an empty file.
    """

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        if is_zeros(data):
            self._target.seek(len(data), os.SEEK_CUR)
        else:
            self._target.write(data)

    def finish(self) -> None:
        """Give the file its length, though it may end with a hole."""
        self._target.truncate(self._target.tell())
