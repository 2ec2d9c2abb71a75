"""What a trigger made of an event: its firing where there is one, else the one reason why there is none, from the log.

Only events of a trigger's own subject, that it matched, have rows. Of all others it is computed anew what the trigger
was at that time, and whether the event matched it, with the code with which schedulers match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.event import EventType
from orchestrator.records.firing import FiringStatus
from orchestrator.records.trigger import TriggerState
from orchestrator.services.event_history import place_of_schedulers
from orchestrator.wire import EventVerdict
from triggers.conditions import event_types, matches

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.event import Event
    from orchestrator.records.firing import Firing
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction

_SWITCHES = (EventType.TRIGGER_PAUSED, EventType.TRIGGER_RESUMED, EventType.TRIGGER_REMOVED)


_CAME_TO_NOTHING = frozenset({FiringStatus.SKIPPED, FiringStatus.BLOCKED})


class Verdicts:
    """Says why triggers fired on events, or why not; what several answers need is read once.

    Args:
        transaction: reads.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._firings: dict[int, dict[Id, Firing]] = {}
        self._places: dict[str, int] = {}

    def of(self, trigger: Trigger, *, event: Event) -> EventVerdict:
        """Return what a trigger made of an event.

        Args:
            trigger: as it is now; it may have been removed.
            event: any event.
        """
        firing = self._firing(trigger, event=event)
        told = self._reason(trigger, event=event) if firing is None else self._told(firing, event=event)
        return EventVerdict(
            event=event.id,
            type=event.type,
            subject=event.subject,
            at=event.at,
            trigger_id=trigger.id,
            trigger=trigger.name,
            fired=firing is not None and firing.status not in _CAME_TO_NOTHING,
            status=None if firing is None else firing.status,
            firing_id=None if firing is None else firing.id,
            task_id=None if firing is None else firing.task_id,
            reason=told,
        )

    def waited_for(self, trigger: Trigger, *, event: Event) -> bool:
        """Tell whether a trigger fired on an event, or looked at events of its type when it happened."""
        return (
            event.type in event_types(self._then(trigger, event=event).condition)
            or self._firing(trigger, event=event) is not None
        )

    def _firing(self, trigger: Trigger, *, event: Event) -> Firing | None:
        if event.id not in self._firings:
            found = self._transaction.firings.with_event(str(event.id))
            self._firings[event.id] = {firing.trigger_id: firing for firing in found}
        return self._firings[event.id].get(trigger.id)

    def _told(self, firing: Firing, *, event: Event) -> str:
        if firing.reason is not None:
            return firing.reason
        return matches(self._revision(firing.trigger_id, firing.revision).condition, event).reason

    def _reason(self, trigger: Trigger, *, event: Event) -> str:  # noqa: PLR0911  a reason a line
        if event.id <= trigger.starts_after:
            return "It was registered later, and acts on what happened from then on."
        switched = self._last(trigger, event=event, types=_SWITCHES)
        if switched is EventType.TRIGGER_REMOVED:
            return "It had been removed."
        verdict = matches(self._then(trigger, event=event).condition, event)
        if not verdict.matched:
            return verdict.reason
        if switched is EventType.TRIGGER_PAUSED:
            return "It was paused."
        if trigger.state is TriggerState.REMOVED:
            return "It was removed before a scheduler had acted on the event."
        if self._place(trigger.project) < event.id:
            return "No scheduler has read this event so far."
        return (
            "It matches, and schedulers have read on without acting on it. To have it done:"
            f" retrain trigger backfill {trigger.name!r}"
        )

    def _then(self, trigger: Trigger, *, event: Event) -> Trigger:
        """Return the revision of a trigger that was current when an event happened; the first where there was none."""
        if trigger.revision == 1:
            return trigger
        found = self._transaction.events.recent(
            types=[EventType.TRIGGER_REGISTERED], subject=trigger.id, before=event.id, limit=1
        )
        number = found[0].data["revision"] if found else 1
        return trigger if number == trigger.revision else self._revision(trigger.id, number)

    def _revision(self, trigger_id: Id, number: int) -> Trigger:
        return self._transaction.triggers.revision(trigger_id, number)

    def _last(self, trigger: Trigger, *, event: Event, types: tuple[EventType, ...]) -> EventType | None:
        found = self._transaction.events.recent(types=types, subject=trigger.id, before=event.id, limit=1)
        return found[0].type if found else None

    def _place(self, project: str) -> int:
        """Return how far the schedulers that serve a project have come in the log."""
        if project not in self._places:
            self._places[project] = place_of_schedulers(self._transaction, project=project)
        return self._places[project]
