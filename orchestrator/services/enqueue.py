"""Putting a task into a queue: from here on it cannot be lost; and taking it out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import NotFound
from orchestrator.records.event import EventType
from orchestrator.records.lifecycle import Move, Status, transition
from orchestrator.records.principal import Permission
from orchestrator.records.task import ExitReason
from orchestrator.services.announce import announce_task
from orchestrator.services.archive_task import require_listed
from orchestrator.services.authenticate import responsible
from orchestrator.services.near_misses import did_you_mean

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import EnqueueTask


def enqueue_task(
    transaction: Transaction, actor: Principal, *, task_id: Id, body: EnqueueTask, made_by: Trigger | None = None
) -> Task:
    """Queue the task's next attempt. An attempt that enqueues its own task hands it over to an agent and ends.

    Args:
        transaction: one that writes.
        actor: who enqueues.
        task_id: which task.
        body: where, and with what priority.
        made_by: the trigger whose firing made the task, where it is at hand.

    Raises:
        NotFound: there is no such task, or no such queue.
        Forbidden: the actor may not operate in its project.
        IllegalTransition: the task is queued, runs, or has completed.
        Conflict: it is archived.
    """
    task = transaction.tasks.get(task_id, lock=True)
    actor.require(Permission.OPERATE, task.project)
    require_listed(task)
    check_queue(transaction, name=body.queue)
    now = transaction.now()
    hands_over = actor.task_id == task_id and task.status is Status.IN_PROGRESS
    if hands_over:
        attempt = transaction.tasks.attempt(task_id, task.attempt)
        transaction.tasks.replace_attempt(attempt.changed(ended_at=now, exit_reason=ExitReason.HANDED_OVER))
    queued = transition(task, Move.REQUEUE if hands_over else Move.ENQUEUE, now=now).changed(
        queue=body.queue,
        priority=body.priority,
        not_before=body.not_before,
        lost_attempts=0,
        queued_by=responsible(actor),
    )
    transaction.tasks.replace(queued, expected=task)
    announce_task(transaction, actor, type=EventType.TASK_QUEUED, task=queued, made_by=made_by)
    return queued


def dequeue_task(transaction: Transaction, actor: Principal, *, task_id: Id) -> Task:
    """Take a task out of its queue; it is `created` again, and its attempt number stays used.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not operate in its project.
        IllegalTransition: it is in no queue.
    """
    task = transaction.tasks.get(task_id, lock=True)
    actor.require(Permission.OPERATE, task.project)
    dequeued = transition(task, Move.DEQUEUE, now=transaction.now())
    transaction.tasks.replace(dequeued, expected=task)
    announce_task(transaction, actor, type=EventType.TASK_DEQUEUED, task=dequeued)
    return dequeued


def check_queue(transaction: Transaction, *, name: str) -> None:
    """Check that there is a queue of that name.

    Raises:
        NotFound: there is none; the hint names those that there are and the line that makes one.
    """
    try:
        transaction.queues.get(name)
    except NotFound:
        known = [queue.name for queue in transaction.queues.all()]
        raise NotFound(
            f"There is no queue {name!r}.",
            hint=f"{did_you_mean(name, known=known)} To make it: retrain queue create {name}",
        ) from None
