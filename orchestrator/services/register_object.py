"""Somebody who reaches a storage without the server wrote an object into it: it is looked at, then recorded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.blobs import read_index
from orchestrator.errors import Conflict, InvalidRequest
from orchestrator.records.blob import PlacedAt, StoredObject
from orchestrator.records.manifest import raw

if TYPE_CHECKING:
    from orchestrator.blobs import BlobStore
    from orchestrator.wire import RegisterObject

_PACK = re.compile(r"packs/[0-9a-f]{2}/[0-9a-f]{32}\.pack")
_ALONE = re.compile(r"(blake3|parts)/([0-9a-f]{2})/([0-9a-f]{62})")


def check_object(body: RegisterObject) -> tuple[StoredObject, list[PlacedAt]]:
    """Return an object and the blobs in it, when they can be as they are described.

    Raises:
        InvalidRequest: the path is not one that is written to, or a blob lies outside of the object.
    """
    alone = _ALONE.fullmatch(body.path)
    if alone is None and not _PACK.fullmatch(body.path):
        raise InvalidRequest(
            f"{body.path!r} is no place for an object.",
            hint="Packs lie at packs/ab/ab….pack, blobs of their own at blake3/ab/… or, in parts, at parts/ab/….",
        )
    if (body.part_bytes > 0) is not (alone is not None and alone[1] == "parts"):
        raise InvalidRequest(f"{body.path} cannot have parts of {body.part_bytes} bytes.")
    blobs = [PlacedAt(raw(blob.digest), blob.offset, blob.size_bytes) for blob in body.blobs]
    for blob in blobs:
        if blob.offset + blob.size_bytes > body.size_bytes:
            raise InvalidRequest(f"The blob {blob.digest.hex()} lies beyond the end of {body.path}.")
    if alone is not None and blobs != [PlacedAt(raw(alone[2] + alone[3]), 0, body.size_bytes)]:
        raise InvalidRequest(f"{body.path} holds the blob of its name, all of it and nothing else.")
    return StoredObject(body.storage, body.path, body.size_bytes, body.part_bytes), blobs


def check_there(blobs: BlobStore, *, stored: StoredObject, placed: list[PlacedAt]) -> None:
    """Check that an object is in its storage, whole, and that a pack's index says the same of what is in it.

    Raises:
        Conflict: it is not there.
        InvalidRequest: other blobs lie in it.
    """
    if stored.part_bytes:
        numbers = range(-(-stored.size_bytes // stored.part_bytes))
        wanted = {
            f"{stored.path}/{number:05}": min(stored.part_bytes, stored.size_bytes - number * stored.part_bytes)
            for number in numbers
        }
        parts = {listed.path: listed.size_bytes for listed in blobs.objects.listing(stored.path)}
        whole = all(parts.get(path) == size_bytes for path, size_bytes in wanted.items())
    else:
        whole = blobs.objects.size_of(stored.path) == stored.size_bytes
    if not whole:
        raise Conflict(
            f"{blobs.url} has no {stored.path} of {stored.size_bytes} bytes.",
            hint="Write it again, then register it again.",
        )
    if _PACK.fullmatch(stored.path):
        index = read_index(blobs.objects, stored.path, size_bytes=stored.size_bytes)
        there = {PlacedAt(raw(blob.digest), blob.offset, blob.size_bytes) for blob in index}
        if not there.issuperset(placed):
            raise InvalidRequest(f"Other blobs lie in {stored.path}, as its own index says.")
