"""The append-only log of what happened."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from orchestrator.records.base import Id, Moment, Record


class EventType(StrEnum):
    """What can happen."""

    DATASET_CREATED = "dataset.created"
    DATASET_FINALIZED = "dataset.finalized"
    DATASET_PUBLISHED = "dataset.published"
    DATASET_TAGGED = "dataset.tagged"
    DATASET_UNTAGGED = "dataset.untagged"
    DATASET_ARCHIVED = "dataset.archived"
    DATASET_DELETED = "dataset.deleted"
    TASK_CREATED = "task.created"
    TASK_QUEUED = "task.queued"
    TASK_DEQUEUED = "task.dequeued"
    TASK_STARTED = "task.started"
    TASK_STOP_REQUESTED = "task.stop_requested"
    TASK_COMPLETED = "task.completed"
    TASK_FAILED = "task.failed"
    TASK_STOPPED = "task.stopped"
    TASK_RESET = "task.reset"
    TASK_PUBLISHED = "task.published"
    TASK_ARCHIVED = "task.archived"
    TASK_METRIC_CROSSED = "task.metric_crossed"  # a threshold that some trigger watches
    TASK_ATTEMPT_LOST = "task.attempt_lost"
    TASK_TAGGED = "task.tagged"
    TRIGGER_REGISTERED = "trigger.registered"  # first time, and each new revision
    TRIGGER_PAUSED = "trigger.paused"
    TRIGGER_RESUMED = "trigger.resumed"
    TRIGGER_REMOVED = "trigger.removed"
    TRIGGER_WAITING = "trigger.waiting"  # a person's act left firings that are for a scheduler to go on with
    TRIGGER_FIRED = "trigger.fired"
    TRIGGER_BLOCKED = "trigger.blocked"
    TRIGGER_FAILED = "trigger.failed"
    MODEL_REGISTERED = "model.registered"
    MODEL_PUBLISHED = "model.published"
    MODEL_PROMOTED = "model.promoted"  # an alias moved to it
    MODEL_TAGGED = "model.tagged"
    MODEL_ARCHIVED = "model.archived"


class NewEvent(Record):
    """An event before the store has numbered it."""

    type: EventType
    subject: Id
    """The task, dataset version, model version or trigger that it happened to."""
    project: str = ""
    actor: Id
    """The principal that did it."""
    cause: Id | None = None
    """The firing that led to it."""
    data: dict[str, Any] = Field(default_factory=dict)
    """What was true in that moment, for matching and for people."""


class Event(NewEvent):
    """One row of the log. Ids grow in the order in which rows become visible."""

    id: int
    at: Moment
