"""Content-addressed bytes over fsspec: each stored once, named by its BLAKE3 digest, checked on the way in and out.

An upload is written beside its place and moved there when its digest is known: no reader ever sees a part of it. Memory
is constant for bytes of any size.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import posixpath
import time
import uuid
from typing import TYPE_CHECKING, Any, Self

import blake3
import fsspec

from orchestrator.errors import DigestMismatch, NoSpace, NotFound
from orchestrator.wire import StoredBlob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
_STALE_UPLOAD_SECONDS = 86_400
_PREFIX = "blake3:"


class BlobStore:
    """Blobs below one root.

    Args:
        url: a directory, or a URL that fsspec knows, such as `s3://bucket/prefix`.
    """

    name = "default"
    """What the table of locations calls this store."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._local = "://" not in url or url.startswith("file://")
        self._files, root = fsspec.core.url_to_fs(url, **({"auto_mkdir": True} if self._local else {}))
        self._root = str(root).rstrip("/")

    def location(self, digest: str) -> str:
        """Return where a blob lies, relative to the root."""
        hexadecimal = digest.removeprefix(_PREFIX)
        return f"blake3/{hexadecimal[:2]}/{hexadecimal[2:]}"

    def writer(self, *, expected: str | None = None, sha256: bool = False) -> BlobWriter:
        """Begin an upload.

        Args:
            expected: the digest that the bytes must have.
            sha256: whether to compute the SHA-256 of the bytes, too.
        """
        return BlobWriter(self, expected=expected, sha256=sha256)

    def put(self, chunks: Iterable[bytes], *, expected: str | None = None, sha256: bool = False) -> StoredBlob:
        """Store bytes.

        Raises:
            DigestMismatch: they do not have the expected digest.
            NoSpace: the disk is full.
        """
        with self.writer(expected=expected, sha256=sha256) as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.finish()

    def read(self, location: str, *, digest: str, offset: int = 0, size_bytes: int) -> Iterator[bytes]:
        """Yield a blob's bytes. The last chunk is held back until the digest of all is known to be right.

        Raises:
            NotFound: the file is gone.
            DigestMismatch: the stored bytes are not those that were once stored.
        """
        hasher = blake3.blake3()
        try:
            file = self._files.open(self._path(location), "rb")
        except FileNotFoundError:
            raise NotFound(
                f"The bytes of {digest} are gone from {self.url}.", hint="Restore them from a backup."
            ) from None
        with file:
            file.seek(offset)
            left, held = size_bytes, b""
            while left and (chunk := file.read(min(CHUNK_BYTES, left))):
                hasher.update(chunk)
                left -= len(chunk)
                if held:
                    yield held
                held = chunk
        found = _PREFIX + hasher.hexdigest()
        if found != digest:
            logger.error("blob is corrupt", extra={"action": "blob_corrupt", "digest": digest, "found": found})
            raise DigestMismatch(
                f"The stored bytes of {digest} are corrupt.",
                hint="Upload the file again, as a part of any version.",
            )
        yield held

    def move_in(self, draft: str, *, digest: str) -> None:
        """Move a finished upload to its place; when this returns, the move outlives a loss of power."""
        path = self._path(self.location(digest))
        self._files.mv(draft, path)
        if self._local:
            folder = os.open(posixpath.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def sweep_uploads(self) -> None:
        """Remove what uploads left behind that were cut off by a crash long ago."""
        folder = self._path("uploads")
        if not self._files.exists(folder):
            return
        for entry in self._files.ls(folder, detail=True):
            changed = entry.get("mtime")
            if isinstance(changed, float) and changed < time.time() - _STALE_UPLOAD_SECONDS:
                self._files.rm_file(entry["name"])

    def _path(self, location: str) -> str:
        return posixpath.join(self._root, location)


class BlobWriter:
    """One upload; leaving the context without `finish` leaves nothing behind."""

    def __init__(self, store: BlobStore, *, expected: str | None, sha256: bool) -> None:
        self._store = store
        self._expected = expected
        self._blake3 = blake3.blake3()
        self._sha256 = hashlib.sha256() if sha256 else None
        self._size_bytes = 0
        self._draft = store._path(f"uploads/{uuid.uuid4().hex}")  # noqa: SLF001  one piece in two classes
        self._file: Any = None
        self._finished = False

    def __enter__(self) -> Self:
        self._file = self._do(lambda: self._store._files.open(self._draft, "wb"))  # noqa: SLF001
        return self

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            NoSpace: the disk is full.
        """
        self._do(lambda: self._file.write(chunk))
        self._blake3.update(chunk)
        if self._sha256 is not None:
            self._sha256.update(chunk)
        self._size_bytes += len(chunk)

    def finish(self) -> StoredBlob:
        """Put the bytes in their place; those that are there already are replaced by the same.

        Raises:
            DigestMismatch: they do not have the expected digest.
            NoSpace: the disk is full.
        """
        digest = _PREFIX + self._blake3.hexdigest()
        if self._expected is not None and digest != self._expected:
            raise DigestMismatch(
                f"The bytes sent have the digest {digest}, not {self._expected}.",
                hint="The file changed while it was sent, or the line garbled it: send it again.",
            )
        self._do(self._settle)
        self._do(lambda: self._store.move_in(self._draft, digest=digest))
        self._finished = True
        sha256 = self._sha256.hexdigest() if self._sha256 is not None else None
        return StoredBlob(digest=digest, size_bytes=self._size_bytes, sha256=sha256)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._finished:
            return
        try:
            self._file.close()
        except OSError:
            # The bytes are thrown away; why they could not be flushed has been raised already.
            logger.debug("upload given up", exc_info=True)
        if self._store._files.exists(self._draft):  # noqa: SLF001
            self._store._files.rm_file(self._draft)  # noqa: SLF001

    def _settle(self) -> None:
        self._file.flush()
        if hasattr(self._file, "fileno"):
            os.fsync(self._file.fileno())
        self._file.close()

    def _do(self, step: Any) -> Any:  # noqa: ANN401  whatever the step returns
        try:
            return step()
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise NoSpace(
                    f"The disk that holds {self._store.url} is full.", hint="Free some space there, then try again."
                ) from error
            raise
