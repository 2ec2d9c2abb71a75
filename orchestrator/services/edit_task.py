"""Editing what a task is called, and how it was made for as long as it has not been run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict
from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Permission

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import EditTask

_HOW_IT_WAS_MADE = frozenset({"script", "source", "packages", "container"})


def edit_task(transaction: Transaction, actor: Principal, *, task_id: Id, body: EditTask) -> Task:
    """Change the fields that are not None.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not edit in its project.
        Conflict: the task is published, or how it was made is asked to change after it was enqueued.
    """
    task = transaction.tasks.get(task_id)
    actor.require(Permission.EDIT, task.project)
    fields = {name: value for name in type(body).model_fields if (value := getattr(body, name)) is not None}
    if not fields:
        return task
    if task.status is Status.PUBLISHED:
        raise Conflict("A task that is published never changes again.", hint="Clone it.")
    if task.status is not Status.CREATED and (late := sorted(_HOW_IT_WAS_MADE & fields.keys())):
        raise Conflict(
            f"{' and '.join(late)} of a task that is {task.status} are part of its record.",
            hint=f"Clone it: retrain task clone {task_id}",
        )
    edited = task.changed(**fields, changed_at=transaction.now())
    transaction.tasks.replace(edited, expected=task)
    return edited
