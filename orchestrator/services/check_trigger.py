"""Whether a trigger can do what it says: everything that is known before there is an event is refused now."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import InvalidRequest, NotFound, OrchestratorError
from orchestrator.records.action import (
    ChainAction,
    CloneAction,
    FunctionAction,
    MessageAction,
    PromoteAction,
    WebhookAction,
)
from orchestrator.records.base import ProjectPath
from orchestrator.records.condition import DatasetCondition, FiringCondition, ScheduleCondition, TaskCondition
from orchestrator.records.dataset import DatasetState
from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.services.check_clone import CloneChecks
from orchestrator.services.dataset_states import require_present
from orchestrator.services.read_datasets import get_dataset
from triggers import schedule, templates
from triggers.conditions import ENDED_TASKS, event_types

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.records.condition import Condition
    from orchestrator.records.gate import Gates
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import TriggerSpec
    from orchestrator.store.protocol import Transaction
    from triggers.templates import Scope

_ID = re.compile(r"[0-9a-f]{32}")
_PROJECT = TypeAdapter(ProjectPath)
_WITH_METRICS = ENDED_TASKS | {EventType.TASK_METRIC_CROSSED}


class TriggerChecks:
    """Checks triggers for one actor; what several of them need is read once.

    Args:
        transaction: reads what they refer to.
        actor: whoever registers.
    """

    def __init__(self, transaction: Transaction, actor: Principal) -> None:
        self._transaction = transaction
        self._actor = actor
        self._clones = CloneChecks(transaction, actor)

    def check(self, spec: TriggerSpec) -> None:
        """Check that a trigger can do what it says, as far as can be known now.

        Raises:
            Forbidden: the actor may not edit in the projects that it watches and clones into, or not read what it
                refers to.
            NotFound: a reference task or version, or a queue, does not exist.
            UnknownParameter: an override names no parameter of its reference.
            UnknownTemplateName: a template names nothing.
            InvalidRequest: anything else that could never work; the message says what, the hint what to do.
        """
        self._actor.require(Permission.EDIT, spec.condition.project)
        if "/" in spec.name or _ID.fullmatch(spec.name):
            raise InvalidRequest(
                f"A trigger cannot be called {spec.name!r}: it could not be told apart from a path or an id.",
                hint="Leave slashes out, and do not use an id as a name.",
            )
        check_condition(spec.condition)
        _check_limits(spec)
        if spec.gates is not None:
            self._check_gates(spec.gates, condition=spec.condition)
        self._check_action(spec)

    def _check_action(self, spec: TriggerSpec) -> None:
        action, scope = spec.action, templates.scope_of(spec.condition)
        match action:
            case ChainAction():
                self._check_chain(action, condition=spec.condition)
            case CloneAction():
                self._clones.check(action, scope=scope)
            case FunctionAction():
                templates.refuse(action.function, field="function")
            case WebhookAction():
                _check_webhook(action, scope=scope)
            case MessageAction():
                templates.check_line(action.subject or "", scope=scope)
                templates.check(action.text or "", scope=scope)
            case PromoteAction():
                _check_promotion(action, condition=spec.condition)

    def _check_chain(self, action: ChainAction, *, condition: Condition) -> None:
        names = [step.step for step in action.steps]
        for number, step in enumerate(action.steps):
            if step.step in names[:number]:
                raise InvalidRequest(f"Two steps are called {step.step!r}.", hint="Give each step a name of its own.")
            if step.reuse:
                raise InvalidRequest(
                    f"Step {step.step!r} is to run its reference task itself again, which a chain cannot wait for.",
                    hint="Leave reuse out: each step is a clone.",
                )
            with naming(f"Step {step.step!r}"):
                self._clones.check(step, scope=templates.scope_of(condition, steps=names[:number]))

    def _check_gates(self, gates: Gates, *, condition: Condition) -> None:
        if not isinstance(condition, DatasetCondition):
            raise InvalidRequest(
                f"Gates look at a dataset version, and a trigger on {condition.kind} events has none.",
                hint="Leave gates out, or let a trigger on datasets have them.",
            )
        if gates.reference == "parent":
            return
        try:
            version = get_dataset(self._transaction, self._actor, version_id=gates.reference)
        except NotFound:
            raise NotFound(
                f"There is no dataset version {gates.reference} to compare with.", hint="See: retrain dataset list."
            ) from None
        require_present(version)
        if version.state is DatasetState.OPEN:
            raise InvalidRequest(
                f"{version.name} {version.version}, with which versions are to be compared, is a draft: it has no"
                " statistics.",
                hint=f"Finalize it first: retrain dataset finalize {version.id}",
            )


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Have errors say of which part of many they tell.

    Args:
        what: the part, as the beginning of a sentence.
    """
    try:
        yield
    except OrchestratorError as error:
        raise type(error)(f"{what}: {error.message}", hint=error.hint) from error


