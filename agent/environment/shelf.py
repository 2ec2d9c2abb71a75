"""Finished environments on disk, by key: made visible whole, marked when used, evicted when there are too many."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from agent.environment.holds import alone_if_free

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

COMPLETE = ".complete"
"""Written last; a directory without it is no environment, whatever else lies in it."""

_READ_ONLY = 0o555
_WRITABLE = 0o755


class Shelf:
    """The directories below one root.

    ready/<key>              environments, each with `.complete` in it
    building/<key>.<random>  one that is being built
    trash/<random>           what is being deleted
    locks/<key>              locks, whose time of change is that of the last use
    """

    def __init__(self, root: Path) -> None:
        """Make what is missing below `root`."""
        self.root = root
        self.ready, self.building, self.trash, self.locks = (
            root / name for name in ("ready", "building", "trash", "locks")
        )
        for directory in (self.ready, self.building, self.trash, self.locks):
            directory.mkdir(parents=True, exist_ok=True)

    def lock(self, key: str) -> Path:
        """Return the file whose lock guards a key."""
        return self.locks / key

    def has(self, key: str) -> bool:
        """Tell whether a finished environment of that key stands here."""
        return (self.ready / key / COMPLETE).exists()

    @contextmanager
    def slot(self, key: str) -> Iterator[Path]:
        """Yield a free path to build at, and clear away what is left there in the end. The key is locked by us."""
        for leftover in self.building.glob(f"{key}.*"):
            self._discard(leftover)
        path = self.building / f"{key}.{secrets.token_hex(4)}"
        try:
            yield path
        finally:
            self._discard(path)

    def publish(self, built: Path, *, key: str) -> None:
        """Make what was built visible under its key, whole or not at all, also after a loss of power."""
        size_bytes = size_of(built)
        _seal(built)
        _flush(built)
        with (built / COMPLETE).open("x") as file:
            json.dump({"size_bytes": size_bytes}, file)
            file.flush()
            os.fsync(file.fileno())
        _fsync_directory(built)
        self._discard(self.ready / key)
        built.rename(self.ready / key)
        _fsync_directory(self.ready)

    def evict(self, *, limit_bytes: int, in_use: Callable[[], Collection[str]] = frozenset) -> int:
        """Delete the environments that were not used for the longest, until the others fit; none held or in use.

        What killed processes left behind goes as well.

        Args:
            limit_bytes: for the sum of the files' sizes. Files that an environment shares with uv's cache or with
                another count each time, so that less is taken on disk.
            in_use: returns keys that are not to be deleted though nobody holds them. It is asked when the key is locked
                and nobody can begin to use it.

        Returns:
            The sum of the sizes of what was deleted, in bytes.
        """
        for path in self.building.iterdir():
            with alone_if_free(self.lock(path.name.partition(".")[0])) as locked:
                if locked and path.exists():
                    self._set_aside(path)
        freed = 0
        standing = [(self._used(path.name), path.name, self._size(path)) for path in self.ready.iterdir()]
        excess = sum(size for _, _, size in standing) - limit_bytes
        for used, key, size in sorted(standing):
            if freed >= excess:
                break
            with alone_if_free(self.lock(key)) as locked:
                free = locked and self._used(key) == used and key not in in_use()
                if free and (self.ready / key).exists():
                    self._set_aside(self.ready / key)
                    freed += size
        # Without the locks: a run that wants one of them back need not wait for thousands of files.
        for path in self.trash.iterdir():
            _remove(path)
        return freed

    def _used(self, key: str) -> int:
        try:
            return self.lock(key).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _size(self, path: Path) -> int:
        try:
            return int(json.loads((path / COMPLETE).read_text())["size_bytes"])
        except FileNotFoundError:
            return 0  # being deleted right now, or no environment

    def _discard(self, path: Path) -> None:
        if path.exists():
            _remove(self._set_aside(path))

    def _set_aside(self, path: Path) -> Path:
        # A deletion that is killed half-way must not leave what looks like an environment: away with the name first.
        return path.rename(self.trash / secrets.token_hex(8))


def size_of(directory: Path) -> int:
    """Return the sum of the sizes of the files in a directory, in bytes; 0 when there is none."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):  # another process may be at work here
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118  100,000 files
    return total


def _seal(environment: Path) -> None:
    """Take the right to write away from all directories but the top, which is still to be renamed.

    The files are links to those in uv's cache, and a script that runs as the same user should not add to them.
    """
    for directory, _, _ in os.walk(environment):
        if directory != str(environment):
            os.chmod(directory, _READ_ONLY)  # noqa: PTH101  thousands of them


def _remove(path: Path) -> None:
    """Delete a directory as far as possible; what another process deletes meanwhile, or holds, is for the next time."""
    for directory, _, _ in os.walk(path):
        try:
            os.chmod(directory, _WRITABLE)  # noqa: PTH101  thousands of them
        except FileNotFoundError:
            continue
    shutil.rmtree(path, ignore_errors=True)


def _flush(path: Path) -> None:
    """Write everything of the file system that holds `path` to the disk: one call, where fsync would be thousands."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed", str(path))
    finally:
        os.close(descriptor)


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
