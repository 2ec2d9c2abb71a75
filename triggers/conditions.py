"""Does this event match? Pure: the scheduler matches, and the server checks and explains, with this same code.

An event is matched on what was true in the event, not on what the record says by the time of polling. A dataset version
that becomes final, and a model version that is registered, count as having been given all their tags in that moment,
for what was put on them before made no event.

Events of older releases may lack parts of what is asked here; they do not match, and the reason says so.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.records.base import inside
from orchestrator.records.condition import (
    DatasetCondition,
    FiringCondition,
    ModelCondition,
    ScheduleCondition,
    TaskCondition,
)
from orchestrator.records.event import EventType
from orchestrator.records.lifecycle import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.records.condition import Condition, MetricBound
    from orchestrator.records.event import Event

TRIGGER_EVENTS = frozenset(
    {
        EventType.TRIGGER_REGISTERED,
        EventType.TRIGGER_PAUSED,
        EventType.TRIGGER_RESUMED,
        EventType.TRIGGER_REMOVED,
    }
)
"""The events after which other triggers hold than before."""

ENDED_TASKS = frozenset({EventType.TASK_COMPLETED, EventType.TASK_FAILED, EventType.TASK_STOPPED})
"""The events after which a chain goes on, and whoever waits for a trigger's tasks gets a turn."""

STATUS_EVENTS: Mapping[Status, frozenset[EventType]] = {
    Status.CREATED: frozenset({EventType.TASK_CREATED, EventType.TASK_DEQUEUED}),
    Status.QUEUED: frozenset({EventType.TASK_QUEUED}),
    Status.IN_PROGRESS: frozenset({EventType.TASK_STARTED}),
    Status.COMPLETED: frozenset({EventType.TASK_COMPLETED}),
    Status.FAILED: frozenset({EventType.TASK_FAILED}),
    Status.STOPPED: frozenset({EventType.TASK_STOPPED}),
    Status.PUBLISHED: frozenset({EventType.TASK_PUBLISHED}),
}
"""The events that tell of a task coming to have each status."""

_FIRING_EVENTS = {
    "launched": EventType.TRIGGER_FIRED,
    "blocked": EventType.TRIGGER_BLOCKED,
    "failed": EventType.TRIGGER_FAILED,
}

_TAGGED = frozenset({EventType.DATASET_TAGGED, EventType.TASK_TAGGED, EventType.MODEL_TAGGED})
_BORN = frozenset({EventType.DATASET_FINALIZED, EventType.MODEL_REGISTERED})
"""The events with which all tags that the subject has are new."""

MATCHED = (
    frozenset().union(*STATUS_EVENTS.values(), _FIRING_EVENTS.values(), _TAGGED, _BORN)
    | {EventType.DATASET_PUBLISHED, EventType.DATASET_ARCHIVED}
    | {EventType.TASK_ARCHIVED, EventType.TASK_METRIC_CROSSED}
    | {EventType.MODEL_PUBLISHED, EventType.MODEL_ARCHIVED, EventType.MODEL_PROMOTED}
)
"""Every event that some condition can match."""

_HAPPENED = {
    EventType.DATASET_FINALIZED: "became final",
    EventType.DATASET_PUBLISHED: "was published",
    EventType.DATASET_ARCHIVED: "was put into the archive",
    EventType.TASK_CREATED: "was created",
    EventType.TASK_DEQUEUED: "was taken out of its queue",
    EventType.TASK_QUEUED: "was queued",
    EventType.TASK_STARTED: "was started",
    EventType.TASK_COMPLETED: "completed",
    EventType.TASK_FAILED: "failed",
    EventType.TASK_STOPPED: "was stopped",
    EventType.TASK_PUBLISHED: "was published",
    EventType.TASK_ARCHIVED: "was put into the archive",
    EventType.MODEL_REGISTERED: "was registered",
    EventType.MODEL_PUBLISHED: "was published",
    EventType.MODEL_ARCHIVED: "was put into the archive",
    EventType.TRIGGER_FIRED: "fired",
    EventType.TRIGGER_BLOCKED: "was blocked",
    EventType.TRIGGER_FAILED: "failed to fire",
}

_NOT_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})
"""How JSON tells of numbers that it does not have."""


class Verdict(NamedTuple):
    """Whether an event matches, and why or why not, in one sentence for people."""

    matched: bool
    reason: str


def event_types(condition: Condition) -> frozenset[EventType]:
    """Return the types of the events that a condition can match; none for a schedule."""
    match condition:
        case DatasetCondition():
            types = _shared_types(condition)
            return types if types and not condition.on_finalize else types | {EventType.DATASET_FINALIZED}
        case TaskCondition():
            types = _shared_types(condition).union(*(STATUS_EVENTS[status] for status in condition.on_status))
            if types:
                return types
            return frozenset({EventType.TASK_METRIC_CROSSED if condition.metric else EventType.TASK_COMPLETED})
        case ModelCondition():
            types = _shared_types(condition)
            if condition.on_aliases:
                types |= {EventType.MODEL_PROMOTED}
            return types if types and not condition.on_register else types | {EventType.MODEL_REGISTERED}
        case FiringCondition():
            return frozenset(_FIRING_EVENTS[each] for each in condition.on)
        case ScheduleCondition():
            return frozenset()


