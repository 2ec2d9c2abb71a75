"""Triggers: a condition, what is required besides, and an action."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from orchestrator.records.action import Action
from orchestrator.records.base import Id, Moment, Name, Record
from orchestrator.records.condition import Condition
from orchestrator.records.gate import Gates


class TriggerState(StrEnum):
    """Whether a trigger acts."""

    ACTIVE = "active"
    PAUSED = "paused"  # its events are recorded as skipped
    REMOVED = "removed"  # kept for its firings


class TriggerSpec(Record):
    """What a person says of a trigger; a change of any of it makes a revision."""

    name: Name
    condition: Condition
    action: Action
    gates: Gates | None = None
    """What must hold of the event's dataset version before the action."""
    max_active: int | None = Field(default=None, ge=1)
    """How many of its firings may be at work (tasks queued or running, functions called); None for no limit."""
    when_busy: Literal["skip", "queue", "replace"] = "skip"
    """What becomes of a firing beyond `max_active`: none; it waits its turn; or it has the others stopped, takes the
    place of those that wait, and goes when they have ended."""
    debounce_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Collect events into one firing until none came for so long."""
    debounce_max_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """But no longer than this after the first one."""
    cooldown_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """The least time from one launch to the next; events meanwhile are collected into one firing at its end."""
    limit_execution_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Its tasks are stopped when they have run for so long."""
    dry_run: bool = False
    """Record what it would do, and do nothing."""
    group: Name | None = None
    """Whoever declares the triggers of a group declares all of them: others of the group are removed."""


class Trigger(TriggerSpec):
    """A trigger as the server keeps it. Registering by the same name again makes a revision."""

    id: Id
    revision: int = Field(default=1, ge=1)
    state: TriggerState = TriggerState.ACTIVE
    starts_after: int = Field(ge=0)
    """Id of the last event before it was registered: it acts on later ones."""
    revised_after: int = Field(default=0, ge=0)
    """Id of the last event before this revision: what happened before is judged by the one before."""
    scheduled_at: Moment | None = None
    """Of a schedule: when it was registered, or changed last: its times count from then."""
    last_occurrence_at: Moment | None = None
    """Of a schedule: the last time that was taken care of, fired or passed over."""
    next_occurrence_at: Moment | None = None
    """Of a schedule: when it is due next; None when it never is."""
    last_launch_at: Moment | None = None
    """For its cooldown."""
    created_at: Moment
    created_by: Id
    """It acts with this principal's rights."""
    changed_at: Moment

    @property
    def project(self) -> str:
        """Where it belongs: who may see it and change it."""
        return self.condition.project
