"""Triggers and firings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from orchestrator.records.base import Id, Name, Record
from orchestrator.records.trigger import CloneAction, DatasetCondition, Firing, Trigger


class RegisterTrigger(Record):
    """`PUT /triggers`: by name; registering again makes a revision where something differs."""

    name: Name
    condition: DatasetCondition
    action: CloneAction
    max_active: int | None = Field(default=None, ge=1)


class TestTrigger(Record):
    """`POST /triggers/{id}/test`: what the trigger would do with an event, by default the newest that matches."""

    event: int | None = None


class TriggerTest(Record):
    """What a dry run says; nothing is made."""

    event: int | None
    matches: bool
    reason: str
    parameters: dict[str, str] = Field(default_factory=dict)
    """Overrides with their templates filled in."""
    name: str | None = None
    queue: str | None = None


class TriggerDetail(Record):
    """`GET /triggers/{id}`."""

    trigger: Trigger
    firings: tuple[Firing, ...]
    active: int
    """Tasks of it that are queued or running."""


class NewFiring(Record):
    """One match that a scheduler found."""

    trigger_id: Id
    revision: int
    event: int


class PostFirings(Record):
    """`POST /firings`: in one transaction, one savepoint each."""

    firings: tuple[NewFiring, ...] = Field(max_length=500)


class FiringResult(Record):
    """What became of a match."""

    trigger_id: Id
    event: int
    outcome: Literal["launched", "skipped", "failed", "duplicate", "stale_revision"]
    task_id: Id | None = None
    reason: str | None = None
