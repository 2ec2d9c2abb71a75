"""Which triggers may act on an event, without asking all of them.

A trigger lies under the type of each event that it can match, its project, a tag or alias that the event must add, and
its name pattern where that is a plain name. An event looks under its own: once for each project above it, each tag that
it added, its name or none. So the cost is that of the triggers that wait for nearly this, wherever others lie.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from orchestrator.records.condition import FiringCondition, ModelCondition, ScheduleCondition
from orchestrator.records.event import EventType
from orchestrator.records.trigger import TriggerState
from triggers.conditions import added_tags, event_types, only_by_tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.records.base import Id
    from orchestrator.records.condition import Condition
    from orchestrator.records.event import Event
    from orchestrator.records.trigger import Trigger

_Key = tuple[EventType, str, str | None, str | None]
"""Type, project, tag or alias, name; None for any."""

_PATTERN = frozenset("*?[")
"""What makes a name a pattern of `fnmatch`."""


class TriggerIndex:
    """Triggers by what they wait for; at most one revision of each."""

    def __init__(self) -> None:
        self._triggers: dict[Id, Trigger] = {}
        self._under: dict[_Key, set[Id]] = {}

    def __len__(self) -> int:
        return len(self._triggers)

    def get(self, trigger_id: Id) -> Trigger | None:
        """Return a trigger as it was put last, or None."""
        return self._triggers.get(trigger_id)

    def put(self, trigger: Trigger) -> None:
        """Take a trigger instead of what was known of it; one that is removed is known no more."""
        self.remove(trigger.id)
        if trigger.state is TriggerState.REMOVED:
            return
        self._triggers[trigger.id] = trigger
        for key in _keys(trigger.condition):
            self._under.setdefault(key, set()).add(trigger.id)

    def remove(self, trigger_id: Id) -> None:
        """Forget a trigger; one that is not known is no error."""
        trigger = self._triggers.pop(trigger_id, None)
        if trigger is None:
            return
        for key in _keys(trigger.condition):
            self._under[key].discard(trigger_id)
            if not self._under[key]:
                del self._under[key]

    def candidates(self, event: Event) -> list[Trigger]:
        """Return all triggers that match an event, and some that do not, in the order of their ids; paused ones too."""
        found: set[Id] = set()
        for key in _looked_under(event):
            found |= self._under.get(key, set())
        return [self._triggers[trigger_id] for trigger_id in sorted(found)]


def _keys(condition: Condition) -> set[_Key]:
    if isinstance(condition, ScheduleCondition):
        return set()
    pattern = condition.trigger if isinstance(condition, FiringCondition) else condition.name
    name = None if pattern is None or _PATTERN & set(pattern) else pattern
    return {
        (event_type, condition.project, word, name)
        for event_type in event_types(condition)
        for word in _words(condition, event_type)
    }


def _words(condition: Condition, event_type: EventType) -> tuple[str | None, ...]:
    """Return the tags or aliases one of which an event must bring; None where it need bring none."""
    if isinstance(condition, ModelCondition) and event_type is EventType.MODEL_PROMOTED:
        return condition.on_aliases
    if only_by_tags(condition, event_type) and not isinstance(condition, FiringCondition | ScheduleCondition):
        return condition.on_tags
    return (None,)


def _looked_under(event: Event) -> Iterator[_Key]:
    brought = (event.data.get("alias"),) if event.type is EventType.MODEL_PROMOTED else added_tags(event)
    words = {None, *(word for word in brought if isinstance(word, str))}
    name = event.data.get("name")
    names = {None, name if isinstance(name, str) else None}
    return ((event.type, *key) for key in product(_upwards(event.project), words, names))


def _upwards(project: str) -> list[str]:
    """Return a project and all above it, the one of all projects at last."""
    parts = project.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)] + ([""] if project else [])
