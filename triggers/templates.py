"""`${dataset.id}` and its like, anywhere inside any string. Pure: names are checked when a trigger is registered.

`$$` stands for one `$`; a `$` before anything else stands for itself. Which names there are depends on what the trigger
waits for, and in a chain on the steps before. Names of metrics, parameters, artifacts and models are checked for their
shape alone, since nobody knows yet what a task will have made: one that it has not made fails the firing, which says
so.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from orchestrator.errors import InvalidRequest, UnknownTemplateName
from orchestrator.records.condition import ScheduleCondition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from orchestrator.records.base import Id
    from orchestrator.records.condition import Condition
    from orchestrator.records.event import Event
    from orchestrator.records.trigger import Trigger

_ALWAYS = ("trigger.name", "trigger.id", "firing.id")
_OF_EVENTS = ("event.id", "event.time", "event.type", "events.count", "events.ids")
_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "dataset": (
        "dataset.id",
        "dataset.name",
        "dataset.project",
        "dataset.version",
        "dataset.tags",
        "dataset.file_count",
        "dataset.size_bytes",
        "datasets.ids",
        "datasets.versions",
        "datasets.count",
    ),
    "task": ("task.id", "task.name", "task.project", "task.status", "task.tags", "tasks.ids", "tasks.count"),
    "model": (
        "model.id",
        "model.name",
        "model.project",
        "model.version",
        "model.tags",
        "model.alias",
        "model.task_id",
        "models.ids",
    ),
    "firing": ("cause.trigger", "cause.firing", "cause.status", "cause.reason", "cause.checks"),
    "schedule": ("schedule.time", "schedule.date"),
}
_WAITED_FOR = {
    "dataset": "dataset versions",
    "task": "tasks",
    "model": "model versions",
    "firing": "firings of other triggers",
    "schedule": "times",
}
_STEP = ("id", "name", "status", "attempt")
_ARTIFACT = ("url", "digest", "filename", "size_bytes")
_MODEL = ("id", "version", "url")

_PIECE = re.compile(r"\$(?:\$|\{(?P<name>[^}]*)(?P<end>\}?))")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_SHOWN = 30
"""Most names that a hint lists."""
_LONGEST = 1000
"""A name of more characters names nothing: what is typed in a template may be of any length."""


class _Pattern(NamedTuple):
    """Names of which a part is known only when the trigger fires."""

    shown: str
    """As people read it: `task.metrics.<title>.<series>`."""
    shape: re.Pattern[str]


def _patterns_of_task(prefix: str) -> tuple[_Pattern, ...]:
    start = re.escape(prefix)
    return (
        _Pattern(
            f"{prefix}.metrics.<title>.<series>[.min|.max|.last]", re.compile(rf"{start}\.metrics\.[^.].*\..*[^.]")
        ),
        _Pattern(f"{prefix}.parameters.<Section/name>", re.compile(rf"{start}\.parameters\.[^/]+/.+")),
    )


def _patterns_of_step(step: str) -> tuple[_Pattern, ...]:
    prefix = f"steps.{step}"
    start = re.escape(prefix)
    return (
        _Pattern(
            f"{prefix}.artifacts.<name>.{{{','.join(_ARTIFACT)}}}",
            re.compile(rf"{start}\.artifacts\..+\.({'|'.join(_ARTIFACT)})"),
        ),
        _Pattern(
            f"{prefix}.models.<name|latest>.{{{','.join(_MODEL)}}}",
            re.compile(rf"{start}\.models\..+\.({'|'.join(_MODEL)})"),
        ),
        *_patterns_of_task(prefix),
    )


@dataclass(frozen=True)
class Scope:
    """Which names there are.

    Args:
        kind: of the trigger's condition.
        steps: of a chain: the steps before, in order.
    """

    kind: Literal["dataset", "task", "model", "firing", "schedule"]
    steps: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are known as a whole."""
        of_events = () if self.kind == "schedule" else _OF_EVENTS
        of_steps = tuple(f"steps.{step}.{part}" for step in self.steps for part in _STEP)
        return (*_OF_KIND[self.kind], *of_steps, *of_events, *_ALWAYS)

    @property
    def patterns(self) -> tuple[_Pattern, ...]:
        """The names that are known by their shape."""
        of_task = _patterns_of_task("task") if self.kind == "task" else ()
        return (*of_task, *(pattern for step in self.steps for pattern in _patterns_of_step(step)))

    def __contains__(self, name: str) -> bool:
        if len(name) > _LONGEST:
            return False
        return name in self.names or any(pattern.shape.fullmatch(name) for pattern in self.patterns)