def check_condition(condition: Condition) -> None:
    """Check that a condition can ever hold.

    Raises:
        InvalidRequest: it cannot.
    """
    _check_project(condition.project)
    if isinstance(condition, ScheduleCondition):
        schedule.check(condition)
        return
    if isinstance(condition, FiringCondition):
        templates.refuse(condition.trigger or "", field="name of a trigger")
        return
    templates.refuse(condition.name or "", field="pattern of a name")
    needed = {*condition.on_tags, *condition.required_tags}
    excluded = set(condition.excluded_tags)
    if both := sorted(needed & excluded):
        raise InvalidRequest(
            f"The tag {both[0]!r} is required and excluded: nothing matches.", hint="Take it out of one of them."
        )
    if condition.any_tags and excluded.issuperset(condition.any_tags):
        raise InvalidRequest("All of any_tags are excluded: nothing matches.", hint="Take one out of excluded_tags.")
    metric = condition.metric if isinstance(condition, TaskCondition) else None
    if metric is not None and not event_types(condition) & _WITH_METRICS:
        told = ", ".join(sorted(event_types(condition)))
        raise InvalidRequest(
            f"{told} tell of no metrics, so that {metric.title}/{metric.series} is never {metric.sign} anything.",
            hint="Wait for completed, failed or stopped, or for the metric alone.",
        )


def _check_project(project: str) -> None:
    try:
        if project:
            _PROJECT.validate_python(project)
    except ValidationError:
        raise InvalidRequest(
            f"{project!r} is no project.", hint="Write names joined by /, such as pharmacy/forecast; empty means all."
        ) from None
    templates.refuse(project, field="project")


def _check_limits(spec: TriggerSpec) -> None:
    if spec.when_busy != "skip" and spec.max_active is None:
        raise InvalidRequest(
            f"when_busy is {spec.when_busy}, and nothing says when it is busy.", hint="Give max_active, such as 1."
        )
    if spec.debounce_max_seconds is not None:
        if spec.debounce_seconds is None:
            raise InvalidRequest("debounce_max_seconds says nothing without debounce_seconds.", hint="Give both.")
        if spec.debounce_max_seconds < spec.debounce_seconds:
            raise InvalidRequest(
                f"debounce_max_seconds is {spec.debounce_max_seconds:g}, which is less than the"
                f" {spec.debounce_seconds:g} of debounce_seconds.",
                hint="Give a longer one, or none.",
            )
    if isinstance(spec.condition, ScheduleCondition):
        for field in ("debounce_seconds", "cooldown_seconds"):
            if getattr(spec, field) is not None:
                raise InvalidRequest(
                    f"{field} collects events, and a schedule has none.", hint="Choose its times accordingly."
                )
    makes_tasks = isinstance(spec.action, CloneAction | ChainAction)
    if spec.limit_execution_seconds is not None and not makes_tasks:
        raise InvalidRequest(
            f"limit_execution_seconds stops tasks, and an action of kind {spec.action.kind} makes none.",
            hint="Leave it out.",
        )


def _check_promotion(action: PromoteAction, *, condition: Condition) -> None:
    if not isinstance(condition, TaskCondition):
        raise InvalidRequest(
            f"Promoting compares what a task has made, and a trigger on {condition.kind} events sees none.",
            hint="Have a trigger on tasks do it: condition.kind task, condition.trigger the one that trains.",
        )
    for field in ("model", "alias", "title", "series", "evaluation"):
        templates.refuse(getattr(action, field) or "", field=field)
    if action.evaluation is not None and "/" not in action.evaluation.strip("/"):
        raise InvalidRequest(
            f"evaluation is {action.evaluation!r}, which is no parameter.",
            hint="Write Section/name of the one that says on which version it was evaluated.",
        )


def _check_webhook(action: WebhookAction, *, scope: Scope) -> None:
    templates.refuse(action.url, field="url")
    try:
        parts = urlsplit(action.url)
        readable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        readable = False
    if not readable:
        raise InvalidRequest(f"{action.url!r} is no address.", hint="Write it as https://example.com/hooks/x.")
    if "@" in parts.netloc:
        raise InvalidRequest(
            "The address of the webhook holds a user's name or password, which everybody who sees the trigger sees.",
            hint="Leave it out and name a secret: secret: NAME signs what is sent.",
        )
    for text in texts_in(action.body):
        templates.check(text, scope=scope)


def texts_in(value: Any) -> Iterator[str]:  # noqa: ANN401  JSON
    """Yield every text in a JSON value that may hold templates: names of members are taken as they are."""
    open_values = [value]
    while open_values:
        part = open_values.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            open_values += part.values()
        elif isinstance(part, list):
            open_values += part
