"""Scalar series: packed chunks of points, and beside them what a table shows.

Points are never changed. A newer attempt's first step hides older attempts' points from there on: that step is kept by
series and attempt, and whoever reads leaves the hidden points out.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, tuple_, update
from typing_extensions import override

from orchestrator.records.series import Points, SeriesSummary
from orchestrator.store.protocol import SeriesStore
from orchestrator.store.sql.point_columns import NOTHING, PointColumns, Totals
from orchestrator.store.sql.rows import chunks, columns_of
from orchestrator.store.sql.series_chunks import ChunkRows, hidden_from, totals_in
from orchestrator.store.sql.tables import series as lines
from orchestrator.store.sql.tables import series_attempts, series_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row

_LOCKED_AT_ONCE = 5000  # SQLite takes 32,766 values in a statement


class SqlSeries(ChunkRows, SeriesStore):
    """Series by task, title and name. The last point has the largest step; minimum and maximum pass over NaN only."""

    @override
    def append(self, task_id: str, attempt: int, writer: str, sequence: int, points: Sequence[Points]) -> bool:
        batch = {"task_id": task_id, "attempt": attempt, "writer": writer, "sequence": sequence}
        if not self._unit.add_new(series_batches, batch):
            return False
        columns = _by_line(points)
        rows = self._locked(task_id, sorted(columns))
        parts = {row.id: columns[row.title, row.series] for row in rows}
        self.add_chunks(parts, attempt=attempt)
        starts = self._starts(list(parts))
        changes = [
            {"line": row.id, "changed_at": self._unit.now()}
            | asdict(self._totals_after(row, parts[row.id], attempt=attempt, starts=starts[row.id]))
            for row in rows
        ]
        self._unit.execute(update(lines).where(lines.c.id == bindparam("line")), changes)
        self.merge_small_chunks(list(parts), attempt=attempt)
        return True

    @override
    def extremes(
        self, task_id: str, attempt: int, names: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[float, float]]:
        found: dict[tuple[str, str], tuple[float, float]] = {}
        for asked in chunks(names):
            same = (lines.c.task_id == task_id, tuple_(lines.c.title, lines.c.series).in_(asked))
            statement = select(lines.c.id, lines.c.title, lines.c.series).where(*same)
            rows = {row.id: (row.title, row.series) for row in self._unit.execute(statement)}
            found |= {rows[line]: ends for line, ends in self.extremes_of(list(rows), attempt=attempt).items()}
        return found

    @override
    def summaries(self, task_id: str) -> list[SeriesSummary]:
        statement = select(*columns_of(SeriesSummary, lines)).where(lines.c.task_id == task_id)
        return self._unit.records(SeriesSummary, statement.order_by(lines.c.title, lines.c.series))

    @override
    def points(self, task_id: str, *, title: str, series: str, limit: int | None = None) -> Points | None:
        same = (lines.c.task_id == task_id, lines.c.title == title, lines.c.series == series)
        line = self._unit.scalar(select(lines.c.id).where(*same))
        if line is None:
            return None
        columns = self.visible_points(line, starts=self._starts([line])[line]).in_order()
        if limit is not None:
            columns = columns.thinned(limit)
        return Points(
            title=title,
            series=series,
            steps=tuple(columns.steps),
            times=tuple(columns.times),
            values=tuple(columns.values),
        )

    def _totals_after(
        self, row: Row[*tuple[Any, ...]], part: PointColumns, *, attempt: int, starts: dict[int, int]
    ) -> Totals:
        """Return a line's totals with these points in them; where they are an attempt's first they may hide others."""
        if attempt not in starts:
            starts[attempt] = min(part.steps)
            self._unit.add(series_attempts, [{"series_id": row.id, "attempt": attempt, "first_step": starts[attempt]}])
            if min(starts) < attempt:
                return self.visible_totals(row.id, starts=starts)
        visible = part.before(hidden_from(attempt, starts=starts))
        return totals_in(row).joined(visible.totals())

    def _starts(self, series_ids: Sequence[int]) -> dict[int, dict[int, int]]:
        """Return each line's attempts and their first steps."""
        starts: dict[int, dict[int, int]] = {series_id: {} for series_id in series_ids}
        statement = select(series_attempts).where(series_attempts.c.series_id.in_(series_ids))
        for series_id, attempt, first_step in self._unit.execute(statement):
            starts[series_id][attempt] = first_step
        return starts

    def _locked(self, task_id: str, names: Sequence[tuple[str, str]]) -> list[Row[*tuple[Any, ...]]]:
        """Return the rows of these lines, made where they are missing; nobody else adds to them until the end."""
        rows: list[Row[*tuple[Any, ...]]] = []
        for start in range(0, len(names), _LOCKED_AT_ONCE):
            asked = names[start : start + _LOCKED_AT_ONCE]
            statement = (
                select(lines)
                .where(lines.c.task_id == task_id, tuple_(lines.c.title, lines.c.series).in_(asked))
                .order_by(lines.c.id)
                .with_for_update()
            )
            found = self._unit.execute(statement).all()
            if len(found) < len(asked):
                self._make(task_id, sorted(set(asked) - {(row.title, row.series) for row in found}))
                found = self._unit.execute(statement).all()
            rows.extend(found)
        return rows

    def _make(self, task_id: str, names: Iterable[tuple[str, str]]) -> None:
        for title, series in names:
            row = {"task_id": task_id, "title": title, "series": series, "changed_at": self._unit.now()}
            self._unit.add_new(lines, row | asdict(NOTHING))


def _by_line(points: Sequence[Points]) -> dict[tuple[str, str], PointColumns]:
    parts: dict[tuple[str, str], list[PointColumns]] = {}
    for run in points:
        parts.setdefault((run.title, run.series), []).append(PointColumns.of(run.steps, run.times, run.values))
    return {name: PointColumns.concatenated(runs) for name, runs in parts.items()}
