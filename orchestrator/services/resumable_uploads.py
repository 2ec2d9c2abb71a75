"""Large uploads that go on where they were cut off: what has arrived waits in a file of the server's."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Self

import blake3

from orchestrator.blobs import CHUNK_BYTES, Span
from orchestrator.blobs.directory import DirectoryObjects
from orchestrator.blobs.spans import object_path
from orchestrator.errors import Conflict, DigestMismatch, InvalidRequest, NoSpace
from orchestrator.holes import is_zeros
from orchestrator.records.manifest import named, raw

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from orchestrator.blobs import BlobStore
    from orchestrator.records.base import Id

logger = logging.getLogger(__name__)

_STALE_SECONDS = 86_400
_MOST_HASHERS = 256


class ResumableUploads:
    """The uploads that wait in a directory, one file for each digest and sender.

    What has arrived is hashed as it comes; only after a restart of the server it is read again.

    Args:
        folder: made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._hashers: dict[Path, tuple[int, blake3.blake3]] = {}

    def received(self, digest: str, *, sender: Id) -> int:
        """Return how many bytes have arrived."""
        try:
            return self._path(digest, sender=sender).stat().st_size
        except FileNotFoundError:
            return 0

    def is_busy(self, digest: str, *, sender: Id) -> bool:
        """Tell whether a request is sending it or puts it into its place at this moment."""
        try:
            descriptor = os.open(self._path(digest, sender=sender), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def begin(self, digest: str, *, sender: Id, offset: int, size_bytes: int) -> ArrivingUpload:
        """Go on with an upload.

        Args:
            digest: what the bytes must have in the end.
            sender: id of the principal that sends.
            offset: of the first byte that is to come.
            size_bytes: of all of it.

        Raises:
            Conflict: another offset is the right one, or the same is being sent at this moment.
            InvalidRequest: the offset lies beyond the end.
            NoSpace: the disk is full.
        """
        if offset > size_bytes:
            raise InvalidRequest(f"The offset {offset} lies beyond the end, {size_bytes}.")
        path = self._path(digest, sender=sender)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        upload = ArrivingUpload(self, path, digest=digest, size_bytes=size_bytes)
        upload.open_at(offset)
        return upload

    def sweep(self) -> None:
        """Remove what nobody has gone on with for a day."""
        stale = time.time() - _STALE_SECONDS
        for path in self._folder.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < stale:
                    path.unlink()

    def take_hasher(self, path: Path) -> tuple[int, blake3.blake3] | None:
        """Take what is known of the bytes that have arrived: up to which, and their hash."""
        with self._guard:
            return self._hashers.pop(path, None)

    def keep_hasher(self, path: Path, *, count: int, hasher: blake3.blake3) -> None:
        """Keep it for the next request; of too many the oldest are made again when they are needed."""
        with self._guard:
            self._hashers[path] = count, hasher
            while len(self._hashers) > _MOST_HASHERS:
                del self._hashers[next(iter(self._hashers))]

    def _path(self, digest: str, *, sender: Id) -> Path:
        return self._folder / f"{raw(digest).hex()}-{sender}"


class ArrivingUpload:
    """One request's part of an upload. What it brought stays when its context ends."""

    def __init__(self, uploads: ResumableUploads, path: Path, *, digest: str, size_bytes: int) -> None:
        self._uploads = uploads
        self.path = path
        self._digest = digest
        self._size_bytes = size_bytes
        self._descriptor = -1
        self._hasher = blake3.blake3()
        self.received_bytes = 0

    def open_at(self, offset: int) -> None:
        """Open the file for this request alone; see `ResumableUploads.begin`."""
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise _no_space(self.path, error) from error
        try:
            self._claim(offset)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._uploads.keep_hasher(self.path, count=self.received_bytes, hasher=self._hasher)
        os.close(self._descriptor)

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            InvalidRequest: there are more than was said.
            NoSpace: the disk is full.
        """
        if self.received_bytes + len(data) > self._size_bytes:
            raise InvalidRequest(f"More than the {self._size_bytes} bytes arrived that were announced.")
        if is_zeros(data):
            os.ftruncate(self._descriptor, self.received_bytes + len(data))  # a hole stays a hole
            self._hasher.update(data)
            self.received_bytes += len(data)
            return
        left = memoryview(data)
        while left:
            try:
                count = os.pwrite(self._descriptor, left, self.received_bytes)
            except OSError as error:
                raise _no_space(self.path, error) from error
            self._hasher.update(left[:count])
            self.received_bytes += count
            left = left[count:]

    def check(self) -> bool:
        """Return whether all has arrived; it has the right digest then.

        Raises:
            DigestMismatch: it has another; what arrived is thrown away.
        """
        if self.received_bytes < self._size_bytes:
            return False
        found = named(self._hasher.digest())
        if found != self._digest:
            self.discard()
            raise DigestMismatch(
                f"The bytes sent have the digest {found}, not {self._digest}.",
                hint="The file changed while it was sent, or the line garbled it: send it again from its beginning.",
            )
        return True

    def store(self, blobs: BlobStore) -> Span:
        """Put what arrived, all of it, into its place and return where that is; it is moved there where that is near.

        Raises:
            NoSpace, Forbidden, Unavailable: the storage is full, refuses or does not answer; what arrived stays.
        """
        path = object_path(self._digest)
        if isinstance(blobs.objects, DirectoryObjects) and blobs.objects.take_in(self.path, path):
            return Span(path, 0, self._size_bytes)
        span = blobs.put_file(self.path, digest=self._digest, size_bytes=self._size_bytes)
        self.discard()
        return span

    def discard(self) -> None:
        """Remove what arrived."""
        self.path.unlink(missing_ok=True)

    def _claim(self, offset: int) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"Another request is sending {self._digest} at this moment.",
                hint="Wait for it, then ask how far it came.",
            ) from None
        opened = os.fstat(self._descriptor)
        if not opened.st_nlink or not self.path.exists() or not os.path.samestat(opened, self.path.stat()):
            raise Conflict(f"{self._digest} has just arrived or was given up.", hint="Ask how far it came.")
        there = opened.st_size
        if there != offset:
            raise Conflict(
                f"{there} bytes of {self._digest} have arrived, not {offset}.", hint=f"Go on from offset {there}."
            )
        known = self._uploads.take_hasher(self.path)
        if known is not None and known[0] == there:
            self._hasher = known[1]
        else:
            self._hash_again(there)
        self.received_bytes = there

    def _hash_again(self, count: int) -> None:
        done = 0
        while done < count:
            chunk = os.pread(self._descriptor, min(CHUNK_BYTES, count - done), done)
            self._hasher.update(chunk)
            done += len(chunk)


def _no_space(path: Path, error: OSError) -> NoSpace | OSError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return NoSpace(f"The disk that holds {path.parent} is full.", hint="Free some space there, then try again.")
    return error
