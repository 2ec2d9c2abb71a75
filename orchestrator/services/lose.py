"""An attempt is gone without having said how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.event import EventType
from orchestrator.records.lifecycle import Move, transition
from orchestrator.records.task import ExitReason
from orchestrator.services.announce import announce_task
from orchestrator.services.endings import ENDED, announce_end

if TYPE_CHECKING:
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Attempt, Task
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction


def lose_attempt(
    transaction: Transaction, actor: Principal, *, task: Task, attempt: Attempt, settings: Settings
) -> Task:
    """End the attempt as lost. An agent's is queued again as the next one until too many were lost; one by hand fails.

    Args:
        transaction: one that writes, with the task's row locked.
        actor: who found out.
        task: in progress, with this attempt.
        attempt: not ended; with a message where somebody knows more.
        settings: how many may be lost.
    """
    now = transaction.now()
    transaction.tasks.replace_attempt(attempt.changed(ended_at=now, exit_reason=ExitReason.LOST))
    lost = task.lost_attempts + 1
    if task.stop_requested_at is not None:
        move, message = Move.STOP, "It was lost while it was asked to stop."
    elif attempt.agent_id is None:
        move, message = Move.FAIL, "The run by hand fell silent: its process or its machine is gone."
    elif lost >= settings.max_lost_attempts:
        move, message = Move.FAIL, f"{lost} attempts in a row were lost with their agents."
    else:
        move, message = Move.REQUEUE, f"Attempt {attempt.number} was lost with its agent."
    reason = ExitReason.STOPPED if move is Move.STOP else ExitReason.LOST
    moved = transition(task, move, now=now, reason=reason, message=attempt.message or message).changed(
        lost_attempts=lost
    )
    transaction.tasks.replace(moved, expected=task)
    announce_task(
        transaction,
        actor,
        type=EventType.TASK_ATTEMPT_LOST,
        task=moved,
        newest=attempt,
        lost=attempt.number,
        agent=attempt.agent_id,
    )
    if moved.status in ENDED:
        announce_end(transaction, actor, task=moved, newest=attempt)
    else:
        announce_task(transaction, actor, type=EventType.TASK_QUEUED, task=moved, newest=attempt)
    return moved
