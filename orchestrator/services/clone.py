"""A new task from an old one, with other parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.event import EventType
from orchestrator.records.lifecycle import Move, Status, transition
from orchestrator.records.principal import Permission
from orchestrator.records.task import Task
from orchestrator.services.announce import announce_task
from orchestrator.services.authenticate import responsible
from orchestrator.services.create_task import chain_of
from orchestrator.services.enqueue import check_queue
from orchestrator.services.ids import new_id
from orchestrator.services.parameters import override
from orchestrator.services.variant import container_of, source_of

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Parameter
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import CloneTask

_NAME_LENGTH = 255


def clone_task(transaction: Transaction, actor: Principal, *, task_id: Id, body: CloneTask) -> Task:
    """Make a task in `created`, or queued where the body names a queue, of the same code and environment.

    Args:
        transaction: one that writes.
        actor: who clones.
        task_id: the reference.
        body: what differs.

    Raises:
        NotFound: there is no such task, or no such queue.
        Forbidden: the actor may not read the reference, or not edit in the clone's project.
        UnknownParameter: an override names no parameter of the reference.
        InvalidRequest: a text cannot be read as the type of the value that it replaces, or a commit or branch is asked
            for and the reference names no repository.
    """
    reference = transaction.tasks.get(task_id)
    actor.require(Permission.READ, reference.project)
    if body.parent is not None:
        actor.require(Permission.READ, transaction.tasks.get(body.parent).project)
    if body.queue is not None:
        check_queue(transaction, name=body.queue)
    task, parameters = prepare_clone(
        actor,
        reference=(reference, transaction.tasks.parameters(task_id)),
        body=body,
        now=transaction.now(),
        chain=chain_of(transaction, actor),
    )
    transaction.tasks.add(task, parameters=parameters)
    announce_clone(transaction, actor, task=task)
    return task


def prepare_clone(  # noqa: PLR0913  a clone is made of many parts
    actor: Principal,
    *,
    reference: tuple[Task, list[Parameter]],
    body: CloneTask,
    now: datetime,
    chain: tuple[Id, ...],
    firing: Id | None = None,
) -> tuple[Task, list[Parameter]]:
    """Return a clone and its parameters as they are to be written; its queue is known to be there.

    Args:
        actor: who clones.
        reference: the task to clone and its parameters.
        body: what differs.
        now: the database's time.
        chain: the triggers whose firings led here.
        firing: the one that makes it.

    Raises:
        Forbidden: the actor may not read the reference, or not edit in the clone's project.
        UnknownParameter, InvalidRequest: see `clone_task`.
    """
    original, present = reference
    actor.require(Permission.READ, original.project)
    project = body.project or original.project
    actor.require(Permission.EDIT, project)
    parameters = override(present, overrides=body.parameters, types=body.types, allow_new=body.allow_new)
    task = Task(
        id=new_id(),
        project=project,
        name=(body.name or f"Clone of {original.name}")[:_NAME_LENGTH],
        type=original.type,
        comment=original.comment if body.comment is None else body.comment,
        tags=tuple(sorted(set(original.tags if body.tags is None else body.tags))),
        parent=body.parent or original.id,
        script=original.script,
        source=source_of(original, body=body),
        packages=original.packages,
        container=container_of(original, body=body),
        firing=firing,
        chain=chain,
        created_at=now,
        created_by=actor.id,
        changed_at=now,
    )
    if body.queue is None:
        return task, parameters
    actor.require(Permission.OPERATE, project)
    queued = transition(task, Move.ENQUEUE, now=now)
    return queued.changed(queue=body.queue, priority=body.priority, queued_by=responsible(actor)), parameters


def announce_clone(transaction: Transaction, actor: Principal, *, task: Task, made_by: Trigger | None = None) -> None:
    """Append the events of a clone that was written.

    Args:
        transaction: the one that wrote it.
        actor: who cloned.
        task: the clone, in `created` or queued.
        made_by: the trigger whose firing made it, where one did.
    """
    created = task.changed(status=Status.CREATED, attempt=0, queue=None)
    announce_task(transaction, actor, type=EventType.TASK_CREATED, task=created, made_by=made_by, parent=task.parent)
    if task.queue is not None:
        announce_task(transaction, actor, type=EventType.TASK_QUEUED, task=task, made_by=made_by)
