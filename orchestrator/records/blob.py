"""Where bytes lie. There are millions of blobs, so these are plain tuples. Digests are 32 bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

PACKS = "packs/"
"""Where in a storage packs lie."""
PACKED_BYTES = 40
"""What a blob takes in a pack beside its own bytes: its line in the pack's index."""


class StoredObject(NamedTuple):
    """Something that a storage keeps under one path: a file of its own, or a pack of many small ones.

    Attributes:
        storage: name of the storage.
        path: relative to its root.
        size_bytes: of all of it.
        part_bytes: 0 where it is one; else it is a folder of parts of this length, `path/00000` and so on.
    """

    storage: str
    path: str
    size_bytes: int
    part_bytes: int = 0


class PlacedAt(NamedTuple):
    """A blob inside an object."""

    digest: bytes
    offset: int
    size_bytes: int


class BlobPlace(NamedTuple):
    """Where a blob's bytes are to be read."""

    storage: str
    path: str
    part_bytes: int
    offset: int
    size_bytes: int


class BlobUse(NamedTuple):
    """What a collection of garbage needs to know of a blob."""

    digest: bytes
    size_bytes: int
    pinned_until: datetime | None
    condemned_at: datetime | None


class ObjectUse(NamedTuple):
    """How much of an object is still used."""

    object_id: int
    stored: StoredObject
    used_bytes: int
    blobs: int
