"""The lock of one process on one file, with the holder's process id for whoever asks.

POSIX record locks: unlike those of flock(2) they are not inherited by a fork, so that neither a shim nor a script can
keep the lock of a supervisor that is gone; and the kernel names their holder. One rule comes with them: a process that
closes any descriptor of the file gives the lock up, so each file is opened here alone.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FLOCK = "hhqqi4x"
"""`struct flock` of fcntl(2) on 64-bit Linux: type, whence, start, length, process id."""


class ProcessLock:
    """Held by one process at a time, until it ends or releases it.

    Args:
        path: the file; made where it is absent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False when another process holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock up."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """Return the id of the other process that holds the lock, None where none does."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        finally:
            os.close(descriptor)
        return pid if kind != fcntl.F_UNLCK else None
