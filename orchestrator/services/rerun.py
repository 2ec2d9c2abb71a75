"""A trigger that runs its reference task itself again, as the next attempt, instead of cloning it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict
from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Permission
from orchestrator.services.archive_task import require_listed
from orchestrator.services.enqueue import enqueue_task
from orchestrator.services.parameters import override
from orchestrator.services.reset_task import reset_task
from orchestrator.services.variant import container_of, source_of
from orchestrator.wire import EnqueueTask

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.firing import Firing
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import CloneTask

_DEFAULT_QUEUE = "default"


def rerun_task(
    transaction: Transaction,
    actor: Principal,
    *,
    task_id: Id,
    body: CloneTask,
    fired: tuple[Trigger, Firing, tuple[Id, ...]],
) -> Task:
    """Reset the reference where it ended, override its parameters, and queue its next attempt.

    Its name, project and parent stay. From now on it counts as made by this firing: the one before lets go of it.

    Args:
        transaction: one that writes.
        actor: with whose rights.
        task_id: the reference.
        body: what differs, as for a clone.
        fired: the trigger, its firing, and the triggers that led to its event.

    Raises:
        NotFound: there is no such task, or no such queue.
        Forbidden: the actor may not edit or operate in its project.
        Conflict: it is queued, runs, is published or archived.
        UnknownParameter: an override names none of its parameters.
        InvalidRequest: a text cannot be read as the type of the value that it replaces, or a commit or branch is asked
            for and there is no repository.
    """
    reference = transaction.tasks.get(task_id, lock=True)
    actor.require(Permission.EDIT, reference.project)
    if reference.status in {Status.QUEUED, Status.IN_PROGRESS, Status.PUBLISHED}:
        state = "runs" if reference.status is Status.IN_PROGRESS else f"is {reference.status}"
        raise Conflict(
            f"The reference task {task_id} {state}, and cannot be run again itself.",
            hint="Have the trigger clone it: without reuse.",
        )
    require_listed(reference)
    parameters = override(
        transaction.tasks.parameters(task_id), overrides=body.parameters, types=body.types, allow_new=body.allow_new
    )
    if reference.status is not Status.CREATED:
        reference = reset_task(transaction, actor, task_id=task_id)
    trigger, firing, earlier = fired
    edited = reference.changed(
        comment=reference.comment if body.comment is None else body.comment,
        tags=tuple(sorted(set(reference.tags if body.tags is None else body.tags))),
        source=source_of(reference, body=body),
        container=container_of(reference, body=body),
        firing=firing.id,
        chain=(*earlier, trigger.id),
        changed_at=transaction.now(),
    )
    transaction.tasks.replace(edited, expected=reference)
    transaction.tasks.put_parameters(task_id, parameters)
    queued = EnqueueTask(queue=body.queue or _DEFAULT_QUEUE, priority=body.priority)
    return enqueue_task(transaction, actor, task_id=task_id, body=queued, made_by=trigger)
