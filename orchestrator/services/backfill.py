"""A trigger acts on what happened before it was there, or while nobody looked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest
from orchestrator.records.condition import ScheduleCondition
from orchestrator.records.principal import Permission
from orchestrator.services.fire import facts, take_event
from orchestrator.services.firing_batch import Batch
from orchestrator.services.replay import require_active
from orchestrator.services.triggers import find_trigger
from orchestrator.wire import Backfilled, FiringResult
from triggers.conditions import event_types, matches

if TYPE_CHECKING:
    from orchestrator.records.event import Event
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import Backfill

_STRETCH = 500
"""Events of the trigger's types in its project that are looked at in one request."""


class _OnlyPlannedError(Exception):
    """Undoes what was done to see what it comes to."""

    def __init__(self, results: list[FiringResult]) -> None:
        super().__init__()
        self.results = results


def backfill(transaction: Transaction, actor: Principal, *, key: str, body: Backfill, settings: Settings) -> Backfilled:
    """Have a trigger act on a stretch of the log, as if a scheduler had told it of each event that matches it now.

    Windows, limits and gates hold as ever; what it has a firing for is a duplicate, so that nothing is done twice.

    Raises:
        NotFound: there is no such trigger.
        Forbidden: the actor may not operate in the project that it watches.
        Conflict: it is paused or was removed.
        InvalidRequest: it waits for times, not events.
    """
    found = find_trigger(transaction, actor, key=key)
    actor.require(Permission.OPERATE, found.project)
    trigger = transaction.triggers.get(found.id, lock=True)
    require_active(trigger)
    if isinstance(trigger.condition, ScheduleCondition):
        raise InvalidRequest(
            f"Trigger {trigger.name!r} waits for times: no event of the past is for it.",
            hint="catch_up says what becomes of times that passed.",
        )
    events, following = _stretch(transaction, trigger=trigger, body=body)
    matching = [event for event in events if matches(trigger.condition, event).matched]
    results = _act(transaction, actor, trigger=trigger, events=matching, plan=body.plan, settings=settings)
    return Backfilled(results=tuple(results), looked_at=len(events), next=following)


def _stretch(transaction: Transaction, *, trigger: Trigger, body: Backfill) -> tuple[list[Event], int | None]:
    """Return the next events that the trigger looks at, and where to go on, or None at the end."""
    after = body.after
    if after is None:
        first = transaction.events.first_since(body.since) if body.since is not None else 1
        if first is None:
            return [], None
        after = first - 1
    end = transaction.events.first_since(body.until) if body.until is not None else None
    events = transaction.events.after(
        after, limit=_STRETCH, types=sorted(event_types(trigger.condition)), projects_below=trigger.project
    )
    within = [event for event in events if end is None or event.id < end]
    return within, within[-1].id if len(within) == _STRETCH else None


def _act(  # noqa: PLR0913  a request has many parts
    transaction: Transaction,
    actor: Principal,
    *,
    trigger: Trigger,
    events: list[Event],
    plan: bool,
    settings: Settings,
) -> list[FiringResult]:
    def work() -> list[FiringResult]:
        results = _fire(transaction, actor, trigger=trigger, events=events, settings=settings)
        if plan:
            raise _OnlyPlannedError(results)
        return results

    try:
        return transaction.savepoint(work)
    except _OnlyPlannedError as planned:
        # Of what was undone there is nothing to look up.
        gone = {"firing_id": None, "task_id": None}
        return [each if each.outcome == "duplicate" else each.changed(**gone) for each in planned.results]


def _fire(
    transaction: Transaction, actor: Principal, *, trigger: Trigger, events: list[Event], settings: Settings
) -> list[FiringResult]:
    keys = [(trigger.id, str(event.id)) for event in events]
    present = transaction.firings.of_events(keys)
    batch = Batch(transaction, actor, settings=settings)
    told = []
    for key, event in zip(keys, events, strict=True):
        firing = present.get(key) or take_event(batch, trigger=batch.fresh(trigger), event=event)
        told.append((event, firing, "duplicate" if key in present else None))
    batch.wake_schedulers(trigger)
    results = []
    for event, firing, outcome in told:
        became = batch.ended.get(firing.id, firing)
        result = {"trigger_id": trigger.id, "event": event.id, "outcome": outcome or became.status, **facts(became)}
        results.append(FiringResult.model_validate(result))
    return results
