"""Locks of flock(2) on files that may be removed while others wait for them, and those that a process keeps.

A lock belongs to the open file: it ends with the last process that has it, however that ends, and a forked child has a
part in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_kept: dict[Path, int] = {}
_guard = threading.Lock()


def take(path: Path, *, shared: bool = False, wait: bool = True) -> int | None:
    """Return the descriptor of a file with its lock; None where another has it and we do not wait.

    Args:
        path: the file; made where it is absent.
        shared: with others that share it.
        wait: for the others.
    """
    operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, operation)
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # whoever had it removed the file


@contextlib.contextmanager
def alone(path: Path, *, wait: bool = True) -> Iterator[int | None]:
    """Hold a lock that nobody shares until the context ends; yields None where another has it and we do not wait."""
    descriptor = take(path, wait=wait)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def keep(path: Path) -> None:
    """Share a lock for as long as this process lives, or until `let_go`; the file's time tells of the last use."""
    with _guard:
        descriptor = _kept.get(path)
        if descriptor is not None and not _is_at(descriptor, path):  # somebody removed the whole cache by hand
            os.close(_kept.pop(path))
            descriptor = None
        if descriptor is None:
            taken = take(path, shared=True)
            if taken is None:
                raise AssertionError(path)  # it was waited for
            descriptor = _kept[path] = taken
        os.utime(descriptor)


def let_go(path: Path) -> None:
    """Give up what `keep` took."""
    with _guard:
        descriptor = _kept.pop(path, None)
    if descriptor is not None:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Tell whether anybody has a lock on a file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))