def scope_of(condition: Condition, steps: Sequence[str] = ()) -> Scope:
    """Return which names a template of a trigger may hold.

    Args:
        condition: what the trigger waits for.
        steps: of a step of a chain: the names of those before it.
    """
    return Scope(kind=condition.kind, steps=tuple(steps))


def names(text: str) -> list[str]:
    """Return the names in a template in the order in which they appear, unknown ones too."""
    return [piece["name"] for piece in _PIECE.finditer(text) if piece["name"] is not None]


def check(text: str, *, scope: Scope) -> None:
    """Make sure that a template can be filled when its trigger fires.

    Raises:
        UnknownTemplateName: it names something that does not exist, or a `${` has no `}`; the hint lists the names
            that come near and all that exist.
    """
    for piece in _PIECE.finditer(text):
        if _name_of(piece) is not None and piece["name"] not in scope:
            name = piece["name"][:_LONGEST]
            raise UnknownTemplateName(f"${{{name}}} names nothing.", hint=_hint(name, scope=scope))


def check_line(text: str, *, scope: Scope) -> None:
    """Make sure that a template can be filled and is one line itself, as a name or a tag must be.

    The values of events are lines; a parameter's may be several, and then the firing fails.

    Raises:
        UnknownTemplateName: see `check`.
        InvalidRequest: it holds a line break or another control character.
    """
    check(text, scope=scope)
    if _CONTROL.search(text):
        raise InvalidRequest(f"{text!r} holds a control character.", hint="Write one line of plain text.")


def refuse(text: str, *, field: str) -> None:
    """Make sure that a text that is never filled looks like no template.

    Raises:
        InvalidRequest: it holds `${`.
    """
    if "${" in text:
        raise InvalidRequest(
            f"The {field} {text!r} holds a template, which is not filled there.",
            hint="Names, tags and parameters may hold templates.",
        )


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return the text with every `${name}` replaced by its value and every `$$` by `$`. Values are taken literally.

    Args:
        text: the template.
        values: name to value, as `values_of` makes them.

    Raises:
        UnknownTemplateName: the template names something that has no value here.
    """

    def value(piece: re.Match[str]) -> str:
        name = _name_of(piece)
        if name is None:
            return "$"
        if name not in values:
            raise UnknownTemplateName(f"${{{name}}} has no value here.", hint=_hint_of_values(name, values=values))
        return values[name]

    return _PIECE.sub(value, text)


def values_of(
    events: Sequence[Event], *, trigger: Trigger, firing_id: Id, occurrence_at: datetime | None
) -> dict[str, str]:
    """Return what the names of a trigger's scope stand for, as far as its events tell.

    What events do not tell (parameters, what steps have made) is for the caller to add. Names in the singular are of
    the newest event; those in the plural of all, in their order, each subject once. What an event of an older release
    does not tell is empty.

    Args:
        events: all that were collected, oldest first; none of a schedule.
        trigger: the revision that fires.
        firing_id: its firing.
        occurrence_at: of a schedule: the time that it stands for.
    """
    values = {"trigger.name": trigger.name, "trigger.id": trigger.id, "firing.id": firing_id}
    condition = trigger.condition
    if isinstance(condition, ScheduleCondition):
        if occurrence_at is not None:
            values["schedule.time"] = _moment(occurrence_at)
            values["schedule.date"] = occurrence_at.astimezone(ZoneInfo(condition.timezone)).date().isoformat()
        return values
    if events:
        newest = events[-1]
        values |= {
            "event.id": str(newest.id),
            "event.time": _moment(newest.at),
            "event.type": newest.type,
            "events.count": str(len(events)),
            "events.ids": ",".join(str(event.id) for event in events),
        }
        values |= _VALUES[condition.kind](newest, {event.subject: event for event in events})
    return values


def _values_of_datasets(newest: Event, subjects: Mapping[Id, Event]) -> dict[str, str]:
    return {
        **_subject("dataset", newest, "version", "file_count", "size_bytes"),
        "datasets.ids": ",".join(subjects),
        "datasets.versions": ",".join(_text(event.data.get("version")) for event in subjects.values()),
        "datasets.count": str(len(subjects)),
    }


def _values_of_tasks(newest: Event, subjects: Mapping[Id, Event]) -> dict[str, str]:
    return {
        **_metrics(newest.data),
        **_subject("task", newest, "status"),
        "tasks.ids": ",".join(subjects),
        "tasks.count": str(len(subjects)),
    }


def _values_of_models(newest: Event, subjects: Mapping[Id, Event]) -> dict[str, str]:
    return {**_subject("model", newest, "version", "alias", "task_id"), "models.ids": ",".join(subjects)}


def _values_of_firings(newest: Event, subjects: Mapping[Id, Event]) -> dict[str, str]:
    del subjects
    checks = newest.data.get("gate") or ()
    return {
        "cause.trigger": _text(newest.data.get("name")),
        "cause.firing": _text(newest.data.get("firing")),
        "cause.status": _text(newest.data.get("status")),
        "cause.reason": _text(newest.data.get("reason")),
        "cause.checks": " ".join(_text(check.get("reason")) for check in checks if isinstance(check, dict)),
    }


_VALUES: Mapping[str, Callable[[Event, Mapping[Id, Event]], dict[str, str]]] = {
    "dataset": _values_of_datasets,
    "task": _values_of_tasks,
    "model": _values_of_models,
    "firing": _values_of_firings,
}


def _subject(word: str, event: Event, *parts: str) -> dict[str, str]:
    tags = event.data.get("tags")
    return {
        f"{word}.id": event.subject,
        f"{word}.project": event.project,
        f"{word}.tags": ",".join(map(_text, tags)) if isinstance(tags, list | tuple) else "",
        **{f"{word}.{part}": _text(event.data.get(part)) for part in ("name", *parts)},
    }


def _metrics(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the numbers of an event of a task: of its series when it ended, or of the value that crossed a bound."""
    values: dict[str, str] = {}
    told = data.get("metrics")
    for title, series in told.items() if isinstance(told, dict) else ():
        for name, numbers in series.items():
            values |= {
                f"task.metrics.{title}.{name}.{part}": _text(value)
                for part, value in numbers.items()
                if value is not None
            }
            if numbers.get("last") is not None:
                values[f"task.metrics.{title}.{name}"] = _text(numbers["last"])
    if "title" in data and "series" in data and "value" in data:
        name = f"task.metrics.{data['title']}.{data['series']}"
        values[name] = values[f"{name}.last"] = _text(data["value"])
    return values


