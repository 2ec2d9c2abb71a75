"""Triggers and their firings."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from orchestrator.errors import IllegalTransition
from orchestrator.records.base import Id, Moment, Name, ProjectPath, Record, Tag


class DatasetCondition(Record):
    """Which events of dataset versions a trigger acts on. All parts must hold.

    With neither `on_tags` nor `on_publish`, a version that becomes final matches; with `on_tags` a change of tags does,
    too: see `triggers.conditions`.
    """

    kind: Literal["dataset"] = "dataset"
    project: str = ""
    """This project and all below it, also later ones; empty for all."""
    name: str | None = None
    """Shell pattern (`fnmatch`) that the dataset's name must match as a whole."""
    on_tags: tuple[Tag, ...] = ()
    """The resulting tags hold all of these, and the event added at least one."""
    required_tags: tuple[Tag, ...] = ()
    """The resulting tags hold all of these."""


class CloneAction(Record):
    """Clone a reference task with overridden parameters and enqueue it."""

    kind: Literal["clone"] = "clone"
    task: Id
    """The reference."""
    queue: Name = "default"
    name: str | None = None
    """Name of the clone, a template; the reference's name and the trigger's where there is none."""
    project: ProjectPath | None = None
    """Project of the clone; the reference's where there is none."""
    parameters: dict[str, str] = Field(default_factory=dict)
    """`Section/name` to a template of its value."""
    allow_new: bool = False
    """Whether parameters that the reference does not have are added instead of refused."""
    tags: tuple[Tag, ...] = ()
    """Added to the clone's."""


class TriggerState(StrEnum):
    """Whether a trigger acts."""

    ACTIVE = "active"
    PAUSED = "paused"  # its events are recorded as skipped
    REMOVED = "removed"  # kept for its firings


class Trigger(Record):
    """A condition on events and an action. Registering by the same name again makes a revision."""

    id: Id
    name: Name
    revision: int = Field(default=1, ge=1)
    state: TriggerState = TriggerState.ACTIVE
    condition: DatasetCondition
    action: CloneAction
    max_active: int | None = Field(default=None, ge=1)
    """How many tasks of this trigger may be queued or running; events beyond that are skipped. None for no limit."""
    starts_after: int = Field(ge=0)
    """Id of the last event before it was registered: it acts on later ones."""
    created_at: Moment
    created_by: Id
    """The clone is made and enqueued with this principal's rights."""
    changed_at: Moment


class FiringStatus(StrEnum):
    """Where a firing is in its life."""

    COLLECTING = "collecting"
    DUE = "due"
    GATING = "gating"
    LAUNCHED = "launched"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    FAILED = "failed"


FIRING_MOVES: dict[FiringStatus, frozenset[FiringStatus]] = {
    FiringStatus.COLLECTING: frozenset({FiringStatus.DUE, FiringStatus.SKIPPED}),
    FiringStatus.DUE: frozenset(
        {FiringStatus.GATING, FiringStatus.LAUNCHED, FiringStatus.SKIPPED, FiringStatus.FAILED},
    ),
    FiringStatus.GATING: frozenset({FiringStatus.LAUNCHED, FiringStatus.BLOCKED, FiringStatus.FAILED}),
    FiringStatus.FAILED: frozenset({FiringStatus.LAUNCHED, FiringStatus.SKIPPED, FiringStatus.FAILED}),
    FiringStatus.LAUNCHED: frozenset(),
    FiringStatus.BLOCKED: frozenset(),
    FiringStatus.SKIPPED: frozenset(),
}
"""The allowed moves; a failed firing is tried again and may fail again."""


class Firing(Record):
    """The record of a trigger acting on events: what it made, or why not."""

    id: Id
    trigger_id: Id
    revision: int
    event_key: str
    """The event's id, `schedule:<UTC time>` or `replay:<id>`; unique with the trigger."""
    events: tuple[int, ...]
    status: FiringStatus = FiringStatus.DUE
    task_id: Id | None = None
    reason: str | None = None
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
