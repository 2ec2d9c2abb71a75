"""Firings: a trigger acts on events, or on a time; what came of it, or why nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from orchestrator.errors import IllegalTransition
from orchestrator.records.base import Id, Moment, Record
from orchestrator.records.gate import GateReport


class FiringStatus(StrEnum):
    """Where a firing is in its life."""

    COLLECTING = "collecting"  # its window is open
    DUE = "due"  # waits its turn, or for a scheduler that performs its action
    GATING = "gating"  # a scheduler looks at what is required
    LAUNCHED = "launched"
    BLOCKED = "blocked"  # a gate is closed
    SKIPPED = "skipped"
    FAILED = "failed"


_TRIED = frozenset(
    {FiringStatus.DUE, FiringStatus.GATING, FiringStatus.LAUNCHED, FiringStatus.SKIPPED, FiringStatus.FAILED}
)

FIRING_MOVES: dict[FiringStatus, frozenset[FiringStatus]] = {
    FiringStatus.COLLECTING: frozenset({FiringStatus.DUE, FiringStatus.SKIPPED}),
    FiringStatus.DUE: _TRIED,
    FiringStatus.GATING: frozenset(
        {
            FiringStatus.DUE,
            FiringStatus.LAUNCHED,
            FiringStatus.BLOCKED,
            FiringStatus.SKIPPED,
            FiringStatus.FAILED,
        }
    ),
    FiringStatus.FAILED: _TRIED,
    FiringStatus.LAUNCHED: frozenset(),
    FiringStatus.BLOCKED: frozenset(),
    FiringStatus.SKIPPED: frozenset(),
}
"""The allowed moves; a failed firing is tried again and may fail again."""

ENDED_FIRINGS = frozenset({FiringStatus.LAUNCHED, FiringStatus.BLOCKED, FiringStatus.SKIPPED})


class Firing(Record):
    """The record of a trigger acting on events: what it made, or why not."""

    id: Id
    trigger_id: Id
    revision: int
    event_key: str
    """What makes it unique with the trigger: the first event's id, `schedule:<UTC time>`, `replay:<id>`, or
    `step:<first firing of the chain>:<step>`. The other events that it collected have rows of their own."""
    events: tuple[int, ...] = ()
    """All that it stands for, oldest first; none for a schedule."""
    occurrence_at: Moment | None = None
    """Of a schedule: the time that it stands for."""
    status: FiringStatus = FiringStatus.DUE
    step: str | None = None
    """Of a chain: which of its steps this firing launches."""
    root: Id | None = None
    """Of a later step: the first firing of the chain."""
    chain_open: bool = False
    """Of the first firing of a chain: whether steps are still to come."""
    replay_of: Id | None = None
    task_id: Id | None = None
    reason: str | None = None
    gate: GateReport | None = None
    result: dict[str, Any] | None = None
    """What an action that makes no task came to: an answer, a comparison."""
    due_at: Moment | None = None
    """While it collects: when its window closes."""
    claimed_by: str | None = None
    """The scheduler that looks at its gates or performs its action."""
    claimed_until: Moment | None = None
    """Then another may do it over."""
    tries: int = Field(default=0, ge=0)
    next_try_at: Moment | None = None
    """When a failed firing is tried again; None when it is not."""
    created_at: Moment
    changed_at: Moment


def move_firing(firing: Firing, status: FiringStatus, **fields: object) -> Firing:
    """Return the firing with another status and these fields.

    Raises:
        IllegalTransition: `FIRING_MOVES` has no such move.
    """
    if status not in FIRING_MOVES[firing.status]:
        raise IllegalTransition(f"A firing that is {firing.status} cannot become {status}.")
    return firing.changed(status=status, **fields)
