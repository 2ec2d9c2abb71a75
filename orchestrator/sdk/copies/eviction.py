"""How many bytes are in a cache, and how there come to be fewer."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import DigestMismatch
from orchestrator.records.manifest import Kind
from orchestrator.sdk.copies import locks
from orchestrator.sdk.copies.contents import Contents
from orchestrator.sdk.copies.raw_files import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.sdk.copies.cache import Cache

_DIGITS = 20
_GONE = ".gone-"


class Evicted(NamedTuple):
    """What an eviction did."""

    names: list[str]
    """Of trees that were removed."""
    freed_bytes: int
    left_bytes: int
    """In the cache, with those that are on their way into it."""


class Ledger:
    """The file that says how many bytes there are; nobody knows where it is missing or says something else."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def opened(self) -> Iterator[Account]:
        """Be the only one who reads and writes it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield Account(descriptor)
        finally:
            os.close(descriptor)

    def doubt(self) -> None:
        """Say that nobody knows."""
        with contextlib.suppress(OSError):  # the folder may be gone, and then nobody does
            os.truncate(self._path, 0)


class Account:
    """The number in a ledger that is open."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self) -> int | None:
        """Return the number of bytes, or None where nobody knows."""
        text = os.pread(self._descriptor, _DIGITS + 1, 0)
        return int(text) if len(text) == _DIGITS and text.isdigit() else None

    def write(self, size_bytes: int) -> None:
        """Write the number of bytes: one call, so that it is there or it is not."""
        os.pwrite(self._descriptor, b"%0*d" % (_DIGITS, size_bytes), 0)


def evict(cache: Cache, *, to_bytes: int | None) -> Evicted:
    """Count what is there, remove what is left of killed processes, then trees; see `Cache.evict`. The ledger is ours.

    Args:
        cache: the cache.
        to_bytes: how many bytes may be left; None for any number.
    """
    cache.folder.mkdir(parents=True, exist_ok=True)
    _sweep(cache)
    used = cache.blobs.sweep() + _promised(cache)
    names: list[str] = []
    freed = 0
    if to_bytes is not None:
        for name in sorted(cache.names(), key=cache.used_at):
            if used - freed <= to_bytes:
                break
            gone = _set_aside(cache, name)
            if gone is not None:
                names.append(name)
                freed += _remove(cache, gone)
    return Evicted(names, freed, used - freed)


def _promised(cache: Cache) -> int:
    """Return how many bytes those may add who make trees now. Some may be there already: it is never too few."""
    total = 0
    for name in cache.names():
        path = cache.making_lock(name)
        with contextlib.suppress(FileNotFoundError, ValueError):
            told = int(path.read_bytes() or 0)
            if told and locks.is_held(path):
                total += told
    return total


def _set_aside(cache: Cache, name: str) -> Path | None:
    """Take a tree out of everybody's sight unless it is in use; return its new place."""
    with contextlib.ExitStack() as stack:
        for path in (cache.use_lock(name), cache.making_lock(name)):
            if stack.enter_context(locks.alone(path, wait=False)) is None:
                return None
        if cache.is_pinned(name):
            return None
        gone = cache.folder / f"{_GONE}{os.urandom(8).hex()}"
        for path, place in ((cache.contents(name).path, gone.with_suffix(".files")), (cache.tree(name), gone)):
            with contextlib.suppress(FileNotFoundError):
                path.rename(place)
        remove_tree(cache.draft(name))
        cache.making_lock(name).unlink()
        cache.use_lock(name).unlink()
        return gone


def _remove(cache: Cache, gone: Path) -> int:
    """Remove a tree that was set aside, and the blobs that nothing else links to; return how many bytes these had."""
    contents = Contents(gone.with_suffix(".files"))
    remove_tree(gone)
    freed = 0
    with contextlib.suppress(FileNotFoundError, DigestMismatch):  # what nobody names is swept when it is old enough
        freed = sum(cache.blobs.drop(entry) for entry in contents.entries() if entry.kind != Kind.DIRECTORY)
    contents.remove()
    return freed


def _sweep(cache: Cache) -> None:
    """Remove what evictions and makers left that were killed."""
    for each in cache.folder.glob(f"{_GONE}*"):
        _remove(cache, each.with_suffix(""))
    for name in cache.names():
        if not cache.tree(name).exists():
            _set_aside_remains(cache, name)


def _set_aside_remains(cache: Cache, name: str) -> None:
    gone = _set_aside(cache, name)
    if gone is not None:
        _remove(cache, gone)
