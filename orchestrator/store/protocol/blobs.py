"""Where bytes lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.records.blob import BlobPlace, BlobUse, ObjectUse, PlacedAt, StoredObject


def object_lock(storage: str, path: str) -> str:
    """Return the name of the lock for `Store.hold` that `add_object` takes, too, until its unit of work ends."""
    return f"object {storage} {path}"


class BlobPlaces(Protocol):
    """Which blobs lie in which objects of which storage. Digests are 32 bytes.

    A blob is unused when no manifest, task or metadata names it. One that is found unused is condemned; condemned long
    enough, it is removed. Until then whoever stores it again, pins it or puts it into a manifest revives it.

    Whoever relies on blobs pins or revives them first and asks then which are `missing`, in one unit of work: those
    that are there afterwards stay.
    """

    def add_object(
        self, stored: StoredObject, *, blobs: Sequence[PlacedAt], pinned_until: datetime | None = None
    ) -> int:
        """Record an object and the blobs in it, and return how many of these had no place yet.

        Blobs that have a place keep it, and are revived. An object that is recorded already takes those back that had
        lost their place in it; `AlreadyExists` where it has another size or holds other blobs.

        Args:
            stored: the object.
            blobs: what lies in it; of two with one digest the first counts.
            pinned_until: pins those that had no place; others keep the pin that they have.
        """

    def get(self, digest: bytes) -> BlobPlace:
        """Return where a blob lies. `NotFound` where it is missing."""

    def places(self, digests: Sequence[bytes]) -> dict[bytes, BlobPlace]:
        """Return where blobs lie, without those that are missing."""

    def missing(self, digests: Sequence[bytes]) -> list[bytes]:
        """Return those that have no place, in the order given."""

    def pin(self, digests: Sequence[bytes], *, until: datetime) -> None:
        """Keep blobs from being condemned until a moment, and revive them.

        Pins that are longer, or at most half an hour shorter, stay as they are: rows are not written again and again.
        """

    def revive(self, digests: Sequence[bytes]) -> None:
        """Take back that blobs were condemned; none that is there is condemned until the unit of work ends."""

    def forget(self, digest: bytes, *, storage: str, path: str) -> None:
        """Remove a place that turned out not to hold the bytes; nothing happens when it is another by now."""

    def lost(self) -> set[bytes]:
        """Return those whose place was forgotten and that were not stored again since; there are few."""

    def drop_lost(self, digests: Sequence[bytes]) -> None:
        """Forget that these were lost: nothing needs them any more."""

    def page(self, *, after: bytes, limit: int) -> list[BlobUse]:
        """Return blobs in the order of their digests, those after this one."""

    def condemn(self, digests: Sequence[bytes], *, at: datetime) -> None:
        """Note that blobs were found unused, where that was not noted before and no pin holds them."""

    def remove_condemned(self, digests: Sequence[bytes], *, before: datetime) -> list[bytes]:
        """Remove those of these blobs that were condemned before a moment and that no pin holds.

        Return them, sorted.
        """

    def sparse_objects(self, *, most_used: float, limit: int = 100) -> list[ObjectUse]:
        """Return objects of whose bytes at most this share is used by blobs, or in which none lies, emptiest first."""

    def in_object(self, object_id: int) -> list[PlacedAt]:
        """Return the blobs that lie in an object, by offset."""

    def move(self, *, object_id: int, to: StoredObject, blobs: Sequence[PlacedAt]) -> None:
        """Record a new object and that those blobs which lie in the old one now lie there.

        `AlreadyExists` where an object of that storage and path is recorded.
        """

    def drop_object(self, object_id: int) -> None:
        """Forget an object in which no blob lies; `Conflict` where one does."""

    def known_sizes(self, sizes: Sequence[int]) -> set[int]:
        """Return those of these numbers of bytes that some object has."""

    def object_paths(self, storage: str, paths: Sequence[str]) -> set[str]:
        """Return those of these paths at which an object is recorded."""

    def named_elsewhere(self, *, without: str | None = None) -> set[bytes]:
        """Return the digests that tasks, attempts, artifacts, metadata and reports name: all but those of manifests.

        Args:
            without: a version whose metadata and reports do not count.
        """

    def usage(self) -> dict[str, tuple[int, int]]:
        """Return for every storage how many objects lie in it and the sum of their sizes in bytes."""
