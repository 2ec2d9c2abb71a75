"""Bytes and where they lie."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orchestrator.records.base import Digest, Name, Record


class CreateStorage(Record):
    """`PUT /storages/{name}`."""

    url: str = Field(min_length=1, max_length=2048)


class StorageUse(Record):
    """`GET /storages`: a storage and what lies in it."""

    name: Name
    url: str
    identity: str
    objects: int
    size_bytes: int


class Digests(Record):
    """`POST /blobs/missing`, `/blobs/locations` and `/blobs/bundle`.

    Asking which are missing pins those that are there for an hour: whoever does not send them can rely on them.
    """

    digests: tuple[Digest, ...] = Field(max_length=100_000)


class MissingBlobs(Record):
    """What `POST /blobs/missing` answers, in the order asked; and `GET /datasets/{id}/missing` of a version's blobs."""

    missing: tuple[Digest, ...]


class Sizes(Record):
    """`POST /blobs/sizes` and its answer: sizes of large files, in bytes."""

    sizes: tuple[Annotated[int, Field(ge=0, le=2**62)], ...] = Field(max_length=10_000)


class StoredBlob(Record):
    """What an upload answers."""

    digest: Digest
    size_bytes: int
    sha256: str | None = None
    """Of the same bytes, for a sender without BLAKE3."""


class PackHeader(Record):
    """What the body of `POST /blobs/packs` begins with, after its own length: four bytes, little-endian."""

    sizes: tuple[Annotated[int, Field(ge=0)], ...] = Field(max_length=100_000)
    """Of the blobs that follow, one after the other."""
    digests: tuple[Digest, ...] | None = Field(default=None, max_length=100_000)
    """None where the sender has no BLAKE3: their SHA-256 is answered, too."""


class StoredBlobs(Record):
    """What `POST /blobs/packs` answers, in the order of the pack."""

    blobs: tuple[StoredBlob, ...]


class UploadState(Record):
    """`GET /blobs/{digest}/upload`: how far a large upload has come, where to go on."""

    received_bytes: int
    stored: bool
    """Whether the blob is there already."""
    busy: bool = False
    """Whether a request is sending it at this moment; where all has arrived, it is put into its storage, which may
    take long: ask again until it is stored."""


class BlobLocation(Record):
    """Where a blob's bytes lie, for who reads them straight from the storage."""

    digest: Digest
    storage: Name
    path: str
    offset: int
    size_bytes: int
    part_bytes: int
    """0 where the object is one; else it is a folder of parts of this length, `path/00000` and so on."""


class BlobLocations(Record):
    """What `POST /blobs/locations` answers: in the order asked, without those that are missing."""

    locations: tuple[BlobLocation, ...]


class PlacedBlob(Record):
    """A blob inside an object."""

    digest: Digest
    offset: int = Field(ge=0)
    size_bytes: int = Field(ge=0)


class RegisterObject(Record):
    """`POST /blobs/objects`: somebody with access of their own wrote an object into a storage."""

    storage: Name
    path: str = Field(max_length=512)
    size_bytes: int = Field(ge=0)
    part_bytes: int = Field(default=0, ge=0)
    blobs: tuple[PlacedBlob, ...] = Field(min_length=1, max_length=200_000)


class Registered(Record):
    """What `POST /blobs/objects` answers."""

    new_blobs: int
    """How many of its blobs were not stored before."""
