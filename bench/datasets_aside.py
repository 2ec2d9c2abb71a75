"""Getting rid of files without deleting them while something is measured.

ext4 does not give away the inode of a file that was deleted less than some minutes ago, and steps over each such inode
anew for every file that it creates (`recently_deleted` in fs/ext4/ialloc.c). So whoever deletes ten thousand files
makes the next ten thousand slow. What is not needed any more is moved and emptied instead; the end deletes it.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path
from typing import NamedTuple

_WORTH_EMPTYING_BYTES = 4096
_PROBES = 500


class Aside:
    """A folder for what is not needed any more, on the file system that it comes from.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._count = 0

    def put(self, path: Path, *, whole: bool = False) -> None:
        """Move a file or a tree away, if it is there, and give its space back.

        Args:
            path: of it.
            whole: what has further links is emptied, too: nobody needs these either.
        """
        if not path.exists():
            return
        self._root.mkdir(exist_ok=True)
        kept = self._root / f"{self._count}-{os.getpid()}"
        self._count += 1
        _unlock(path)
        path.rename(kept)
        for file in (
            [kept] if kept.is_file() else (Path(top, name) for top, _, names in os.walk(kept) for name in names)
        ):
            found = file.lstat()
            is_own = found.st_nlink == 1 or whole
            if stat.S_ISREG(found.st_mode) and found.st_size >= _WORTH_EMPTYING_BYTES and is_own:
                file.chmod(0o600)
                os.truncate(file, 0)

    def delete(self) -> None:
        """Delete all of it."""
        if self._root.exists():
            _unlock(self._root)
            shutil.rmtree(self._root)


class Place(NamedTuple):
    """Where everything stands.

    Attributes:
        root: a folder on the disk that is measured.
        aside: on the same.
        programs: where `dvc` is, or None to go without.
    """

    root: Path
    aside: Aside
    programs: Path | None


def creation_microseconds(place: Place) -> float:
    """Return how long it takes at the moment to create an empty file, which is what deleted ones slow down."""
    probe = place.root / "probe"
    probe.mkdir()
    begun = time.perf_counter()
    for number in range(_PROBES):
        (probe / str(number)).touch()
    seconds = time.perf_counter() - begun
    place.aside.put(probe)
    return seconds / _PROBES * 1e6


def _unlock(root: Path) -> None:
    """Take care that all that is in a tree may be moved and deleted."""
    for folder, _, _ in os.walk(root):
        Path(folder).chmod(0o700)
