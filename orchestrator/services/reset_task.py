"""A task that ended is `created` again: to be edited, and run once more under the same id.

What its attempts reported stays readable, and their numbers stay used.
"""

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


def reset_task(transaction: Transaction, actor: Principal, *, task_id: Id) -> Task:
    """Reset a task.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not edit in its project.
        IllegalTransition: it is queued, runs or is published, or was not run since it was made or reset.
    """
    task = transaction.tasks.get(task_id, lock=True)
    actor.require(Permission.EDIT, task.project)
    reset = transition(task, Move.RESET, now=transaction.now())
    transaction.tasks.replace(reset, expected=task)
    announce_task(transaction, actor, type=EventType.TASK_RESET, task=reset)
    return reset
