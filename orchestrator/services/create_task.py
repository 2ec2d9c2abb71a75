"""Making a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.records.task import Task
from orchestrator.services.announce import announce_task
from orchestrator.services.ids import new_id
from orchestrator.services.parameters import check_value

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import CreateTask


def create_task(transaction: Transaction, actor: Principal, *, body: CreateTask) -> Task:
    """Make a task in `created`.

    Raises:
        Forbidden: the actor may not edit in that project, or not read the parent's.
        NotFound: there is no such parent.
        InvalidRequest: a parameter's value is not of its type.
    """
    actor.require(Permission.EDIT, body.project)
    if body.parent is not None:
        actor.require(Permission.READ, transaction.tasks.get(body.parent).project)
    for parameter in body.parameters:
        check_value(parameter)
    now = transaction.now()
    task = Task(
        id=new_id(),
        project=body.project,
        name=body.name,
        type=body.type,
        comment=body.comment,
        tags=tuple(sorted(set(body.tags))),
        parent=body.parent,
        script=body.script,
        source=body.source,
        packages=body.packages,
        container=body.container,
        chain=chain_of(transaction, actor),
        created_at=now,
        created_by=actor.id,
        changed_at=now,
    )
    unique = {parameter.name: parameter for parameter in body.parameters}
    transaction.tasks.add(task, parameters=tuple(unique.values()))
    announce_task(transaction, actor, type=EventType.TASK_CREATED, task=task)
    return task


def chain_of(transaction: Transaction, actor: Principal) -> tuple[Id, ...]:
    """Return the triggers whose firings led to what this actor does, so that loops are seen across tasks."""
    return transaction.tasks.get(actor.task_id).chain if actor.task_id else ()
