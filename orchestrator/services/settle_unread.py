"""Before a trigger is edited: what happened so far and no scheduler has read yet is judged by what it still says.

So what fires does not depend on when schedulers run. Nothing is launched here: the firings are due, and wait for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.firing import Firing, FiringStatus
from orchestrator.records.trigger import TriggerState
from orchestrator.services.event_history import EventHistory, place_of_schedulers
from orchestrator.services.ids import new_id
from orchestrator.services.windows import COLLECTING, collects, join, window_end
from triggers.conditions import event_types, matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.records.event import Event
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction

_AT_ONCE = 500


def settle_unread(transaction: Transaction, *, trigger: Trigger, until: int) -> None:
    """Keep a firing for every event that matches, that no scheduler has acted on, and that is the trigger's to act on.

    A trigger that collects has one for all of them.

    Args:
        transaction: one that has the trigger's row locked.
        trigger: as it is before the edit.
        until: id of the last event that is judged by it.
    """
    history = EventHistory(transaction)
    collected = []
    for event in _unread(transaction, trigger=trigger, until=until):
        if not matches(trigger.condition, event).matched:
            continue
        if trigger.state is TriggerState.PAUSED or history.was_paused(trigger, at=event):
            _keep(transaction, trigger, event, status=FiringStatus.SKIPPED, reason="paused")
        elif trigger.id in history.chain_to(event):
            reason = "loop: a task that this trigger had started caused the event"
            _keep(transaction, trigger, event, status=FiringStatus.SKIPPED, reason=reason)
        elif collects(trigger):
            collected.append(event)
        else:
            reason = "it matched before the trigger was edited"
            _keep(transaction, trigger, event, status=FiringStatus.DUE, reason=reason)
    if collected:
        _collect(transaction, trigger, collected)


def _collect(transaction: Transaction, trigger: Trigger, events: Sequence[Event]) -> None:
    """Put events into the trigger's window, which is opened where there is none."""
    now = transaction.now()
    for place, first in enumerate(events):
        present = transaction.firings.collecting(trigger.id)
        if present is None:
            ends = window_end(transaction, trigger=trigger, now=now, opened=now) or now
            fields = {"status": FiringStatus.COLLECTING, "reason": COLLECTING, "due_at": ends}
            if not _keep(transaction, trigger, first, **fields):
                continue  # a scheduler has acted on it
            present = transaction.firings.collecting(trigger.id)
        if present is not None:
            join(transaction, present, trigger=trigger, events=events[place:])
            return


def _keep(transaction: Transaction, trigger: Trigger, event: Event, **fields: object) -> bool:
    """Keep a firing, unless there is one: what a scheduler has acted on stays as it is."""
    now = transaction.now()
    made = {
        "id": new_id(),
        "trigger_id": trigger.id,
        "revision": trigger.revision,
        "event_key": str(event.id),
        "events": (event.id,),
        "created_at": now,
        "changed_at": now,
    }
    return transaction.firings.add(Firing.model_validate(made | fields))


def _unread(transaction: Transaction, *, trigger: Trigger, until: int) -> Iterator[Event]:
    types = tuple(event_types(trigger.condition))
    after = max(place_of_schedulers(transaction, project=trigger.project), trigger.revised_after)
    while types and after < until:
        events = transaction.events.after(after, limit=_AT_ONCE, types=types, projects_below=trigger.project)
        yield from (event for event in events if event.id <= until)
        after = events[-1].id if len(events) == _AT_ONCE else until
