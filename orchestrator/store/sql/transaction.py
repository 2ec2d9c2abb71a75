"""A unit of work with every noun in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import func, select

from orchestrator.store.sql.agents import SqlAgents
from orchestrator.store.sql.answers import SqlAnswers
from orchestrator.store.sql.blobs import SqlBlobPlaces
from orchestrator.store.sql.console import SqlConsole
from orchestrator.store.sql.datasets import SqlDatasets
from orchestrator.store.sql.events import SqlEvents
from orchestrator.store.sql.firings import SqlFirings
from orchestrator.store.sql.models import SqlModels
from orchestrator.store.sql.principals import SqlPrincipals
from orchestrator.store.sql.queues import SqlQueues
from orchestrator.store.sql.reports import SqlReports
from orchestrator.store.sql.rows import below
from orchestrator.store.sql.series import SqlSeries
from orchestrator.store.sql.tables import dataset_versions, settings, tasks
from orchestrator.store.sql.tasks import SqlTasks
from orchestrator.store.sql.triggers import SqlTriggers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from orchestrator.store.protocol import (
        Agents,
        Answers,
        BlobPlaces,
        Console,
        Datasets,
        Events,
        Firings,
        Models,
        Principals,
        Queues,
        Reports,
        SeriesStore,
        Tasks,
        Triggers,
    )
    from orchestrator.store.sql.unit import Unit

T = TypeVar("T")


class SqlTransaction:
    """What a service is given: the protocol `Transaction` over one `Unit`.

    Args:
        unit: the open transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self.tasks: Tasks = SqlTasks(unit)
        self.series: SeriesStore = SqlSeries(unit)
        self.console: Console = SqlConsole(unit)
        self.datasets: Datasets = SqlDatasets(unit)
        self.reports: Reports = SqlReports(unit)
        self.events: Events = SqlEvents(unit)
        self.triggers: Triggers = SqlTriggers(unit)
        self.firings: Firings = SqlFirings(unit)
        self.models: Models = SqlModels(unit)
        self.queues: Queues = SqlQueues(unit)
        self.agents: Agents = SqlAgents(unit)
        self.principals: Principals = SqlPrincipals(unit)
        self.blobs: BlobPlaces = SqlBlobPlaces(unit)
        self.answers: Answers = SqlAnswers(unit)

    def now(self) -> datetime:
        """Return the database's time, the same throughout the transaction, aware, in UTC."""
        return self._unit.now()

    def savepoint(self, work: Callable[[], T]) -> T:
        """Run a part; when it raises, only what it wrote and appended is undone and the error goes on."""
        return self._unit.savepoint(work)

    def claim_duty(self, name: str) -> bool:
        """Take a duty that one API process at a time does, until the transaction ends; False when another has it."""
        return self._unit.claim_duty(name)

    def projects(self, *, projects_below: str = "") -> Mapping[str, tuple[int, int]]:
        """Return every project path in use with its number of tasks and of dataset versions."""
        counted: list[dict[str, int]] = []
        for project in (tasks.c.project, dataset_versions.c.project):
            statement = select(project, func.count()).group_by(project)
            if projects_below:
                statement = statement.where(below(project, projects_below))
            counted.append(dict(iter(self._unit.execute(statement))))
        of_tasks, of_versions = counted
        paths = sorted(of_tasks.keys() | of_versions.keys())
        return {path: (of_tasks.get(path, 0), of_versions.get(path, 0)) for path in paths}

    def setting(self, name: str) -> Any:  # noqa: ANN401  JSON is any
        """Return a JSON value that the system keeps for itself, or None."""
        return self._unit.scalar(select(settings.c.value).where(settings.c.name == name))

    def put_setting(self, name: str, value: Any) -> None:  # noqa: ANN401  JSON is any
        """Keep a JSON value."""
        self._unit.put(settings, [{"name": name, "value": value}])
