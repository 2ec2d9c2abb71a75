"""Looking at projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.principal import Permission
from orchestrator.wire import ProjectSummary

if TYPE_CHECKING:
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction


def list_projects(transaction: Transaction, actor: Principal) -> list[ProjectSummary]:
    """Return the project paths in use that the actor may read, sorted.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    counts = transaction.projects(projects_below=actor.project)
    return [
        ProjectSummary(project=project, tasks=tasks, datasets=datasets)
        for project, (tasks, datasets) in sorted(counts.items())
    ]
