"""An upload of bytes that nobody knows the digest of before the last has arrived."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Self

import blake3

from orchestrator.blobs.objects import CHUNK_BYTES
from orchestrator.blobs.spans import PREFIX, Stored, object_path
from orchestrator.errors import DigestMismatch

if TYPE_CHECKING:
    from types import TracebackType

    from orchestrator.blobs.objects import Bytes, Draft, Objects


class BlobWriter:
    """One upload; leaving the context without `finish` leaves nothing behind.

    Its methods may be called by different threads, one after the other.
    """

    def __init__(self, objects: Objects, *, expected: str | None, sha256: bool) -> None:
        self._objects = objects
        self._expected = expected
        self._blake3 = blake3.blake3()
        self._sha256 = hashlib.sha256() if sha256 else None
        self._size_bytes = 0
        self._context = contextlib.ExitStack()
        self._draft: Draft

    def __enter__(self) -> Self:
        self._draft = self._context.enter_context(self._objects.draft(held_bytes=CHUNK_BYTES))
        return self

    def write(self, chunk: Bytes) -> None:
        """Take the next bytes.

        Raises:
            NoSpace: the disk is full.
        """
        self._draft.write(chunk)
        self._blake3.update(chunk)
        if self._sha256 is not None:
            self._sha256.update(chunk)
        self._size_bytes += len(chunk)

    @property
    def path(self) -> str:
        """Where the bytes go if no more come."""
        return object_path(PREFIX + self._blake3.hexdigest())

    def finish(self) -> Stored:
        """Put the bytes in their place; those that are there already are replaced by the same.

        Raises:
            DigestMismatch: they do not have the expected digest.
            NoSpace: the disk is full.
            Forbidden, Unavailable: the store refuses or does not answer.
        """
        digest = PREFIX + self._blake3.hexdigest()
        if self._expected is not None and digest != self._expected:
            raise DigestMismatch(
                f"The bytes sent have the digest {digest}, not {self._expected}.",
                hint="The file changed while it was sent, or the line garbled it: send it again.",
            )
        path = object_path(digest)
        self._draft.settle(path)
        sha256 = self._sha256.hexdigest() if self._sha256 is not None else None
        return Stored(digest=digest, size_bytes=self._size_bytes, sha256=sha256, path=path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()
