"""Objects of storages, and what lies in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Double, and_, bindparam, case, cast, delete, exists, func, null, or_, select, update

from orchestrator.errors import AlreadyExists, Conflict
from orchestrator.records.blob import PACKED_BYTES, PACKS, ObjectUse, PlacedAt, StoredObject
from orchestrator.store.protocol import object_lock
from orchestrator.store.sql.columns import microseconds
from orchestrator.store.sql.rows import chunks
from orchestrator.store.sql.tables import blobs, lost_blobs, objects
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

_STORED = (objects.c.storage, objects.c.path, objects.c.size_bytes, objects.c.part_bytes)


class ObjectRows(Noun):
    """The part of `BlobPlaces` that is about objects."""

    def sparse_objects(self, *, most_used: float, limit: int = 100) -> list[ObjectUse]:
        """Return objects of whose bytes at most this share is used by blobs, or in which none lies, emptiest first."""
        sums = (func.sum(blobs.c.size_bytes).label("used"), func.count().label("number"))
        of_object = select(blobs.c.object_id, *sums).group_by(blobs.c.object_id).subquery()
        used, number = (func.coalesce(of_object.c[name], 0) for name in ("used", "number"))
        index = case((objects.c.path.startswith(PACKS, autoescape=True), number * PACKED_BYTES), else_=0)
        share = case(
            (number == 0, 0.0),
            (objects.c.size_bytes == 0, 1.0),
            else_=_real(used + index) / _real(objects.c.size_bytes),
        )
        statement = (
            select(objects.c.id, *_STORED, used, number)
            .outerjoin(of_object, of_object.c.object_id == objects.c.id)
            .where(or_(number == 0, share <= most_used))
            .order_by(share, objects.c.id)
            .limit(limit)
        )
        return [
            ObjectUse(object_id, StoredObject(*stored), used_bytes=int(used_bytes), blobs=count)
            for object_id, *stored, used_bytes, count in self._unit.execute(statement)
        ]

    def in_object(self, object_id: int) -> list[PlacedAt]:
        """Return the blobs that lie in an object, by offset."""
        columns = (blobs.c.digest, blobs.c.offset, blobs.c.size_bytes)
        statement = select(*columns).where(blobs.c.object_id == object_id).order_by(blobs.c.offset, blobs.c.digest)
        return [PlacedAt(*row) for row in self._unit.execute(statement)]

    def move(self, *, object_id: int, to: StoredObject, blobs: Sequence[PlacedAt]) -> None:
        """Record a new object and that those blobs which lie in the old one now lie there."""
        new_id = self._insert(to)
        if new_id is None:
            raise _taken(to)
        self._rewrite(object_id, to=new_id, placed=blobs)

    def drop_object(self, object_id: int) -> None:
        """Forget an object in which no blob lies; `Conflict` where one does."""
        # Whoever puts blobs into it holds this lock until they can be seen by the next statement.
        self._unit.execute(select(objects.c.id).where(objects.c.id == object_id).with_for_update())
        if self._unit.scalar(select(exists().where(blobs.c.object_id == object_id))):
            raise Conflict(f"Blobs lie in object {object_id}.", hint="Move them into another one first.")
        self._unit.execute(delete(objects).where(objects.c.id == object_id))

    def object_paths(self, storage: str, paths: Sequence[str]) -> set[str]:
        """Return those of these paths at which an object is recorded."""
        found: set[str] = set()
        for asked in chunks(paths):
            named = self._unit.among(objects.c.path, asked)
            found.update(
                self._unit.execute(select(objects.c.path).where(objects.c.storage == storage, named)).scalars()
            )
        return found

    def known_sizes(self, sizes: Sequence[int]) -> set[int]:
        """Return those of these numbers of bytes that some object has."""
        found: set[int] = set()
        for asked in chunks(sizes):
            statement = select(objects.c.size_bytes).where(objects.c.size_bytes.in_(asked)).distinct()
            found.update(self._unit.execute(statement).scalars())
        return found

    def usage(self) -> dict[str, tuple[int, int]]:
        """Return for every storage how many objects lie in it and the sum of their sizes in bytes."""
        statement = select(objects.c.storage, func.count(), func.sum(objects.c.size_bytes)).group_by(objects.c.storage)
        return {storage: (number, int(total)) for storage, number, total in self._unit.execute(statement)}

    def _claim(self, stored: StoredObject, *, placed: Sequence[PlacedAt]) -> tuple[int, int]:
        """Return the number of an object, recorded now or before with such blobs, and how many lie in it."""
        self._unit.lock(object_lock(stored.storage, stored.path), shared=True)
        while (object_id := self._insert(stored)) is None:
            same = and_(objects.c.storage == stored.storage, objects.c.path == stored.path)
            row = self._unit.execute(select(objects.c.id, *_STORED).where(same).with_for_update()).first()
            if row is None:
                continue  # it was dropped in between
            there = self.in_object(row.id)
            if StoredObject(*row[1:]) != stored or not set(there) <= set(placed):
                raise _taken(stored)
            return row.id, len(there)
        return object_id, 0

    def _insert(self, stored: StoredObject) -> int | None:
        """Record an object and return its number, or None where its place is taken."""
        row = stored._asdict() | {"created_at": self._unit.now()}
        statement = self._unit.insert(objects).values(row).on_conflict_do_nothing().returning(objects.c.id)
        number: int | None = self._unit.scalar(statement)
        return number

    def _place(self, object_id: int, *, placed: Sequence[PlacedAt], pinned_until: datetime | None) -> None:
        """Insert blobs where they have no place; revive the others, and hold all so that nobody removes them."""
        statement = self._unit.insert(blobs)
        statement = statement.on_conflict_do_update(
            index_elements=[blobs.c.digest],
            set_={"condemned_at": null()},
            where=blobs.c.condemned_at.is_not(None),
        )
        pin = None if pinned_until is None else microseconds(pinned_until)
        # PostgreSQL refuses to meet a row twice in a statement.
        ordered = sorted({blob.digest: blob for blob in reversed(placed)}.values())
        for part in chunks(ordered):
            digests, offsets, sizes = zip(*part, strict=True)
            columns = {
                "digest": digests,
                "object_id": [object_id] * len(part),
                "offset": offsets,
                "size_bytes": sizes,
                "pinned_until": [pin] * len(part),
            }
            self._unit.insert_columns(statement, columns)
        self._found_again([blob.digest for blob in ordered])

    def _found_again(self, digests: Sequence[bytes]) -> None:
        if not self._unit.scalar(select(exists(select(lost_blobs.c.digest)))):
            return  # as a rule there is none
        self.drop_lost(digests)

    def drop_lost(self, digests: Sequence[bytes]) -> None:
        """Forget that these were lost: nothing needs them any more."""
        for part in chunks(digests):
            self._unit.execute(delete(lost_blobs).where(self._unit.among(lost_blobs.c.digest, part)))

    def _count(self, object_id: int) -> int:
        """Return how many blobs lie in an object."""
        return int(self._unit.scalar(select(func.count()).where(blobs.c.object_id == object_id)))

    def _rewrite(self, object_id: int, *, to: int, placed: Sequence[PlacedAt]) -> None:
        here = and_(blobs.c.digest == bindparam("moved"), blobs.c.object_id == object_id)
        statement = update(blobs).where(here).values(object_id=to, offset=bindparam("to_offset"))
        rows = [{"moved": digest, "to_offset": offset} for digest, offset, _ in sorted(placed)]
        if rows:
            self._unit.execute(statement, rows)


def _real(number: ColumnElement[int]) -> ColumnElement[float]:
    return cast(number, Double)


def _taken(stored: StoredObject) -> AlreadyExists:
    return AlreadyExists(
        f"Another object is recorded at {stored.path} of storage {stored.storage}.",
        hint="Write it under another path.",
    )
