"""A completed task becomes a published one: others may rely on it, and it never changes again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.event import EventType
from orchestrator.records.lifecycle import Move, transition
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_task

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.store.protocol import Transaction


def publish_task(transaction: Transaction, actor: Principal, *, task_id: Id) -> Task:
    """Publish a task.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not edit in its project.
        IllegalTransition: it has not completed, or is published already.
    """
    task = transaction.tasks.get(task_id, lock=True)
    actor.require(Permission.EDIT, task.project)
    now = transaction.now()
    published = transition(task, Move.PUBLISH, now=now, reason=task.status_reason, message=task.status_message)
    transaction.tasks.replace(published, expected=task)
    announce_task(transaction, actor, type=EventType.TASK_PUBLISHED, task=published)
    return published
