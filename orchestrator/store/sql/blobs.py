"""Which blobs lie in which objects, and which of them nothing needs any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, delete, literal, or_, select, update
from typing_extensions import override

from orchestrator.errors import NotFound
from orchestrator.records.blob import BlobPlace, BlobUse
from orchestrator.store.protocol import BlobPlaces
from orchestrator.store.sql.columns import ShortUtc
from orchestrator.store.sql.named_digests import named_digests
from orchestrator.store.sql.objects import ObjectRows
from orchestrator.store.sql.rows import chunks
from orchestrator.store.sql.tables import blobs, file_profiles, lost_blobs, objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from orchestrator.records.blob import PlacedAt, StoredObject

_SHORTER_PIN = timedelta(minutes=30)
"""A pin that ends so much before the one that is wanted will do."""

_PLACE = select(objects.c.storage, objects.c.path, objects.c.part_bytes, blobs.c.offset, blobs.c.size_bytes).join(
    objects, objects.c.id == blobs.c.object_id
)


class SqlBlobPlaces(ObjectRows, BlobPlaces):
    """Blobs by digest.

    Who changes rows locks them first, in the order of their digests: two that change the same never wait in a ring, and
    each sees what the other did.
    """

    @override
    def add_object(
        self, stored: StoredObject, *, blobs: Sequence[PlacedAt], pinned_until: datetime | None = None
    ) -> int:
        object_id, before = self._claim(stored, placed=blobs)
        self._place(object_id, placed=blobs, pinned_until=pinned_until)
        return self._count(object_id) - before

    @override
    def get(self, digest: bytes) -> BlobPlace:
        row = self._unit.execute(_PLACE.where(blobs.c.digest == digest)).first()
        if row is None:
            raise NotFound(f"No blob blake3:{digest.hex()} is stored.")
        return BlobPlace(*row)

    @override
    def places(self, digests: Sequence[bytes]) -> dict[bytes, BlobPlace]:
        statement = _PLACE.add_columns(blobs.c.digest)
        return {
            digest: BlobPlace(*place)
            for asked in chunks(digests)
            for *place, digest in self._unit.execute(statement.where(self._unit.among(blobs.c.digest, asked)))
        }

    @override
    def missing(self, digests: Sequence[bytes]) -> list[bytes]:
        known: set[bytes] = set()
        for asked in chunks(digests):
            statement = select(blobs.c.digest).where(self._unit.among(blobs.c.digest, asked))
            known.update(self._unit.execute(statement).scalars())
        return [digest for digest in digests if digest not in known]

    @override
    def pin(self, digests: Sequence[bytes], *, until: datetime) -> None:
        short = or_(blobs.c.pinned_until.is_(None), blobs.c.pinned_until < until - _SHORTER_PIN)
        for found in self._locked(digests, where=or_(short, blobs.c.condemned_at.is_not(None))):
            longest = case((blobs.c.pinned_until > until, blobs.c.pinned_until), else_=literal(until, ShortUtc))
            self._change(found, condemned_at=None, pinned_until=longest)

    @override
    def revive(self, digests: Sequence[bytes]) -> None:
        # Also those that are not condemned yet: nobody condemns and removes them before this unit's end. Those that are
        # pinned for longer than any unit takes need no lock.
        short = or_(blobs.c.pinned_until.is_(None), blobs.c.pinned_until < self._unit.now() + _SHORTER_PIN)
        condemned = blobs.c.condemned_at.is_not(None)
        for found in self._locked(digests, where=or_(short, condemned)):
            those = and_(self._unit.among(blobs.c.digest, found), condemned)
            self._unit.execute(update(blobs).where(those).values(condemned_at=None))

    @override
    def forget(self, digest: bytes, *, storage: str, path: str) -> None:
        there = select(objects.c.id).where(objects.c.storage == storage, objects.c.path == path)
        here = delete(blobs).where(blobs.c.digest == digest, blobs.c.object_id.in_(there))
        if self._unit.scalar(here.returning(blobs.c.digest)) is not None:
            self._unit.execute(self._unit.insert(lost_blobs).values(digest=digest).on_conflict_do_nothing())

    @override
    def lost(self) -> set[bytes]:
        return set(self._unit.execute(select(lost_blobs.c.digest)).scalars())

    @override
    def page(self, *, after: bytes, limit: int) -> list[BlobUse]:
        columns = (blobs.c.digest, blobs.c.size_bytes, blobs.c.pinned_until, blobs.c.condemned_at)
        statement = select(*columns).where(blobs.c.digest > after).order_by(blobs.c.digest).limit(limit)
        return [BlobUse(*row) for row in self._unit.execute(statement)]

    @override
    def condemn(self, digests: Sequence[bytes], *, at: datetime) -> None:
        for found in self._locked(digests, where=and_(blobs.c.condemned_at.is_(None), self._unpinned())):
            self._change(found, condemned_at=at)

    @override
    def remove_condemned(self, digests: Sequence[bytes], *, before: datetime) -> list[bytes]:
        removed: list[bytes] = []
        for found in self._locked(digests, where=and_(blobs.c.condemned_at < before, self._unpinned())):
            self._unit.execute(delete(blobs).where(self._unit.among(blobs.c.digest, found)))
            self._unit.execute(delete(file_profiles).where(self._unit.among(file_profiles.c.digest, found)))
            removed += found
        return removed

    @override
    def named_elsewhere(self, *, without: str | None = None) -> set[bytes]:
        return named_digests(self._unit, without=without)

    def _unpinned(self) -> ColumnElement[bool]:
        return or_(blobs.c.pinned_until.is_(None), blobs.c.pinned_until <= self._unit.now())

    def _locked(self, digests: Sequence[bytes], *, where: ColumnElement[bool]) -> Iterable[list[bytes]]:
        """Lock those of these blobs for which something holds, once others have let go of them, and yield them."""
        for asked in chunks(sorted(set(digests))):
            statement = select(blobs.c.digest).where(self._unit.among(blobs.c.digest, asked), where)
            in_order = statement.order_by(blobs.c.digest).with_for_update()
            if found := list(self._unit.execute(in_order).scalars()):
                yield found

    def _change(self, digests: Sequence[bytes], **values: Any) -> None:  # noqa: ANN401  moments, or SQL for them
        self._unit.execute(update(blobs).where(self._unit.among(blobs.c.digest, digests)).values(values))
