"""Content-addressed bytes: each blob is named by its BLAKE3 digest and checked on the way in and out.

blake3/ab/cdef…         a blob that is one object
parts/ab/cdef…/00000    a part of a large one, where the store is elsewhere
packs/ab/ab….pack       many small ones, and an index of them at the end
uploads/…               what is not finished, in a directory

Nothing is visible before it is whole and durable. Memory is constant for bytes of any size.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from orchestrator.blobs.directory import DirectoryObjects
from orchestrator.blobs.files import hash_file, receive_file, send_file
from orchestrator.blobs.objects import UPLOADS
from orchestrator.blobs.opening import open_objects
from orchestrator.blobs.packs import PackWriter
from orchestrator.blobs.reading import copy_blob, read_blob, read_blobs
from orchestrator.blobs.spans import object_path
from orchestrator.blobs.writer import BlobWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from orchestrator.blobs.copying import OnBytes
    from orchestrator.blobs.objects import Objects
    from orchestrator.blobs.packs import Pack
    from orchestrator.blobs.spans import Span, Stored

_STALE_UPLOAD = timedelta(days=1)


class BlobStore:
    """Blobs in a store of bytes.

    Args:
        objects: the store, or its URL.

    Raises:
        InvalidRequest, Forbidden: see `open_objects`.
    """

    name = "default"
    """What the table of locations calls this store."""

    def __init__(self, objects: Objects | str) -> None:
        self.objects = open_objects(objects) if isinstance(objects, str) else objects
        self.url = self.objects.url

    def location(self, digest: str) -> str:
        """Return where a blob lies that is one object."""
        return object_path(digest)

    def writer(self, *, expected: str | None = None, sha256: bool = False) -> BlobWriter:
        """Begin an upload of bytes whose digest or size is not known.

        Args:
            expected: the digest that the bytes must have.
            sha256: whether to compute the SHA-256 of the bytes, too.
        """
        return BlobWriter(self.objects, expected=expected, sha256=sha256)

    def put(self, chunks: Iterable[bytes], *, expected: str | None = None, sha256: bool = False) -> Stored:
        """Store bytes as one object.

        Raises:
            DigestMismatch: they do not have the expected digest.
            NoSpace: the disk is full.
        """
        with self.writer(expected=expected, sha256=sha256) as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.finish()

    def put_file(
        self,
        file: Path,
        *,
        digest: str,
        size_bytes: int,
        prefixes: Sequence[bytes] | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Span:
        """Store a file whose digest is known; elsewhere in parts, of which those that have arrived are not sent again.

        Args:
            file: what to read: once where `prefixes` are given and in a directory, else twice.
            digest: what its bytes must have.
            size_bytes: its size.
            prefixes: what `hash_file` said of the file with this digest.
            on_bytes: called with numbers of bytes that are stored.

        Raises:
            InvalidPath: it changed since it was hashed, or cannot be read. Nothing is stored but what has the digest;
                elsewhere parts of it may stay until they are collected.
            NoSpace: the disk is full.
            Forbidden, Unavailable: the store refuses or does not answer; call again, and it goes on where it ended.
        """
        if isinstance(self.objects, DirectoryObjects):
            return receive_file(self.objects, file, digest=digest, on_bytes=on_bytes)[1]
        return send_file(self.objects, file, digest=digest, size_bytes=size_bytes, prefixes=prefixes, on_bytes=on_bytes)

    def put_stream_file(self, file: Path, *, on_bytes: OnBytes | None = None) -> tuple[str, Span]:
        """Store a file whose digest is not known and return that digest.

        In a directory the file is read once, and what is hashed is what is stored, even if someone writes to the file
        meanwhile. Elsewhere it is read twice: before the first byte is sent it must be known whose it is.

        Args:
            file: what to read.
            on_bytes: called with numbers of bytes that are stored.

        Raises:
            InvalidPath: it cannot be read, or became shorter meanwhile.
            NoSpace: the disk is full.
            Forbidden, Unavailable: the store refuses or does not answer.
        """
        if isinstance(self.objects, DirectoryObjects):
            return receive_file(self.objects, file, digest=None, on_bytes=on_bytes)
        digest, size_bytes, prefixes = hash_file(file)
        span = self.put_file(file, digest=digest, size_bytes=size_bytes, prefixes=prefixes, on_bytes=on_bytes)
        return digest, span

    def packs(self, *, on_pack: Callable[[Pack], object]) -> PackWriter:
        """Begin to store many small blobs.

        Args:
            on_pack: told of each pack when it is durable, in order.
        """
        return PackWriter(self.objects, on_pack=on_pack)

    def read(self, span: Span, *, digest: str) -> Iterator[bytes]:
        """Yield a blob's bytes. The last chunk is held back until the digest of all is known to be right.

        Raises:
            NotFound: the object is gone.
            DigestMismatch: the stored bytes are not those that were once stored.
        """
        return read_blob(self.objects, span, digest=digest)

    def copy_to(self, span: Span, target: Path, *, digest: str, on_bytes: OnBytes | None = None) -> None:
        """Copy a blob to a new file, verified; where it can, the file system shares the bytes, and holes stay holes.

        The file is not synced: it is a copy.

        Args:
            span: where the blob lies.
            target: does not exist yet, and does not exist after a failure.
            digest: of the blob.
            on_bytes: called with numbers of bytes that are copied.

        Raises:
            NotFound: the object is gone.
            DigestMismatch: the stored bytes are not those that were once stored.
            AlreadyExists: the target is there.
            NoSpace: the disk of the target is full.
        """
        copy_blob(self.objects, span, target, digest=digest, on_bytes=on_bytes)

    def read_many(self, blobs: Iterable[tuple[str, Span]]) -> Iterator[tuple[str, bytes]]:
        """Yield digests and bytes of small blobs, verified; those that lie side by side are read together.

        Args:
            blobs: digests and where they lie, in order of path and offset. Taken as there is room.

        Raises:
            NotFound: an object is gone.
            DigestMismatch: stored bytes are not those that were once stored; the message names the first.
        """
        return read_blobs(self.objects, blobs)

    def delete(self, path: str, part_bytes: int) -> int:
        """Remove an object, or a folder of parts, and return how many bytes that freed."""
        if not part_bytes:
            return self.objects.delete(path)
        return sum(self.objects.delete(listed.path) for listed in list(self.objects.listing(path)))

    def sweep_uploads(self) -> None:
        """Remove what uploads left behind that were cut off by a crash long ago."""
        stale = datetime.now(tz=UTC) - _STALE_UPLOAD
        for listed in list(self.objects.listing(UPLOADS)):
            if listed.changed_at < stale:
                self.objects.delete(listed.path)
