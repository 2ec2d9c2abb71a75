"""Locks on one environment: whoever builds or evicts it is alone, whoever runs in it shares it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType


class Hold:
    """A shared lock that keeps an environment from eviction; a context manager that lets go at its end.

    The lock belongs to the open file, so a forked child has a part in it: the environment stays until the last
    process that inherited the descriptor has closed it or ended.
    """

    def __init__(self, descriptor: int) -> None:
        """Take over an open descriptor that has the lock."""
        self._descriptor: int | None = descriptor

    def fileno(self) -> int:
        """Return the descriptor, for example for the `pass_fds` of a process that shall keep the lock.

        Raises:
            ValueError: the lock was released.
        """
        if self._descriptor is None:
            raise ValueError("the hold on the environment was released")
        return self._descriptor

    def release(self) -> None:
        """Let go. Closing is enough and leaves the part of a forked child alone; unlocking would not."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def share(path: Path, *, waiting: Callable[[], None] | None = None) -> Hold:
    """Take the shared lock on `path` and mark it as used now; `waiting` is told when somebody builds meanwhile."""
    descriptor = _open(path)
    try:
        _lock(descriptor, operation=fcntl.LOCK_SH, waiting=waiting)
        os.utime(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return Hold(descriptor)


@contextmanager
def alone(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold the exclusive lock on `path` and yield its descriptor; `waiting` is told when it is taken."""
    descriptor = _open(path)
    try:
        _lock(descriptor, operation=fcntl.LOCK_EX, waiting=waiting)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def alone_if_free(path: Path) -> Iterator[bool]:
    """Hold the exclusive lock on `path` if nobody has a lock on it; yield whether it was taken."""
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(descriptor: int, *, operation: int, waiting: Callable[[], None] | None) -> None:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        if waiting is not None:
            waiting()
        fcntl.flock(descriptor, operation)