def only_by_tags(condition: Condition, event_type: EventType) -> bool:
    """Tell whether an event of this type matches only if it adds one of the condition's `on_tags`."""
    if not isinstance(condition, DatasetCondition | TaskCondition | ModelCondition) or not condition.on_tags:
        return False
    if event_type in _TAGGED:
        return True
    if event_type is EventType.DATASET_FINALIZED:
        return isinstance(condition, DatasetCondition) and not condition.on_finalize
    if event_type is EventType.MODEL_REGISTERED:
        return isinstance(condition, ModelCondition) and not condition.on_register
    return False


def added_tags(event: Event) -> tuple[str, ...]:
    """Return the tags that an event added: all that there are where the subject is new to the world."""
    return _words(event.data, "tags" if event.type in _BORN else "added")


def matches(condition: Condition, event: Event) -> Verdict:
    """Decide whether a trigger with this condition acts on an event.

    What sets it off is what the condition names with `on_…`, any of them; with none of them a dataset version that
    becomes final, a task that completes, a model version that is registered. With `on_tags` the resulting tags hold all
    of them and the event added at least one. Besides, the project is the condition's or lies below it, the name matches
    the pattern as a whole, and `required_tags`, `any_tags` and `excluded_tags` hold of the resulting tags.

    Args:
        condition: what the trigger waits for; a schedule matches no event.
        event: any event.
    """
    obstacle = _obstacle(condition, event)
    if obstacle is not None:
        return Verdict(matched=False, reason=obstacle)
    return Verdict(matched=True, reason=f"{_told(condition, event)}.")


def _shared_types(condition: DatasetCondition | TaskCondition | ModelCondition) -> frozenset[EventType]:
    """Return the types of what every kind of subject can be waited for with."""
    published, archived, tagged = {
        "dataset": (EventType.DATASET_PUBLISHED, EventType.DATASET_ARCHIVED, EventType.DATASET_TAGGED),
        "task": (EventType.TASK_PUBLISHED, EventType.TASK_ARCHIVED, EventType.TASK_TAGGED),
        "model": (EventType.MODEL_PUBLISHED, EventType.MODEL_ARCHIVED, EventType.MODEL_TAGGED),
    }[condition.kind]
    types: set[EventType] = set()
    if condition.on_publish:
        types.add(published)
    if condition.on_archive:
        types.add(archived)
    if condition.on_tags:
        types.add(tagged)
        if isinstance(condition, DatasetCondition):
            types.add(EventType.DATASET_FINALIZED)
        if isinstance(condition, ModelCondition):
            types.add(EventType.MODEL_REGISTERED)
    return frozenset(types)


def _obstacle(condition: Condition, event: Event) -> str | None:
    if isinstance(condition, ScheduleCondition):
        return f"The trigger waits for times, and {event.type} is an event."
    types = event_types(condition)
    if event.type not in types:
        return f"The trigger waits for {' or '.join(sorted(types))}, and this is {event.type}."
    if not inside(event.project, condition.project):
        return f"Project {event.project or '(none)'} is neither {condition.project} nor below it."
    if isinstance(condition, FiringCondition):
        return _name_obstacle(condition.trigger, event) or _firing_obstacle(event)
    return _name_obstacle(condition.name, event) or _tag_obstacle(condition, event) or _own_obstacle(condition, event)


def _name_obstacle(pattern: str | None, event: Event) -> str | None:
    if pattern is None:
        return None
    name = event.data.get("name")
    if not isinstance(name, str):
        return _lacks("name")
    return None if fnmatchcase(name, pattern) else f"The name {name} does not match {pattern}."


def _firing_obstacle(event: Event) -> str | None:
    kind = event.data.get("condition_kind")
    if kind == "firing":
        return f"Trigger {event.data.get('name')} itself waits for firings, and those are not told of."
    return None if isinstance(kind, str) else _lacks("condition_kind")


def _tag_obstacle(condition: DatasetCondition | TaskCondition | ModelCondition, event: Event) -> str | None:
    on_tags = condition.on_tags if only_by_tags(condition, event.type) else ()
    if not (on_tags or condition.required_tags or condition.any_tags or condition.excluded_tags):
        return None
    if "tags" not in event.data:
        return _lacks("tags")
    tags, added = _words(event.data, "tags"), added_tags(event)
    now = f"Tags are now {_listed(tags)}"
    reason = None
    if missing := dict.fromkeys(tag for tag in (*on_tags, *condition.required_tags) if tag not in tags):
        reason = f"{now}; {_listed(missing)} {'is' if len(missing) == 1 else 'are'} missing."
    elif on_tags and not set(on_tags) & set(added):
        reason = f"The event added {_listed(added)}; none of {_listed(on_tags)} is new."
    elif condition.any_tags and not set(condition.any_tags) & set(tags):
        reason = f"{now}; none of {_listed(condition.any_tags)} is among them."
    elif unwanted := [tag for tag in condition.excluded_tags if tag in tags]:
        reason = f"{now}; {_listed(unwanted)} {'is' if len(unwanted) == 1 else 'are'} excluded."
    return reason


