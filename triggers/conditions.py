"""Does this event match? Pure: the scheduler matches and the server's dry run explains with this same code.

An event is matched on what was true in the event, not on what the record says by the time of polling. A version that
becomes final counts as having been given all its tags in that moment, for tags put on a draft make no event.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.records.base import inside
from orchestrator.records.event import EventType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.records.event import Event
    from orchestrator.records.trigger import DatasetCondition

DATASET_EVENTS = frozenset({EventType.DATASET_FINALIZED, EventType.DATASET_TAGGED})
"""The events that a condition on dataset versions can match."""

TRIGGER_EVENTS = frozenset(
    {
        EventType.TRIGGER_REGISTERED,
        EventType.TRIGGER_PAUSED,
        EventType.TRIGGER_RESUMED,
        EventType.TRIGGER_REMOVED,
    }
)
"""The events after which other triggers hold than before."""


class Verdict(NamedTuple):
    """Whether an event matches, and why or why not, in one sentence for people."""

    matched: bool
    reason: str


def matches(condition: DatasetCondition, event: Event) -> Verdict:
    """Decide whether a trigger with this condition acts on an event.

    Without `on_tags` a version matches when it becomes final. With `on_tags` it matches when its resulting tags hold
    all of them and the event added at least one: whether by tagging or by finalizing a draft that bore them. In both
    cases the project is the condition's or lies below it, the name matches the pattern as a whole, and the resulting
    tags hold all `required_tags`.

    Args:
        condition: what the trigger waits for.
        event: any event; one that is not about a version becoming final or being tagged never matches.
    """
    obstacle = _obstacle(condition, event)
    if obstacle is not None:
        return Verdict(matched=False, reason=obstacle)
    version = f"{event.project}/{event.data['name']}@{event.data['version']}"
    if event.type is EventType.DATASET_FINALIZED:
        return Verdict(matched=True, reason=f"{version} became final{_with_tags(event.data['tags'])}.")
    return Verdict(
        matched=True, reason=f"{version} was tagged {_listed(event.data['added'])}{_with_tags(event.data['tags'])}."
    )


def _obstacle(condition: DatasetCondition, event: Event) -> str | None:
    if event.type not in DATASET_EVENTS:
        return f"{event.type} is not an event that this trigger waits for."
    if not inside(event.project, condition.project):
        return f"Project {event.project} is neither {condition.project} nor below it."
    name = event.data["name"]
    if condition.name is not None and not fnmatchcase(name, condition.name):
        return f"The name {name} does not match {condition.name}."
    return _tag_obstacle(condition, event)


def _tag_obstacle(condition: DatasetCondition, event: Event) -> str | None:
    tags, added = event.data["tags"], event.data["added"]
    if not condition.on_tags and event.type is not EventType.DATASET_FINALIZED:
        return "The trigger waits for versions that become final; this one was tagged."
    missing = [tag for tag in (*condition.on_tags, *condition.required_tags) if tag not in tags]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        return f"Tags are now {_listed(tags)}; {_listed(missing)} {verb} missing."
    if condition.on_tags and not set(condition.on_tags) & set(added):
        return f"The event added {_listed(added)}; none of {_listed(condition.on_tags)} is new."
    return None


def _listed(tags: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(tags)) or "none"


def _with_tags(tags: Iterable[str]) -> str:
    return f"; its tags are {_listed(tags)}" if tags else ""
