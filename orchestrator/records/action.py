"""What a trigger does. Texts that may hold templates (`${dataset.id}`) are said to be templates."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from orchestrator.records.base import Id, Name, ProjectPath, Record, Tag, of_kind

StepName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
"""How later steps call an earlier one: `${steps.NAME.id}`."""


class CloneAction(Record):
    """Clone a reference task with overridden parameters and enqueue the clone."""

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
    """Added to the clone's; templates."""
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000)
    commit: str | None = None
    """Run this commit of the reference's repository instead, without its uncommitted changes; a template."""
    branch: str | None = None
    """Run what this branch of the reference's repository points to when the attempt starts; a template."""
    image: str | None = None
    """Container image instead of the reference's; a template."""
    reuse: bool = False
    """Reset and run the reference itself again instead of cloning it; skipped while it is queued or runs."""


class Step(CloneAction):
    """One task of a chain; it may fill in what earlier ones made: `${steps.preprocess.artifacts.table.url}`."""

    step: StepName


class ChainAction(Record):
    """Tasks one after another: each next one is cloned when the one before completed. One that fails ends the chain."""

    kind: Literal["chain"] = "chain"
    steps: tuple[Step, ...] = Field(min_length=1, max_length=50)


class FunctionAction(Record):
    """Call a Python function in a process that registered it; at least once, with the firing's id as its key."""

    kind: Literal["function"] = "function"
    function: Name


class WebhookAction(Record):
    """POST JSON to a URL, signed as Standard Webhooks have it; at least once, with the firing's id as `webhook-id`.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """

    kind: Literal["webhook"] = "webhook"
    url: str = Field(pattern=r"^https?://[^\s/?#]+[^\s]*$", max_length=2048)
    secret: Name | None = None
    """Name of the secret that signs, looked up by whoever sends: `RETRAIN_SECRET_<NAME>`. Unsigned where it is none."""
    body: Any = None
    """JSON; its strings are templates. Trigger, firing and events where there is none."""
    timeout_seconds: float = Field(default=10.0, gt=0, le=60)


Recipient = Annotated[str, StringConstraints(pattern=r"^(slack:[A-Za-z0-9_.-]+|mailto:[^\s@,;]+@[^\s@,;]+)$")]
"""`mailto:somebody@example.com`, or `slack:NAME` where the secret `NAME` is the address of an incoming webhook."""


class MessageAction(Record):
    """Tell people; at least once."""

    kind: Literal["message"] = "message"
    to: tuple[Recipient, ...] = Field(min_length=1, max_length=20)
    subject: str | None = Field(default=None, max_length=255)
    """A template."""
    text: str | None = Field(default=None, max_length=10_000)
    """A template; what happened and the numbers where there is none."""


class PromoteAction(Record):
    """Compare what the event's task made with the model that holds an alias, and move the alias where it is better.

    The challenger is the newest version that the task registered under the model's name. Where nobody holds the alias
    it moves at once.
    """

    kind: Literal["promote"] = "promote"
    model: Name
    """Name of the model, in the task's project."""
    alias: Tag = "production"
    title: Name
    """Of the metric; its last value counts, of the tasks that made the two versions."""
    series: str
    sign: Literal["max", "min"] = "max"
    """Whether more is better, or less."""
    margin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """By how much it must be better; by anything at all where it is 0."""
    evaluation: str | None = None
    """Parameter (`Section/name`) that says on which dataset version each was evaluated: both must have the same."""


Action = Annotated[
    CloneAction | ChainAction | FunctionAction | WebhookAction | MessageAction | PromoteAction,
    Field(discriminator="kind"),
    BeforeValidator(of_kind("clone")),
]
"""One that does not say its kind clones a task."""

PERFORMED_OUTSIDE = ("function", "webhook", "message")
"""Kinds of actions that a scheduler carries out; the server does the others itself, exactly once."""
