"""A new task from an old one, with other parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.records.task import Task
from orchestrator.services.announce import announce_task
from orchestrator.services.create_task import chain_of
from orchestrator.services.enqueue import enqueue_task
from orchestrator.services.ids import new_id
from orchestrator.services.parameters import override
from orchestrator.wire import EnqueueTask

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Firing, Trigger
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import CloneTask

_NAME_LENGTH = 255


def clone_task(
    transaction: Transaction,
    actor: Principal,
    *,
    task_id: Id,
    body: CloneTask,
    fired: tuple[Trigger, Firing, tuple[Id, ...]] | None = None,
) -> Task:
    """Make a task in `created`, or queued where the body names a queue, of the same code and environment.

    Args:
        transaction: one that writes.
        actor: who clones.
        task_id: the reference.
        body: what differs.
        fired: the trigger and its firing when one of them clones, and the triggers that led to its event.

    Raises:
        NotFound: there is no such task, or no such queue.
        Forbidden: the actor may not read the reference, or not edit in the clone's project.
        UnknownParameter: an override names no parameter of the reference.
        InvalidRequest: a text cannot be read as the type of the value that it replaces.
    """
    reference = transaction.tasks.get(task_id)
    actor.require(Permission.READ, reference.project)
    project = body.project or reference.project
    actor.require(Permission.EDIT, project)
    if body.parent is not None:
        actor.require(Permission.READ, transaction.tasks.get(body.parent).project)
    parameters = override(
        transaction.tasks.parameters(task_id),
        overrides=body.parameters,
        types=body.types,
        allow_new=body.allow_new,
    )
    now = transaction.now()
    if fired is None:
        firing, chain = None, chain_of(transaction, actor)
    else:
        trigger, made_by, earlier = fired
        firing, chain = made_by.id, (*earlier, trigger.id)
    task = Task(
        id=new_id(),
        project=project,
        name=(body.name or f"Clone of {reference.name}")[:_NAME_LENGTH],
        type=reference.type,
        comment=reference.comment if body.comment is None else body.comment,
        tags=tuple(sorted(set(reference.tags if body.tags is None else body.tags))),
        parent=body.parent or reference.id,
        script=reference.script,
        source=reference.source,
        packages=reference.packages,
        container=reference.container,
        firing=firing,
        chain=chain,
        created_at=now,
        created_by=actor.id,
        changed_at=now,
    )
    transaction.tasks.add(task, parameters=parameters)
    announce_task(transaction, actor, type=EventType.TASK_CREATED, task=task, parent=task.parent)
    if body.queue is None:
        return task
    return enqueue_task(transaction, actor, task_id=task.id, body=EnqueueTask(queue=body.queue))
