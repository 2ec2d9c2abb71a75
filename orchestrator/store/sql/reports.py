"""Reports."""

from __future__ import annotations

from sqlalchemy import delete, select
from typing_extensions import override

from orchestrator.records.task import Report
from orchestrator.store.protocol import Reports
from orchestrator.store.sql.rows import columns_of, to_row
from orchestrator.store.sql.tables import reports
from orchestrator.store.sql.unit import Noun


class SqlReports(Noun, Reports):
    """Reports by owner."""

    @override
    def put(self, report: Report) -> None:
        self._unit.put(reports, [to_row(report, reports)])

    @override
    def of(self, owner: str) -> list[Report]:
        statement = select(*columns_of(Report, reports)).where(reports.c.owner == owner)
        in_order = statement.order_by(reports.c.title, reports.c.series, reports.c.iteration)
        return self._unit.records(Report, in_order)

    @override
    def drop(self, owner: str) -> None:
        self._unit.execute(delete(reports).where(reports.c.owner == owner))