def _text(value: Any) -> str:  # noqa: ANN401  JSON is any
    """Return a value of an event as one line."""
    return "" if value is None else _CONTROL.sub(" ", str(value))


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _name_of(piece: re.Match[str]) -> str | None:
    """Return the name in a piece of a template; None for a doubled dollar sign.

    Raises:
        UnknownTemplateName: its brace is not closed.
    """
    if piece["name"] is not None and not piece["end"]:
        raise UnknownTemplateName(
            f"{piece[0]!r} has no closing brace.", hint="Write ${dataset.id}, or $$ for a dollar sign."
        )
    return piece["name"]


def _hint(name: str, *, scope: Scope) -> str:
    first = name.split(".", 1)[0]
    known = ", ".join((*scope.names, *(pattern.shown for pattern in scope.patterns)))
    listed = f"Known are {known}; $$ stands for a dollar sign."
    for kind, of_kind in _OF_KIND.items():
        if kind != scope.kind and first in {each.split(".", 1)[0] for each in of_kind}:
            waits = f"This trigger waits for {_WAITED_FOR[scope.kind]}"
            return f"{waits}, and {first} is of those that wait for {_WAITED_FOR[kind]}. {listed}"
    if first == "steps":
        earlier = f"The steps before are {', '.join(scope.steps)}." if scope.steps else "There is no step before."
        return f"{_did_you_mean(name, known=(*_steps_like(name, scope=scope), *scope.names))}{earlier} {listed}"
    return _did_you_mean(name, known=scope.names) + listed


def _steps_like(name: str, *, scope: Scope) -> list[str]:
    """Return names of earlier steps that have the parts of this one that nobody can know."""
    parts = name.split(".")
    noun, middle = (parts[2], ".".join(parts[3:-1])) if len(parts) > 4 else ("", "")  # noqa: PLR2004  steps.S.noun.X.leaf
    leaves = {"artifacts": _ARTIFACT, "models": _MODEL}.get(noun, ())
    rest = ".".join(parts[2:])
    same = [f"steps.{step}.{rest}" for step in scope.steps]
    return [
        *(each for each in same if each in scope),
        *(f"steps.{step}.{noun}.{middle}.{leaf}" for step in scope.steps for leaf in leaves),
    ]


def _hint_of_values(name: str, *, values: Mapping[str, str]) -> str:
    first = name.split(".", 1)[0]
    alike = [each for each in values if each.split(".", 1)[0] == first] or list(values)
    near = difflib.get_close_matches(name, alike, n=_SHOWN, cutoff=0.3)
    shown = near if len(alike) > _SHOWN else alike
    return f"{_did_you_mean(name, known=alike)}There are {', '.join(shown) or 'none'}; $$ stands for a dollar sign."


def _did_you_mean(name: str, *, known: Sequence[str]) -> str:
    near = [f"${{{match}}}" for match in difflib.get_close_matches(name, known, n=3)]
    return f"Did you mean {' or '.join(near)}? " if near else ""
