"""Tasks that lists leave out. It stands beside the status: an archived task is what it was, and found by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict
from orchestrator.records.event import EventType
from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_task

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.store.protocol import Transaction


def archive_task(transaction: Transaction, actor: Principal, *, task_id: Id) -> Task:
    """Put a task into the archive; one that is there stays as it is.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not edit in its project.
        Conflict: it is queued or runs.
    """
    task = transaction.tasks.get(task_id, lock=True)
    actor.require(Permission.EDIT, task.project)
    if task.archived_at is not None:
        return task
    if task.status in {Status.QUEUED, Status.IN_PROGRESS}:
        raise Conflict(
            f"Task {task_id} is {task.status}, and what lists leave out must not be at work.",
            hint=f"Stop it first: retrain task stop {task_id}",
        )
    now = transaction.now()
    archived = task.changed(archived_at=now, changed_at=now)
    transaction.tasks.replace(archived, expected=task)
    announce_task(transaction, actor, type=EventType.TASK_ARCHIVED, task=archived)
    return archived


def unarchive_task(transaction: Transaction, actor: Principal, *, task_id: Id) -> Task:
    """Take a task out of the archive; one that is not there stays as it is.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not edit in its project.
    """
    task = transaction.tasks.get(task_id, lock=True)
    actor.require(Permission.EDIT, task.project)
    if task.archived_at is None:
        return task
    listed = task.changed(archived_at=None, changed_at=transaction.now())
    transaction.tasks.replace(listed, expected=task)
    return listed


def require_listed(task: Task) -> None:
    """Check that a task that is to run is not archived.

    Raises:
        Conflict: it is.
    """
    if task.archived_at is not None:
        raise Conflict(
            f"Task {task.id} is archived since {task.archived_at:%Y-%m-%d %H:%M} UTC, and archived tasks do not run.",
            hint=f"Take it out: retrain task unarchive {task.id}; or clone it.",
        )
