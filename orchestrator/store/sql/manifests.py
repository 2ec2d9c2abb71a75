"""Manifests: which files a dataset version is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, exists, func, insert, literal, or_, select

from orchestrator.records.dataset import ManifestEntry
from orchestrator.store.sql.rows import columns_of, to_row
from orchestrator.store.sql.tables import blobs, manifest_entries
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMED_AT_ONCE = 5000  # SQLite takes 32,766 values in a statement, PostgreSQL 65,535
_MOST_MISSING = 100


class ManifestRows(Noun):
    """The part of `Datasets` that is about manifests."""

    def copy_entries(self, *, source: str, target: str) -> None:
        """Copy a version's manifest into a draft's, overwriting entries of the same path."""
        here, there = manifest_entries.alias("here"), manifest_entries.alias("there")
        replaced = select(there.c.path).where(there.c.version_id == source)
        mine = manifest_entries.c.version_id == target
        self._unit.execute(delete(manifest_entries).where(mine, manifest_entries.c.path.in_(replaced)))
        columns = ("path", "size_bytes", "digest", "mode")
        copied = select(literal(target), *(here.c[name] for name in columns)).where(here.c.version_id == source)
        self._unit.execute(insert(manifest_entries).from_select(["version_id", *columns], copied))

    def put_entries(self, version_id: str, entries: Sequence[ManifestEntry]) -> None:
        """Insert manifest entries, or overwrite those of the same path."""
        rows = ({"version_id": version_id} | to_row(entry, manifest_entries) for entry in entries)
        self._unit.put(manifest_entries, rows)

    def remove_entries(self, version_id: str, paths: Sequence[str]) -> list[str]:
        """Remove entries and return the paths that were there."""
        removed: set[str] = set()
        for start in range(0, len(paths), _NAMED_AT_ONCE):
            named = manifest_entries.c.path.in_(list(paths[start : start + _NAMED_AT_ONCE]))
            statement = delete(manifest_entries).where(manifest_entries.c.version_id == version_id, named)
            removed.update(self._unit.execute(statement.returning(manifest_entries.c.path)).scalars())
        return sorted(removed)

    def entries(self, version_id: str, *, after: str | None = None, limit: int | None = 1000) -> list[ManifestEntry]:
        """Return manifest entries sorted by path (as bytes), those after the path `after`."""
        columns = columns_of(ManifestEntry, manifest_entries)
        statement = select(*columns).where(manifest_entries.c.version_id == version_id)
        if after is not None:
            statement = statement.where(manifest_entries.c.path > after)
        return self._unit.records(ManifestEntry, statement.order_by(manifest_entries.c.path).limit(limit))

    def clashes(self, version_id: str, paths: Sequence[str]) -> list[str]:
        """Return those of these paths that are files in the manifest and directories of other files in it, too."""
        file, other = manifest_entries.alias("file"), manifest_entries.alias("other")
        inside = exists().where(
            other.c.version_id == version_id,
            other.c.path > file.c.path + "/",
            other.c.path < file.c.path + chr(ord("/") + 1),
        )
        found: list[str] = []
        for start in range(0, len(paths), _NAMED_AT_ONCE):
            named = file.c.path.in_(list(paths[start : start + _NAMED_AT_ONCE]))
            found.extend(
                self._unit.execute(select(file.c.path).where(file.c.version_id == version_id, named, inside)).scalars()
            )
        return sorted(found)

    def totals(self, version_id: str) -> tuple[int, int]:
        """Return how many files a version has and the sum of their sizes in bytes."""
        size = func.coalesce(func.sum(manifest_entries.c.size_bytes), 0)
        statement = select(func.count(), size).where(manifest_entries.c.version_id == version_id)
        count, size_bytes = self._unit.execute(statement).one()
        return int(count), int(size_bytes)

    def compare(self, version_id: str, other: str | None) -> tuple[int, int, int]:
        """Return how many files are added, modified and removed against another version, or against nothing."""
        if other is None:
            return self.totals(version_id)[0], 0, 0
        mine, theirs = manifest_entries.alias("mine"), manifest_entries.alias("theirs")
        same_path = and_(theirs.c.path == mine.c.path, theirs.c.version_id == other)
        differs = or_(theirs.c.digest != mine.c.digest, theirs.c.mode != mine.c.mode)
        counted = select(func.count()).select_from(mine)
        added = counted.outerjoin(theirs, same_path).where(mine.c.version_id == version_id, theirs.c.path.is_(None))
        modified = counted.join(theirs, same_path).where(mine.c.version_id == version_id, differs)
        kept = counted.join(theirs, same_path).where(mine.c.version_id == version_id)
        removed = self.totals(other)[0] - int(self._unit.scalar(kept))
        return int(self._unit.scalar(added)), int(self._unit.scalar(modified)), removed

    def missing_blobs(self, version_id: str) -> list[str]:
        """Return digests in the manifest that no location is known of, at most 100."""
        statement = (
            select(manifest_entries.c.digest)
            .distinct()
            .outerjoin(blobs, blobs.c.digest == manifest_entries.c.digest)
            .where(manifest_entries.c.version_id == version_id, blobs.c.digest.is_(None))
            .order_by(manifest_entries.c.digest)
            .limit(_MOST_MISSING)
        )
        return list(self._unit.execute(statement).scalars())
