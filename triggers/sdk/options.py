"""The keywords that every kind of trigger takes. Their names are ClearML's where it has them."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

from triggers.near_misses import near

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    Length = float | str | timedelta
    """A length of time: seconds, a `timedelta`, or such as `"10m"`."""
    Gate = Mapping[str, Any] | Callable[..., Any]

F = TypeVar("F", bound="Callable[..., Any]")


class ActionOptions(TypedDict, total=False):
    """What is done beside or instead of `schedule_task_id`, and how much of it at once."""

    schedule_function: Callable[..., Any] | None
    """Instead of a task: a function that is called here, or in the service task; the trigger needs a `name` then."""
    chain: Sequence[Mapping[str, Any]] | None
    """Instead: tasks one after another. Each has `step` (a name) and `task`, and may have `queue`, `name`, `project`,
    `parameters`, `overrides`, `tags`, `priority`, `allow_new`, `reuse`; later ones may say `${steps.NAME.id}`."""
    webhook: str | Mapping[str, Any] | None
    """Instead: POST to this URL, or a dict with `url` and `secret`, `body`, `timeout_seconds`."""
    message: str | Mapping[str, Any] | None
    """Instead: tell `mailto:somebody@example.com` or `slack:NAME`, or a dict with `to`, `subject`, `text`."""
    target_project: str | None
    """Of the clone; the reference's where it is not given."""
    add_tag: str | bool | None
    """A tag for the clone; True for the trigger's name, where it has been given one."""
    single_instance: bool
    """Pass over while a task of this trigger is queued or runs."""
    max_active: int | None
    """How many may be at work at once."""
    when_busy: str
    """Beyond `max_active`: `skip`, `queue` (wait) or `replace` (stop those that run)."""
    limit_execution_time: float | timedelta | None
    """Its tasks are stopped after so many hours, or after this `timedelta`."""
    reuse_task: bool
    """Reset and run the task itself again instead of a clone."""
    task_parameters: Mapping[str, Any] | None
    """`Section/name` to value; texts may hold templates such as `${dataset.id}`."""
    task_overrides: Mapping[str, Any] | None
    """The same, and `script.commit`, `script.branch`, `container.image`, `queue`, `priority`, `project`, `name`, `tags`
    of the clone."""
    allow_new_parameters: bool
    """Add parameters that the reference does not have instead of refusing them."""
    dry_run: bool
    """Record what would be done, and do nothing."""


class TriggerOptions(ActionOptions, total=False):
    """What triggers take that wait for events."""

    schedule_queue: str | None
    """Where the clone waits: `default` where it is not given."""
    debounce: Length | None
    """Collect events into one firing until none came for so long: seconds, a `timedelta`, or such as `"10m"`."""
    debounce_max: Length | None
    """But no longer than this after the first one."""
    cooldown: Length | None
    """The least time from one launch to the next; events meanwhile are collected."""
    require: Gate | Sequence[Gate] | None
    """Gates: a dict such as `{"min_rows": 1000, "max_psi": 0.2}`, a function that says whether to go on, or both."""
    promote: Mapping[str, Any] | None
    """Champion and challenger: `{"model": …, "metric": "title/series", "alias": "production", "margin": 0.0, "sign":
    "max", "evaluation": "General/EVALUATION_ID"}`. Beside another action it becomes a trigger of its own, called
    `NAME promotion`, on the tasks that this one makes."""


class ScheduleOptions(ActionOptions, total=False):
    """What schedules take."""

    queue: str | None
    """Where the clone waits: `default` where it is not given."""


def keywords(options: type[Any]) -> Callable[[F], F]:
    """Have a method that takes `**options` refuse others, as Python does, and say in `help` and notebooks which.

    Args:
        options: the `TypedDict` of its keywords.
    """
    extra = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in options.__annotations__]

    def named(method: F) -> F:
        signature = inspect.signature(method)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        known = {*options.__annotations__, *(each.name for each in own)}

        @functools.wraps(method)
        def checked(*arguments: Any, **given: Any) -> Any:  # noqa: ANN401  those of the method
            for name in given:
                if name not in known:
                    meant = near(name, known=sorted(known - {"self"}))
                    raise TypeError(f"{method.__name__}() got an unexpected keyword argument {name!r}. {meant}")
            return method(*arguments, **given)

        checked.__signature__ = signature.replace(parameters=[*own, *extra])  # type: ignore[attr-defined]
        return cast("F", checked)

    return named
