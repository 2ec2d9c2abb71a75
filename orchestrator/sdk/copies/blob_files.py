"""The files that trees are links to: each content once, by its digest.

blobs/ab/cdef…      bytes by digest, mode 0444
blobs/ab/cdef….x    the same for executable files, mode 0555: links to one file share its mode
blobs/ab/cdef….e    bytes that lie elsewhere, by URL, etag and size
incoming/<random>   large ones that are on their way, locked by whoever fetches them

A file counts from the moment on that it is sealed (`orchestrator.sdk.copies.pristine`), which happens after its last
byte was written and checked. What is not sealed is as good as absent. A file may vanish while nothing links to it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.records.manifest import Kind
from orchestrator.sdk.copies.pristine import is_pristine, key_of, seal
from orchestrator.sdk.copies.raw_files import copy_contents, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.records.manifest import Entry

FILE_MODE, EXECUTABLE_MODE = 0o444, 0o555
ORPHAN_SECONDS = 3600.0
"""A file that nothing links to may be on its way into a tree for so long."""
_FILE, _EXECUTABLE, _EXTERNAL = int(Kind.FILE), int(Kind.EXECUTABLE), int(Kind.EXTERNAL)
_SUFFIX = {_FILE: "", _EXECUTABLE: ".x", _EXTERNAL: ".e"}


class BlobFiles:
    """The files below a cache's folder."""

    def __init__(self, cache: Path) -> None:
        self._root = f"{cache}/blobs"
        self._incoming = cache / "incoming"

    def path(self, entry: Entry) -> str:
        """Return where a file's bytes are, or are to be."""
        name = key_of(entry).hex()
        return f"{self._root}/{name[:2]}/{name[2:]}{_SUFFIX[entry.kind]}"

    def has(self, entry: Entry) -> bool:
        """Tell whether a file's bytes are here."""
        return is_pristine(self.path(entry), key=key_of(entry), size_bytes=entry.size_bytes)

    def take_from_twin(self, entry: Entry) -> bool:
        """Make an executable file of one that is here and is not; tell whether it is here now."""
        if entry.kind != _EXECUTABLE:
            return False
        twin = self.path(entry._replace(kind=_FILE))
        if not is_pristine(twin, key=entry.digest, size_bytes=entry.size_bytes):
            return False
        with contextlib.suppress(FileNotFoundError), self.incoming() as draft:
            copy_contents(twin, draft)
            self.adopt(draft, entry)
            return True
        return False

    def write(self, entry: Entry, data: bytes | memoryview) -> None:
        """Put bytes that were checked in their place."""
        path = self.path(entry)
        try:
            descriptor = _create(path, mode=_mode(entry))
        except FileExistsError:  # another is at it, or was killed in the midst
            if not self.has(entry):
                with self.incoming() as draft:
                    draft.write_bytes(data)
                    self.adopt(draft, entry)
            return
        try:
            write_all(descriptor, data)
            seal(descriptor, key=key_of(entry))
        except BaseException:
            os.unlink(path)  # noqa: PTH108  called for each file of a dataset
            raise
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Path]:
        """Lend a name for a file that is on its way; it is gone in the end unless it was adopted.

        Nothing is there yet. A lock beside it says that we live.
        """
        self._incoming.mkdir(parents=True, exist_ok=True)
        draft = self._incoming / os.urandom(12).hex()
        lock = os.open(f"{draft}.lock", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield draft
        finally:
            draft.unlink(missing_ok=True)
            os.unlink(f"{draft}.lock")  # noqa: PTH108  as above
            os.close(lock)

    def adopt(self, draft: Path, entry: Entry) -> None:
        """Put a file whose bytes were checked in its place."""
        place = self.path(entry)
        seal(draft, key=key_of(entry))
        draft.chmod(_mode(entry))
        try:
            os.replace(draft, place)  # noqa: PTH105  as above
        except FileNotFoundError:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            draft.replace(place)

    def renew(self, entry: Entry) -> None:
        """Put a copy in the place of a file that has as many links as a file can have."""
        with self.incoming() as draft:
            copy_contents(self.path(entry), draft)
            self.adopt(draft, entry)

    def drop(self, entry: Entry) -> int:
        """Remove a file that nothing links to and return how many bytes that freed."""
        path = self.path(entry)
        try:
            found = os.stat(path)  # noqa: PTH116  as above
            if found.st_nlink > 1:
                return 0
            os.unlink(path)  # noqa: PTH108  as above
        except FileNotFoundError:
            return 0
        return found.st_size

    def sweep(self) -> int:
        """Remove what killed processes left, and files that nothing links to; return the bytes of those that stay."""
        kept = 0
        old = time.time() - ORPHAN_SECONDS
        for folder in _listed(self._root):
            for each in _listed(folder.path):
                try:
                    found = each.stat(follow_symlinks=False)
                    if found.st_nlink == 1 and found.st_ctime < old:
                        os.unlink(each.path)  # noqa: PTH108  as above
                        continue
                except FileNotFoundError:
                    continue
                kept += found.st_size
        self._sweep_incoming(old)
        return kept

    def _sweep_incoming(self, old: float) -> None:
        for each in _listed(str(self._incoming)):
            with contextlib.suppress(FileNotFoundError):
                if each.name.endswith(".lock"):
                    descriptor = os.open(each.path, os.O_RDWR | os.O_CLOEXEC)
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        continue
                    finally:
                        os.close(descriptor)
                elif os.path.exists(f"{each.path}.lock"):  # noqa: PTH110  as above
                    continue
                if each.stat().st_ctime < old:
                    os.unlink(each.path)  # noqa: PTH108  as above


def _mode(entry: Entry) -> int:
    return EXECUTABLE_MODE if entry.kind == _EXECUTABLE else FILE_MODE


def _create(path: str, *, mode: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, mode)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, flags, mode)
    os.fchmod(descriptor, mode)  # whatever the umask is
    return descriptor


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            return list(listing)
    except FileNotFoundError:
        return []
