"""Before a trigger is edited: what happened so far and no scheduler has read yet is judged by what it still says.

So what fires does not depend on when schedulers run. Nothing is launched here: the firings are due, and wait for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.firing import Firing, FiringStatus
from orchestrator.records.trigger import TriggerState
from orchestrator.services.event_history import EventHistory, place_of_schedulers
from orchestrator.services.ids import new_id
from triggers.conditions import event_types, matches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.records.event import Event
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction

_AT_ONCE = 500


def settle_unread(transaction: Transaction, *, trigger: Trigger) -> None:
    """Keep a firing for every event that matches, that no scheduler has acted on, and that is the trigger's to act on.

    Args:
        transaction: one that has the trigger's row locked.
        trigger: as it is before the edit.
    """
    history = EventHistory(transaction)
    for event in _unread(transaction, trigger=trigger):
        if not matches(trigger.condition, event).matched:
            continue
        status, reason = FiringStatus.DUE, "it matched before the trigger was edited"
        if trigger.state is TriggerState.PAUSED or history.was_paused(trigger, at=event):
            status, reason = FiringStatus.SKIPPED, "paused"
        elif trigger.id in history.chain_to(event):
            status, reason = FiringStatus.SKIPPED, "loop: a task that this trigger had started caused the event"
        now = transaction.now()
        # One that a scheduler has acted on is there already, and stays as it is.
        transaction.firings.add(
            Firing(
                id=new_id(),
                trigger_id=trigger.id,
                revision=trigger.revision,
                event_key=str(event.id),
                events=(event.id,),
                status=status,
                reason=reason,
                created_at=now,
                changed_at=now,
            )
        )


def _unread(transaction: Transaction, *, trigger: Trigger) -> Iterator[Event]:
    types = tuple(event_types(trigger.condition))
    after = max(place_of_schedulers(transaction, project=trigger.project), trigger.revised_after)
    while types and (
        events := transaction.events.after(after, limit=_AT_ONCE, types=types, projects_below=trigger.project)
    ):
        yield from events
        after = events[-1].id
