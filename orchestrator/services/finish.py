"""An attempt says how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest, StaleAttempt
from orchestrator.records.lifecycle import Move, transition
from orchestrator.records.task import ExitReason
from orchestrator.services.endings import announce_end
from orchestrator.services.lose import lose_attempt
from orchestrator.services.unit_of_work import check_fence

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import FinishTask

_MOVES = {
    ExitReason.COMPLETED: Move.COMPLETE,
    ExitReason.SCRIPT_FAILED: Move.FAIL,
    ExitReason.OUT_OF_MEMORY: Move.FAIL,
    ExitReason.INFRASTRUCTURE: Move.FAIL,
    ExitReason.STOPPED: Move.STOP,
}


def finish_task(
    transaction: Transaction, actor: Principal, *, task_id: Id, body: FinishTask, settings: Settings
) -> Task:
    """End the actor's attempt, and with it the task; one that was lost is queued again as long as it may be.

    It checks the fence itself: the very same report sent twice is answered like the first.

    Raises:
        StaleAttempt: the attempt no longer owns the task, or ended in another way.
        InvalidRequest: an attempt is handed over by enqueueing its task, not by finishing it.
    """
    if body.reason is ExitReason.HANDED_OVER:
        raise InvalidRequest("An attempt is handed over by enqueueing its task.", hint="POST /tasks/{id}/enqueue")
    try:
        check_fence(transaction, actor, lock=True)
    except StaleAttempt:
        ended = transaction.tasks.attempt(task_id, actor.attempt or 0)
        if ended.exit_reason is not body.reason or ended.exit_code != body.exit_code:
            raise
        return transaction.tasks.get(task_id)
    task = transaction.tasks.get(task_id)
    attempt = transaction.tasks.attempt(task_id, task.attempt).changed(exit_code=body.exit_code, message=body.message)
    if body.reason is ExitReason.LOST:
        return lose_attempt(transaction, actor, task=task, attempt=attempt, settings=settings)
    now = transaction.now()
    ended_attempt = attempt.changed(ended_at=now, exit_reason=body.reason)
    transaction.tasks.replace_attempt(ended_attempt)
    ended_task = transition(task, _MOVES[body.reason], now=now, reason=body.reason, message=body.message)
    transaction.tasks.replace(ended_task, expected=task)
    announce_end(transaction, actor, task=ended_task, newest=ended_attempt, exit_code=body.exit_code)
    return ended_task
