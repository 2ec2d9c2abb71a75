"""Stopping a task: written first, then told to whoever runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.event import EventType
from orchestrator.records.lifecycle import Move, Status, transition
from orchestrator.records.principal import Permission
from orchestrator.records.task import ExitReason
from orchestrator.services.announce import announce_task
from orchestrator.services.endings import announce_end

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.store.protocol import Transaction


def stop_task(transaction: Transaction, actor: Principal, *, task_id: Id) -> Task:
    """Stop a queued task at once; ask a running one to stop, which its attempt hears at its next heartbeat.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not operate in its project.
        IllegalTransition: it neither waits nor runs.
    """
    task = transaction.tasks.get(task_id, lock=True)
    actor.require(Permission.OPERATE, task.project)
    now = transaction.now()
    if task.status is not Status.IN_PROGRESS:
        stopped = transition(task, Move.STOP, now=now, reason=ExitReason.STOPPED)
        transaction.tasks.replace(stopped, expected=task)
        announce_end(transaction, actor, task=stopped)
        return stopped
    if task.stop_requested_at is not None:
        return task
    asked = task.changed(stop_requested_at=now, changed_at=now)
    transaction.tasks.replace(asked, expected=task)
    announce_task(transaction, actor, type=EventType.TASK_STOP_REQUESTED, task=asked)
    return asked
