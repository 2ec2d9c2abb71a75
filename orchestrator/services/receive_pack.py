"""Many small blobs in one request, read as they come: a header that gives their sizes, then their bytes."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

import blake3
from pydantic import ValidationError

from orchestrator.errors import DigestMismatch, InvalidRequest
from orchestrator.records.manifest import named
from orchestrator.wire import PackHeader, StoredBlob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from orchestrator.blobs import BlobStore, Pack

LARGEST_PACK_BYTES = 64 << 20
"""Of the blobs in one request."""
_LARGEST_HEADER_BYTES = 16 << 20
_LENGTH = struct.Struct("<I")
_GATHERED_BYTES = 1 << 20
_GATHERED_BLOBS = 1000


class PackReceiver:
    """Takes the body of `POST /blobs/packs` and stores the blobs that are not stored yet. Memory is that of one blob.

    What begins must end with `finish` or `give_up`; other threads may call each, one after the other.

    Args:
        blobs: where to.
        missing: returns those digests that are not stored.
        record: told of each pack when it is durable.
    """

    def __init__(
        self,
        blobs: BlobStore,
        *,
        missing: Callable[[Sequence[bytes]], list[bytes]],
        record: Callable[[Pack], object],
    ) -> None:
        self._missing = missing
        self._writer = blobs.packs(on_pack=record)
        self._buffer = bytearray()
        self._header: PackHeader | None = None
        self._expected: Iterator[tuple[int, str | None]] = iter(())
        self._next: tuple[int, str | None] | None = None
        self._gathered: dict[bytes, bytes] = {}
        self._gathered_bytes = 0
        self._packed: set[bytes] = set()
        self._stored: list[StoredBlob] = []

    @property
    def packed(self) -> set[bytes]:
        """Digests of the blobs that went into packs; the others were there."""
        return self._packed

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            InvalidRequest: the header cannot be read, or the body goes on after its last blob.
            DigestMismatch: a blob has another digest than the header says.
            NoSpace: the disk is full.
        """
        self._buffer += data
        if self._header is None and not self._read_header():
            return
        while self._next is not None and len(self._buffer) >= self._next[0]:
            size_bytes, digest = self._next
            self._take(bytes(self._buffer[:size_bytes]), digest=digest)
            del self._buffer[:size_bytes]
            self._next = next(self._expected, None)
        if self._next is None and self._buffer:
            raise InvalidRequest("The body goes on after the last blob of its header.")

    def finish(self) -> list[StoredBlob]:
        """Write what is gathered, record it, and return what was sent, in its order.

        Raises:
            InvalidRequest: the body ended too early.
            NoSpace: the disk is full.
        """
        if self._header is None or self._next is not None:
            raise InvalidRequest("The body ended before the last blob of its header.", hint="Send it again.")
        self._pack()
        self._writer.__exit__(None, None, None)
        return self._stored

    def give_up(self, error: BaseException) -> None:
        """Remove what is not recorded."""
        self._writer.__exit__(type(error), error, error.__traceback__)

    def _read_header(self) -> bool:
        if len(self._buffer) < _LENGTH.size:
            return False
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > _LARGEST_HEADER_BYTES:
            raise InvalidRequest(f"The header is longer than {_LARGEST_HEADER_BYTES >> 20} MiB.")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return False
        self._header = header = read_header(bytes(self._buffer[_LENGTH.size : end]))
        del self._buffer[:end]
        digests: Sequence[str | None] = header.digests if header.digests is not None else [None] * len(header.sizes)
        self._expected = iter(zip(header.sizes, digests, strict=True))
        self._next = next(self._expected, None)
        return True

    def _take(self, data: bytes, *, digest: str | None) -> None:
        found = blake3.blake3(data).digest()
        if digest is not None and digest != named(found):
            raise DigestMismatch(
                f"The bytes sent for {digest} have the digest {named(found)}.",
                hint="The file changed while it was sent, or the line garbled it: send it again.",
            )
        sha256 = hashlib.sha256(data).hexdigest() if digest is None else None
        self._stored.append(StoredBlob(digest=named(found), size_bytes=len(data), sha256=sha256))
        if found not in self._gathered:
            self._gathered[found] = data
            self._gathered_bytes += len(data)
        if self._gathered_bytes >= _GATHERED_BYTES or len(self._gathered) >= _GATHERED_BLOBS:
            self._pack()

    def _pack(self) -> None:
        """Pack those of the gathered blobs that are not stored; to ask for many costs little more than for one."""
        for digest in self._missing([digest for digest in self._gathered if digest not in self._packed]):
            self._writer.add(named(digest), self._gathered[digest])
            self._packed.add(digest)
        self._gathered = {}
        self._gathered_bytes = 0


def read_header(data: bytes) -> PackHeader:
    """Read the header of a body.

    Raises:
        InvalidRequest: it is none, or says that there is more than one request may bring.
    """
    try:
        header = PackHeader.model_validate_json(data)
    except ValidationError as error:
        raise InvalidRequest(
            f"The header of the pack cannot be read: {error.errors()[0]['msg']}.",
            hint='It is JSON: {"sizes": [...], "digests": [...] or null}.',
        ) from None
    if header.digests is not None and len(header.digests) != len(header.sizes):
        raise InvalidRequest(f"The header has {len(header.sizes)} sizes and {len(header.digests)} digests.")
    if sum(header.sizes) > LARGEST_PACK_BYTES:
        raise InvalidRequest(
            f"The blobs have more than {LARGEST_PACK_BYTES >> 20} MiB together.", hint="Send them in several packs."
        )
    return header
