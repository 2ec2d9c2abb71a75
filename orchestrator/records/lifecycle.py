"""The lifecycle of a task: one table of moves and one pure function. The clock is passed in."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from orchestrator.errors import IllegalTransition

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.records.task import Task


class Status(StrEnum):
    """Where a task is in its life."""

    CREATED = "created"
    QUEUED = "queued"  # waits for an agent
    IN_PROGRESS = "in_progress"  # one attempt holds its lease
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    PUBLISHED = "published"  # never changes again


class Move(StrEnum):
    """The verbs that lead from one status to another."""

    ENQUEUE = "enqueue"
    DEQUEUE = "dequeue"
    START = "start"  # by hand, on the machine of whoever types it
    CLAIM = "claim"  # by an agent
    REQUEUE = "requeue"  # the attempt was lost, or hands itself over to an agent
    COMPLETE = "complete"
    FAIL = "fail"
    STOP = "stop"
    RESET = "reset"  # to be edited and run again
    PUBLISH = "publish"


MOVES: dict[Status, dict[Move, Status]] = {
    Status.CREATED: {Move.ENQUEUE: Status.QUEUED, Move.START: Status.IN_PROGRESS},
    Status.QUEUED: {
        Move.CLAIM: Status.IN_PROGRESS,
        Move.DEQUEUE: Status.CREATED,
        Move.STOP: Status.STOPPED,
        Move.FAIL: Status.FAILED,
    },
    Status.IN_PROGRESS: {
        Move.COMPLETE: Status.COMPLETED,
        Move.FAIL: Status.FAILED,
        Move.STOP: Status.STOPPED,
        Move.REQUEUE: Status.QUEUED,
    },
    Status.COMPLETED: {Move.RESET: Status.CREATED, Move.PUBLISH: Status.PUBLISHED},
    Status.FAILED: {Move.ENQUEUE: Status.QUEUED, Move.START: Status.IN_PROGRESS, Move.RESET: Status.CREATED},
    Status.STOPPED: {Move.ENQUEUE: Status.QUEUED, Move.START: Status.IN_PROGRESS, Move.RESET: Status.CREATED},
    Status.PUBLISHED: {},
}

NEW_ATTEMPT = frozenset({Move.ENQUEUE, Move.START, Move.REQUEUE})
"""Moves that begin another attempt. Attempt numbers never go back."""

_FORGETTING = NEW_ATTEMPT | {Move.RESET}
"""Moves after which the times are not those of an attempt that has ended."""

ENDED = frozenset({Status.COMPLETED, Status.FAILED, Status.STOPPED, Status.PUBLISHED})
"""A task with one of these runs no more."""


def target(status: Status, move: Move) -> Status:
    """Return the status to which a move leads.

    Raises:
        IllegalTransition: the table has no such move; the message names those that it has.
    """
    moves = MOVES[status]
    if move not in moves:
        allowed = ", ".join(moves) or "nothing"
        raise IllegalTransition(f"A task that is {status} cannot {move}.", hint=f"From {status} it can: {allowed}.")
    return moves[move]


def transition(task: Task, move: Move, *, now: datetime, reason: str | None = None, message: str | None = None) -> Task:
    """Return the task after a move.

    Args:
        task: the task as it was read.
        move: what happens to it.
        now: the database's time.
        reason: why, in one word of `records.attempt.ExitReason` or another that programs can compare.
        message: why, in a sentence for people.

    Raises:
        IllegalTransition: the table has no such move.
    """
    status = target(task.status, move)
    fields: dict[str, object] = {
        "status": status,
        "status_reason": reason,
        "status_message": message,
        "changed_at": now,
    }
    if move in NEW_ATTEMPT:
        fields["attempt"] = task.attempt + 1
    if move in _FORGETTING:
        fields |= {"stop_requested_at": None, "started_at": None, "ended_at": None}
    if status is Status.QUEUED:
        fields["queued_at"] = now
    elif status is Status.IN_PROGRESS:
        fields["started_at"] = now
    elif status in ENDED and move is not Move.PUBLISH:
        fields["ended_at"] = now
    return task.changed(**fields)


def markdown_table() -> str:
    """Return the table of moves as ARCHITECTURE.md shows it: a row a status, a column a move."""
    lines = [
        "| from | " + " | ".join(Move) + " |",
        "|---" * (len(Move) + 1) + "|",
        *("| " + " | ".join([status, *(MOVES[status].get(move, "") for move in Move)]) + " |" for status in Status),
    ]
    return "\n".join(lines)
