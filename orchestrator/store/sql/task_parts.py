"""Parameters and artifacts of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from orchestrator.records.task import Artifact, Parameter
from orchestrator.store.sql import tables
from orchestrator.store.sql.rows import columns_of, to_row
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from collections.abc import Sequence


class ParameterRows(Noun):
    """The part of `Tasks` that is about parameters."""

    def parameters(self, task_id: str) -> list[Parameter]:
        """Return a task's parameters, sorted by name."""
        columns = columns_of(Parameter, tables.parameters)
        statement = select(*columns).where(tables.parameters.c.task_id == task_id).order_by(tables.parameters.c.name)
        return self._unit.records(Parameter, statement)

    def put_parameters(self, task_id: str, parameters: Sequence[Parameter]) -> None:
        """Insert parameters, or overwrite those of the same name."""
        self._unit.put(
            tables.parameters, ({"task_id": task_id} | to_row(parameter, tables.parameters) for parameter in parameters)
        )


class ArtifactRows(Noun):
    """The part of `Tasks` that is about artifacts."""

    def put_artifact(self, artifact: Artifact) -> None:
        """Insert an artifact, or overwrite the one of the same task and name."""
        self._unit.put(tables.artifacts, [to_row(artifact, tables.artifacts)])

    def artifacts(self, task_id: str) -> list[Artifact]:
        """Return a task's artifacts, sorted by name."""
        columns = columns_of(Artifact, tables.artifacts)
        statement = select(*columns).where(tables.artifacts.c.task_id == task_id).order_by(tables.artifacts.c.name)
        return self._unit.records(Artifact, statement)
