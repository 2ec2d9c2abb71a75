"""A store of bytes in a directory. Needs the standard library alone: clients write straight into a shared one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.blobs.failures import disk_error
from orchestrator.blobs.objects import CHUNK_BYTES, MARKER, OWNER, UPLOADS, Listed
from orchestrator.errors import InvalidPath, NotFound, OrchestratorError
from orchestrator.records.paths import check_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.blobs.objects import Bytes


class DirectoryDraft:
    """A file in `uploads` that is moved to its place when it is whole."""

    def __init__(self, objects: DirectoryObjects) -> None:
        self._objects = objects
        self._path = objects.root / UPLOADS / uuid.uuid4().hex
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            try:
                self._descriptor = os.open(self._path, flags, 0o666)
            except FileNotFoundError:
                _make_folder(self._path.parent)
                self._descriptor = os.open(self._path, flags, 0o666)
        except OSError as error:
            raise disk_error(error, url=objects.url) from error
        self._open = True

    def fileno(self) -> int:
        """Return the descriptor, for whoever copies into the file by himself."""
        return self._descriptor

    def write(self, data: Bytes) -> None:
        """Append bytes."""
        try:
            write_all(self._descriptor, data)
        except OSError as error:
            raise disk_error(error, url=self._objects.url) from error

    def settle(self, path: str) -> None:
        """Move the file to its place; when this returns, bytes and name outlive a loss of power."""
        place = self._objects.place(path)
        try:
            os.fsync(self._descriptor)
            self._close()
            try:
                self._path.replace(place)
            except FileNotFoundError:
                _make_folder(place.parent)
                self._path.replace(place)
            _sync_folder(place.parent)
        except OSError as error:
            raise disk_error(error, url=self._objects.url) from error

    def settle_first(self, path: str) -> bool:
        """Move the file to its place unless something is there; return whether it was moved."""
        place = self._objects.place(path)
        try:
            os.fsync(self._descriptor)
            _make_folder(place.parent)
            os.link(self._path, place)
            _sync_folder(place.parent)
        except FileExistsError:
            return False
        except OSError as error:
            raise disk_error(error, url=self._objects.url) from error
        return True

    def discard(self) -> None:
        """Remove the file unless it was moved."""
        self._close()
        self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._descriptor)


class DirectoryObjects:
    """Objects are files below a directory.

    Args:
        root: the directory; it is made with the first object.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100  links in it may come to lead elsewhere
        self.url = str(self.root)

    def place(self, path: str) -> Path:
        """Return the file of an object.

        Raises:
            InvalidPath: it would lie outside of the directory.
        """
        check_path(path)
        return self.root / path

    def read(self, path: str, *, offset: int = 0, size_bytes: int) -> Iterator[bytes]:
        """Yield bytes."""
        place = self.place(path)
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"{self.url} has no {path}.", hint="Restore it from a backup.") from None
        except OSError as error:
            raise disk_error(error, url=self.url) from error
        try:
            end = offset + size_bytes
            while offset < end:
                try:
                    chunk = os.pread(descriptor, min(CHUNK_BYTES, end - offset), offset)
                except OSError as error:
                    raise disk_error(error, url=str(place)) from error
                if not chunk:
                    return
                offset += len(chunk)
                yield chunk
        finally:
            os.close(descriptor)

    def size_of(self, path: str) -> int | None:
        """Return the size of a file."""
        try:
            return self.place(path).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise disk_error(error, url=self.url) from error

    def holds(self, path: str, data: bytes) -> bool:
        """Compare the bytes themselves: they are near."""
        return self.size_of(path) == len(data) and b"".join(self.read(path, size_bytes=len(data))) == data

    def put(self, path: str, data: Bytes) -> None:
        """Store a file."""
        with self.draft() as draft:
            draft.write(data)
            draft.settle(path)

    def put_first(self, path: str, data: bytes) -> bytes:
        """Store a file unless one is there, and return what is there then."""
        place = self.place(path)
        for _ in range(2):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return place.read_bytes()
            with self.draft() as draft:
                draft.write(data)
                draft.settle_first(path)
        raise InvalidPath(f"{place} comes and goes.", hint="Let one process at a time tidy up there.")

    @contextlib.contextmanager
    def draft(self, *, held_bytes: int = 0) -> Iterator[DirectoryDraft]:  # noqa: ARG002  they wait in `uploads`
        """Begin a file."""
        draft = DirectoryDraft(self)
        try:
            yield draft
        finally:
            draft.discard()

    @contextlib.contextmanager
    def write(self, path: str) -> Iterator[DirectoryDraft]:
        """Begin a file whose place is known."""
        self.place(path)
        with self.draft() as draft:
            yield draft
            draft.settle(path)

    def delete(self, path: str) -> int:
        """Remove a file."""
        place = self.place(path)
        try:
            size_bytes = place.stat().st_size
            place.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except OSError as error:
            raise disk_error(error, url=self.url) from error
        return size_bytes

    def listing(self, prefix: str) -> Iterator[Listed]:
        """Yield the files below a folder."""
        folders = [prefix]
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(self.place(folder) if folder else self.root))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise disk_error(error, url=self.url) from error
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if path in {UPLOADS, MARKER, OWNER}:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                    continue
                with contextlib.suppress(FileNotFoundError):  # it was removed since
                    found = entry.stat(follow_symlinks=False)
                    yield Listed(path, found.st_size, datetime.fromtimestamp(found.st_mtime, tz=UTC))

    def take_in(self, file: Path, path: str) -> bool:
        """Move a finished file to an object's place; return False, doing nothing, where it lies on another file system.

        Durable when it returns.
        """
        place = self.place(path)
        try:
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
            _make_folder(place.parent)
            file.replace(place)
            _sync_folder(place.parent)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return False
            raise disk_error(error, url=self.url) from error
        return True

    def local_path(self, path: str) -> Path:
        """Return the file itself."""
        return self.place(path)

    def identity(self, *, create: bool) -> str | None:
        """Return what the marker says."""
        if create:
            return read_marker(self.put_first(MARKER, new_marker()), url=self.url)
        try:
            return read_marker((self.root / MARKER).read_bytes(), url=self.url)
        except (FileNotFoundError, NotADirectoryError):
            return None


def new_marker() -> bytes:
    """Return the content of a marker for a store that has none."""
    return json.dumps({"id": uuid.uuid4().hex}).encode()


def read_marker(content: bytes, *, url: str) -> str:
    """Return the id in a marker.

    Raises:
        OrchestratorError: it holds none.
    """
    try:
        return str(json.loads(content)["id"])
    except (ValueError, KeyError, TypeError):
        raise OrchestratorError(
            f"{MARKER} in {url} holds no id.", hint="Restore it from a backup; clients know the store by it."
        ) from None


def write_all(descriptor: int, data: Bytes) -> None:
    """Write all of the bytes: the system may take fewer at once."""
    done = os.write(descriptor, data)
    if done < len(data):
        rest = memoryview(data)[done:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it; their names outlive a loss of power."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
