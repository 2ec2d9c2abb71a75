"""What is in a pack, at its end: a store can be read, and mended from, without the database.

n times      digest (32 bytes), size in bytes (64 bits, little-endian); the blobs lie in this order from the start on
then         n (32 bits, little-endian), the first 16 bytes of the BLAKE3 of all that, and `rtp1`
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import blake3

from orchestrator.errors import DigestMismatch
from orchestrator.records.manifest import named, raw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.blobs.objects import Objects

_ENTRY = struct.Struct("<32sQ")
_TAIL = struct.Struct("<I16s4s")
_COUNT = struct.Struct("<I")
_MAGIC = b"rtp1"


class Packed(NamedTuple):
    """A blob in a pack."""

    digest: str
    offset: int
    size_bytes: int


def encode_index(blobs: Sequence[Packed]) -> bytes:
    """Return what stands at the end of a pack."""
    entries = b"".join(_ENTRY.pack(raw(blob.digest), blob.size_bytes) for blob in blobs)
    return entries + _TAIL.pack(len(blobs), _checksum(entries, len(blobs)), _MAGIC)


def index_bytes(count: int) -> int:
    """Return how long the index of so many blobs is."""
    return count * _ENTRY.size + _TAIL.size


def read_index(objects: Objects, path: str, *, size_bytes: int) -> list[Packed]:
    """Return what is in a pack.

    Args:
        objects: the store.
        path: of the pack.
        size_bytes: of all of it.

    Raises:
        NotFound: there is no such pack.
        DigestMismatch: it has no index, or a damaged one.
    """
    tail = _read(objects, path, offset=max(0, size_bytes - _TAIL.size), size_bytes=_TAIL.size)
    if len(tail) == _TAIL.size:
        count, checksum, magic = _TAIL.unpack(tail)
        start = size_bytes - _TAIL.size - count * _ENTRY.size
        if magic == _MAGIC and start >= 0:
            entries = _read(objects, path, offset=start, size_bytes=count * _ENTRY.size)
            if _checksum(entries, count) == checksum:
                return _placed(entries)
    raise DigestMismatch(
        f"{path} in {objects.url} has no index that can be read.", hint="It was cut, or is no pack of ours."
    )


def _placed(entries: bytes) -> list[Packed]:
    blobs, offset = [], 0
    for digest, size_bytes in _ENTRY.iter_unpack(entries):
        blobs.append(Packed(named(digest), offset, size_bytes))
        offset += size_bytes
    return blobs


def _checksum(entries: bytes, count: int) -> bytes:
    return blake3.blake3(entries + _COUNT.pack(count)).digest(length=16)


def _read(objects: Objects, path: str, *, offset: int, size_bytes: int) -> bytes:
    return b"".join(objects.read(path, offset=offset, size_bytes=size_bytes)) if size_bytes else b""