def _own_obstacle(condition: DatasetCondition | TaskCondition | ModelCondition, event: Event) -> str | None:
    if isinstance(condition, TaskCondition):
        return _maker_obstacle(condition, event) or _metric_obstacle(condition, event)
    if isinstance(condition, ModelCondition) and event.type is EventType.MODEL_PROMOTED:
        alias = event.data.get("alias")
        if alias not in condition.on_aliases:
            return f"The alias {alias} moved; the trigger waits for {' or '.join(condition.on_aliases)}."
        if event.data.get("to_version") is None:
            return f"The alias {alias} was taken away, and no version has it now."
    return None


def _maker_obstacle(condition: TaskCondition, event: Event) -> str | None:
    if condition.trigger is not None:
        if "trigger" not in event.data:
            return _lacks("trigger")
        maker = event.data["trigger"]
        if maker != condition.trigger:
            made = "No trigger made the task" if maker is None else f"Trigger {maker} made the task"
            return f"{made}; those of {condition.trigger} are waited for."
    if condition.exclude_by_hand:
        if not isinstance(event.data.get("by_hand"), bool):
            return _lacks("by_hand")
        if event.data["by_hand"]:
            return "The task was run by hand, and such runs are passed over."
    return None


def _metric_obstacle(condition: TaskCondition, event: Event) -> str | None:
    bound = condition.metric
    if bound is None:
        return None
    if event.type is EventType.TASK_METRIC_CROSSED:
        told = tuple(event.data.get(part) for part in ("title", "series", "sign", "threshold"))
        if told != (bound.title, bound.series, bound.sign, bound.threshold):
            crossed = f"{told[0]}/{told[1]} came to be {told[2]} {told[3]}"
            return f"{crossed}; the trigger waits for {bound.title}/{bound.series} {bound.sign} {bound.threshold:g}."
    elif not isinstance(event.data.get("metrics"), dict):
        return _lacks("metrics")
    value = _value(bound, event)
    if value is None:
        return f"The event holds no value of {bound.title}/{bound.series}."
    if not (value > bound.threshold if bound.sign == "above" else value < bound.threshold):
        return f"{bound.title}/{bound.series} is {value:g}, which is not {bound.sign} {bound.threshold:g}."
    return None


def _value(bound: MetricBound, event: Event) -> float | None:
    """Return the number that is held against a bound, where the event has one."""
    if event.type is EventType.TASK_METRIC_CROSSED:
        value = event.data.get("value")
    else:
        numbers = event.data.get("metrics", {})
        for part in (bound.title, bound.series, "last"):
            numbers = numbers.get(part) if isinstance(numbers, dict) else None
        value = numbers
    if isinstance(value, bool) or not (isinstance(value, int | float) or value in _NOT_NUMBERS):
        return None
    return float(value)


def _told(condition: Condition, event: Event) -> str:
    """Return what happened, in a clause."""
    data = event.data
    if isinstance(condition, FiringCondition):
        reason = str(data.get("reason") or "").strip().rstrip(".")
        return f"Trigger {data.get('name')} {_HAPPENED[event.type]}{f': {reason}' if reason else ''}"
    subject = f"{event.project}/{data.get('name')}"
    subject = f"Task {subject}" if isinstance(condition, TaskCondition) else f"{subject}@{data.get('version')}"
    with_tags = f"; its tags are {_listed(tags)}" if (tags := _words(data, "tags")) else ""
    if event.type in _TAGGED:
        return f"{subject} was tagged {_listed(added_tags(event))}{with_tags}" + _with_metric(condition, event)
    if event.type is EventType.MODEL_PROMOTED:
        before = data.get("from_version")
        return f"{subject} got the alias {data.get('alias')}" + (f" from version {before}" if before else "")
    if event.type is EventType.TASK_METRIC_CROSSED:
        return f"{subject} reported a value" + _with_metric(condition, event)
    return f"{subject} {_HAPPENED[event.type]}{with_tags}" + _with_metric(condition, event)


def _with_metric(condition: Condition, event: Event) -> str:
    if not isinstance(condition, TaskCondition) or condition.metric is None:
        return ""
    bound = condition.metric
    return f"; {bound.title}/{bound.series} is {_value(bound, event):g}, {bound.sign} {bound.threshold:g}"


def _lacks(part: str) -> str:
    return f"The event does not say its {part}; those of older releases do not."


def _words(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    words = data.get(key)
    return tuple(words) if isinstance(words, list | tuple) else ()


def _listed(tags: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(tags)) or "none"
