"""Firings as a server would hand them to a scheduler, for tests."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.records.action import FunctionAction
from orchestrator.records.condition import DatasetCondition
from orchestrator.records.event import Event, EventType
from orchestrator.records.firing import Firing
from orchestrator.records.trigger import Trigger
from orchestrator.wire import FiringWork
from triggers.performing import Hold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.records.action import Action
    from orchestrator.records.condition import Condition
    from orchestrator.records.gate import Gates

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FIRING = "f" * 32
DATASET = "d" * 32


def make_event(
    number: int = 1,
    *,
    type: EventType = EventType.DATASET_TAGGED,  # noqa: A002  the event's own word
    subject: str = DATASET,
    **data: Any,  # noqa: ANN401  JSON is any
) -> Event:
    """Return an event, of a dataset version unless something else is said."""
    facts = {"name": "sensors", "version": "1.0.0", "tags": ["Production"], "added": ["Production"]}
    return Event(id=number, at=NOW, type=type, subject=subject, project="occupancy", actor="a" * 32, data=facts | data)


def make_trigger(number: int = 1, **fields: Any) -> Trigger:  # noqa: ANN401  any field of a trigger
    """Return a trigger that calls a function when a version is tagged `Production`, unless something else is said."""
    values = {
        "id": f"{number:032x}",
        "name": f"trigger {number}",
        "condition": DatasetCondition(on_tags=("Production",)),
        "action": FunctionAction(function="note"),
        "starts_after": 0,
        "created_at": NOW,
        "created_by": "a" * 32,
        "changed_at": NOW,
    }
    return Trigger.model_validate(values | fields)


def make_work(  # noqa: PLR0913  a firing is made of many parts
    action: Action | None = None,
    *,
    events: Sequence[Event] | None = None,
    condition: Condition | None = None,
    gates: Gates | None = None,
    values: Mapping[str, str] | None = None,
    occurrence_at: datetime | None = None,
) -> FiringWork:
    """Return a piece of work: an action that is to be performed, or gates where some are given."""
    events = (make_event(),) if events is None else tuple(events)
    trigger = make_trigger(
        name="nightly",
        condition=condition or DatasetCondition(on_tags=("Production",)),
        action=action or FunctionAction(function="note"),
        gates=gates,
    )
    firing = Firing(
        id=FIRING,
        trigger_id=trigger.id,
        revision=1,
        event_key="1",
        events=tuple(event.id for event in events),
        occurrence_at=occurrence_at,
        claimed_by="this one",
        claimed_until=NOW + timedelta(seconds=60),
        created_at=NOW,
        changed_at=NOW,
    )
    return FiringWork(
        kind="action" if gates is None else "gates",
        firing=firing,
        trigger=trigger,
        events=events,
        values=dict(values or {}),
    )


def make_hold(
    work: FiringWork, *, is_closing: threading.Event | None = None, monotonic: Callable[[], float] = time.monotonic
) -> Hold:
    """Return a piece of work in hand."""
    return Hold(work, now=NOW, is_closing=is_closing or threading.Event(), monotonic=monotonic)
