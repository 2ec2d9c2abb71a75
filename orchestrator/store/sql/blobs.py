"""Where blobs are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from typing_extensions import override

from orchestrator.errors import NotFound
from orchestrator.store.protocol import BlobLocations
from orchestrator.store.sql.tables import blobs
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from collections.abc import Sequence

_ASKED_AT_ONCE = 5000  # SQLite takes 32,766 values in a statement, PostgreSQL 65,535


class SqlBlobLocations(Noun, BlobLocations):
    """Locations by digest."""

    @override
    def add(self, digest: str, *, size_bytes: int, store: str, location: str, offset: int = 0) -> None:
        row = {"digest": digest, "size_bytes": size_bytes, "store": store, "location": location, "offset": offset}
        self._unit.add_new(blobs, row)

    @override
    def get(self, digest: str) -> tuple[str, str, int, int]:
        columns = (blobs.c.store, blobs.c.location, blobs.c.offset, blobs.c.size_bytes)
        row = self._unit.execute(select(*columns).where(blobs.c.digest == digest)).first()
        if row is None:
            raise NotFound(f"No blob {digest} is stored.")
        store, location, offset, size_bytes = row
        return store, location, offset, size_bytes

    @override
    def missing(self, digests: Sequence[str]) -> list[str]:
        known: set[str] = set()
        for start in range(0, len(digests), _ASKED_AT_ONCE):
            asked = list(digests[start : start + _ASKED_AT_ONCE])
            known.update(self._unit.execute(select(blobs.c.digest).where(blobs.c.digest.in_(asked))).scalars())
        return [digest for digest in digests if digest not in known]

    @override
    def forget(self, digest: str, *, location: str) -> None:
        self._unit.execute(delete(blobs).where(blobs.c.digest == digest, blobs.c.location == location))
