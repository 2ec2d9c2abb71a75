"""Chunks of points: one row a batch and series at first, merged as they become many.

A chunk's level says how many points it has, in powers of 32. As soon as a series has 32 chunks of a level they become
one of the next, so that a series of a million points is some 100 rows and each point is written four times at most.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from orchestrator.store.sql.point_columns import NOTHING, PointColumns, Totals
from orchestrator.store.sql.tables import series_chunks
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Row

_FAN = 32
_LARGEST = _FAN**3
"""Points in a chunk that is merged no more: 768 KiB before compression."""
_TOP = 3

_COLUMN = series_chunks.c
_TOTALS = [_COLUMN[name] for name in Totals.__dataclass_fields__]


def totals_in(row: Row[*tuple[Any, ...]]) -> Totals:
    """Return the totals that a row holds."""
    return Totals(**{name: getattr(row, name) for name in Totals.__dataclass_fields__})


def hidden_from(attempt: int, *, starts: Mapping[int, int]) -> int | None:
    """Return the step from which newer attempts hide this one's points, or None.

    Args:
        attempt: whose points.
        starts: the first step of each attempt of the series.
    """
    return min((step for other, step in starts.items() if other > attempt), default=None)


class ChunkRows(Noun):
    """The part of `SeriesStore` that is about chunks."""

    def add_chunks(self, parts: Mapping[int, PointColumns], *, attempt: int) -> None:
        """Store points by the id of their series."""
        rows = [
            _row(piece, series_id=series_id, attempt=attempt)
            for series_id, columns in parts.items()
            for piece in columns.pieces(_LARGEST)
        ]
        self._unit.add(series_chunks, rows)

    def visible_points(self, series_id: int, *, starts: Mapping[int, int]) -> PointColumns:
        """Return the points of a series that no newer attempt hides, attempt by attempt as they were reported."""
        statement = select(_COLUMN.attempt, _COLUMN.first_step, _COLUMN.data).where(_COLUMN.series_id == series_id)
        parts = []
        for attempt, first_step, data in self._unit.execute(statement.order_by(_COLUMN.attempt, _COLUMN.id)):
            end = hidden_from(attempt, starts=starts)
            if end is None or first_step < end:
                parts.append(PointColumns.unpacked(data).before(end))
        return PointColumns.concatenated(parts)

    def visible_totals(self, series_id: int, *, starts: Mapping[int, int]) -> Totals:
        """Sum up the points that no newer attempt hides; only chunks that are hidden in part are unpacked."""
        statement = select(_COLUMN.id, _COLUMN.attempt, _COLUMN.first_step, *_TOTALS)
        totals = NOTHING
        rows = self._unit.execute(statement.where(_COLUMN.series_id == series_id).order_by(_COLUMN.attempt, _COLUMN.id))
        for row in rows.all():
            end = hidden_from(row.attempt, starts=starts)
            if end is None or row.last_step < end:
                totals = totals.joined(totals_in(row))
            elif row.first_step < end:
                data = self._unit.scalar(select(_COLUMN.data).where(_COLUMN.id == row.id))
                totals = totals.joined(PointColumns.unpacked(data).before(end).totals())
        return totals

    def extremes_of(self, series_ids: Sequence[int], *, attempt: int) -> dict[int, tuple[float, float]]:
        """Return minimum and maximum of an attempt's points by series; one without a number is left out."""
        statement = (
            select(_COLUMN.series_id, func.min(_COLUMN.minimum), func.max(_COLUMN.maximum))
            .where(_COLUMN.series_id.in_(series_ids), _COLUMN.attempt == attempt, _COLUMN.minimum.is_not(None))
            .group_by(_COLUMN.series_id)
        )
        return {line: (least, most) for line, least, most in self._unit.execute(statement)}

    def merge_small_chunks(self, series_ids: Sequence[int], *, attempt: int) -> None:
        """Merge an attempt's chunks wherever a series has too many of one level."""
        crowded = (
            select(_COLUMN.series_id, _COLUMN.level)
            .where(_COLUMN.series_id.in_(series_ids), _COLUMN.attempt == attempt, _COLUMN.level < _TOP)
            .group_by(_COLUMN.series_id, _COLUMN.level)
            .having(func.count() >= _FAN)
        )
        for series_id, level in self._unit.execute(crowded).all():
            self._merge(series_id, attempt=attempt, level=level)

    def _merge(self, series_id: int, *, attempt: int, level: int) -> None:
        same = (_COLUMN.series_id == series_id, _COLUMN.attempt == attempt, _COLUMN.level == level)
        chunks = self._unit.execute(select(_COLUMN.id, _COLUMN.data).where(*same).order_by(_COLUMN.id)).all()
        merged = PointColumns.concatenated([PointColumns.unpacked(chunk.data) for chunk in chunks])
        self._unit.execute(delete(series_chunks).where(*same))
        # The first ids are used again: they say in which order the points were reported.
        rows = [
            _row(piece, series_id=series_id, attempt=attempt) | {"id": chunk.id}
            for piece, chunk in zip(merged.pieces(_LARGEST), chunks, strict=False)
        ]
        self._unit.add(series_chunks, rows)


def _row(columns: PointColumns, *, series_id: int, attempt: int) -> dict[str, Any]:
    count = len(columns)
    return asdict(columns.totals()) | {
        "series_id": series_id,
        "attempt": attempt,
        "level": sum(count >= _FAN**power for power in range(1, _TOP + 1)),
        "first_step": min(columns.steps),
        "data": columns.packed(),
    }
