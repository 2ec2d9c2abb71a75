"""Triggers, their firings, and what schedulers and the server say to each other."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from orchestrator.records.base import Id, Moment, Name, Record
from orchestrator.records.event import Event
from orchestrator.records.firing import Firing
from orchestrator.records.gate import GateReport
from orchestrator.records.task import Task
from orchestrator.records.trigger import Trigger, TriggerSpec


class RegisterTrigger(TriggerSpec):
    """`PUT /triggers`: by name; registering again makes a revision where something differs."""


class ApplyTriggers(Record):
    """`POST /triggers/apply`: the triggers of a group are to be exactly these; all of it or nothing."""

    group: Name
    triggers: tuple[TriggerSpec, ...] = Field(max_length=10_000)
    """Their own `group` is not asked: it becomes this one."""
    plan: bool = False
    """Say what would change, and change nothing."""


class FieldChange(Record):
    """One part of a trigger that differs."""

    path: str
    """Such as `action.parameters.Args/lr`."""
    before: Any = None
    after: Any = None


class TriggerChange(Record):
    """What applying does to one trigger."""

    name: Name
    change: Literal["create", "update", "remove", "unchanged"]
    fields: tuple[FieldChange, ...] = ()


class AppliedTriggers(Record):
    """What applying did, or would do."""

    group: Name
    applied: bool
    changes: tuple[TriggerChange, ...]


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
    acts: bool = False
    """Whether it would do something now: it matches, is neither paused nor for a dry run, and nothing that is known
    before stands in its way."""
    would: str | None = None
    """The whole action in a sentence, for people."""


class EventVerdict(Record):
    """What one trigger made of one event."""

    event: int
    type: str
    subject: Id
    at: Moment
    trigger_id: Id
    trigger: Name
    fired: bool
    """Whether there is a firing for it that was neither skipped nor blocked."""
    status: str | None = None
    """Of the firing, where there is one."""
    firing_id: Id | None = None
    task_id: Id | None = None
    reason: str
    """Why it fired, or the one reason why it did not."""


class TriggerDetail(Record):
    """`GET /triggers/{id}`."""

    trigger: Trigger
    firings: tuple[Firing, ...]
    """The newest ones."""
    active: int
    """Firings that are at work."""
    waiting: tuple[Firing, ...] = ()
    """Those that collect, wait their turn, are gated or are to be tried again, oldest first."""
    running: tuple[Task, ...] = ()
    """Its tasks that are queued or running."""
    recent: tuple[EventVerdict, ...] = ()
    """The last events of its own kind in its project, newest first."""


class NewFiring(Record):
    """One match that a scheduler found."""

    trigger_id: Id
    revision: int
    event: int


class PostFirings(Record):
    """`POST /firings`: in one transaction; what fails leaves the others as they are."""

    firings: tuple[NewFiring, ...] = Field(default=(), max_length=500)
    ended: tuple[int, ...] = Field(default=(), max_length=500)
    """Events of tasks that firings made and that ended: steps of chains follow, and whoever waits its turn."""


class FiringResult(Record):
    """What became of a match, or of a firing that was due."""

    trigger_id: Id
    event: int | None = None
    outcome: Literal[
        "collecting", "due", "gating", "launched", "blocked", "skipped", "failed", "duplicate", "stale_revision"
    ]
    firing_id: Id | None = None
    task_id: Id | None = None
    reason: str | None = None
    due_at: Moment | None = None
    """When there is something to do about it next, by the clock."""


class TakeDue(Record):
    """`POST /firings/due`: do what the clock asks for, and take what only a scheduler can do."""

    scheduler: str = Field(min_length=1, max_length=128)
    """Whoever asks, told apart from every other process."""
    functions: tuple[Name, ...] = Field(default=(), max_length=10_000)
    """Python functions that it can call."""
    limit: int = Field(default=20, ge=0, le=500)
    """Most pieces of work to take."""


class FiringWork(Record):
    """A firing whose gates are to be looked at, or whose action is to be performed, by whoever took it."""

    kind: Literal["gates", "action"]
    firing: Firing
    trigger: Trigger
    """The revision that the firing uses."""
    events: tuple[Event, ...]
    values: dict[str, str] = Field(default_factory=dict)
    """What templates stand for."""


class Due(Record):
    """What was done, and what is for the asker."""

    now: Moment
    """By the database's clock."""
    next_due_at: Moment | None
    """When to ask again at the latest; None where nothing is ahead."""
    results: tuple[FiringResult, ...] = ()
    work: tuple[FiringWork, ...] = ()


class ExtendClaim(Record):
    """`POST /firings/{id}/extend`: still at it. 409 `stale_claim` where another has it, or it ended."""

    scheduler: str


class FinishWork(Record):
    """`POST /firings/{id}/result`: what came of a piece of work. Sent twice, the second is answered like the first."""

    scheduler: str
    kind: Literal["gates", "action"]
    """The work's; with `tries` it says which claim this is about: 409 `stale_claim` where it was handed out again."""
    tries: int
    """The firing's, as it came with the work."""
    outcome: Literal["done", "failed"]
    """`failed` is tried again; a closed gate is `done`, with its report."""
    reason: str | None = None
    gate: GateReport | None = None
    """Of work of kind `gates`."""
    result: dict[str, Any] | None = None


class Backfill(Record):
    """`POST /triggers/{id}/backfill`: act on what happened before; what was acted on is not again.

    A stretch of the log at a time: ask again with `after=next` until it is None.
    """

    since: Moment | None = None
    """From this moment on; from the beginning of the log where it is not given."""
    until: Moment | None = None
    after: int | None = Field(default=None, ge=0)
    plan: bool = False
    """Say what would fire, and change nothing."""


class Backfilled(Record):
    """What became of a stretch of the log."""

    results: tuple[FiringResult, ...]
    """Of the events that matched."""
    looked_at: int
    """How many events were looked at."""
    next: int | None
