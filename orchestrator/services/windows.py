"""Windows: how long a trigger collects events before it goes on with all of them at once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.records.firing import FiringStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.records.event import Event
    from orchestrator.records.firing import Firing
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction

COLLECTING = "its window is open"
"""The reason of a firing that collects."""
_LOOKED_AGAIN = timedelta(seconds=10)
"""At most so long after the firing before it has launched, one that waits for that goes on."""
_NEWEST = 20


def collects(trigger: Trigger) -> bool:
    """Tell whether a trigger has windows at all."""
    return trigger.debounce_seconds is not None or trigger.cooldown_seconds is not None


def window_end(transaction: Transaction, *, trigger: Trigger, now: datetime, opened: datetime) -> datetime | None:
    """Return when a window closes into which an event falls now, or None where the event need not wait.

    Args:
        transaction: one that has the trigger's row locked.
        trigger: says for how long it collects, and when it launched last.
        now: when the event falls into it.
        opened: when the first one did.
    """
    ends = []
    if trigger.debounce_seconds is not None:
        quiet = now + timedelta(seconds=trigger.debounce_seconds)
        most = trigger.debounce_max_seconds
        ends.append(quiet if most is None else min(quiet, opened + timedelta(seconds=most)))
    if (cool := cool_again_at(transaction, trigger=trigger, now=now)) is not None:
        ends.append(cool)
    return max(ends, default=None)


def cool_again_at(transaction: Transaction, *, trigger: Trigger, now: datetime) -> datetime | None:
    """Return until when a trigger's cooldown keeps it from another launch, or None where it does not.

    The cooldown counts from a launch. As long as a firing is on its way to one, nobody knows from when: it is looked at
    again soon, and no other firing is let through meanwhile.
    """
    if trigger.cooldown_seconds is None:
        return None
    cooldown = timedelta(seconds=trigger.cooldown_seconds)
    if trigger.last_launch_at is not None and trigger.last_launch_at + cooldown > now:
        return trigger.last_launch_at + cooldown
    return now + min(cooldown, _LOOKED_AGAIN) if _is_on_its_way(transaction, trigger=trigger) else None


def _is_on_its_way(transaction: Transaction, *, trigger: Trigger) -> bool:
    in_line = (FiringStatus.DUE, FiringStatus.GATING)
    if transaction.firings.find(trigger_id=trigger.id, statuses=in_line, limit=1):
        return True
    failed = transaction.firings.find(trigger_id=trigger.id, statuses=(FiringStatus.FAILED,), limit=_NEWEST)
    return any(firing.next_try_at is not None for firing in failed)


def join(transaction: Transaction, present: Firing, *, trigger: Trigger, events: Sequence[Event]) -> Firing:
    """Put events into an open window; those that it has already, or another firing has, are left out.

    Args:
        transaction: one that has the trigger's row locked.
        present: the firing that collects.
        trigger: whose it is.
        events: oldest first.
    """
    now = transaction.now()
    new = [event.id for event in events if transaction.firings.join(present, str(event.id))]
    ends = window_end(transaction, trigger=trigger, now=now, opened=present.created_at) or now
    joined = present.changed(events=(*present.events, *new), due_at=ends, changed_at=now)
    transaction.firings.replace(joined, expected=present)
    return joined
