"""A trigger acts on an event: exactly once, however often and by however many schedulers it is told to.

The firing's row is unique by trigger and event; it, the clone, its place in the queue and the events are one savepoint.
A launch that fails leaves a firing that says why and is tried again; the next match is not disturbed.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.errors import NotFound, OrchestratorError
from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import Firing, FiringStatus, TriggerState, move_firing
from orchestrator.services.announce import announce_trigger
from orchestrator.services.create_task import chain_of
from orchestrator.services.ids import new_id
from orchestrator.services.launch import launch
from orchestrator.wire import FiringResult
from triggers import conditions

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.event import Event
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import NewFiring, PostFirings

logger = logging.getLogger(__name__)

_OF_THE_DATA = (ValueError, ArithmeticError, LookupError, TypeError, RecursionError)
"""What a launch may raise over what stands in its records. Anything else, such as a database that is away, concerns
the whole batch."""


def post_firings(
    transaction: Transaction, actor: Principal, *, body: PostFirings, settings: Settings
) -> list[FiringResult]:
    """Carry out the matches that a scheduler found, in their order.

    Raises:
        Forbidden: the actor may not fire.
    """
    actor.require(Permission.FIRE)
    # Every row first and in one order: two schedulers with the same triggers in other orders would wait for each other.
    locked: dict[Id, Trigger] = {}
    for trigger_id in sorted({new.trigger_id for new in body.firings}):
        try:
            locked[trigger_id] = transaction.triggers.get(trigger_id, lock=True)
        except NotFound:
            continue
    return [
        _fire(transaction, actor, new=new, trigger=locked.get(new.trigger_id), settings=settings)
        for new in body.firings
    ]


def retry_firing(transaction: Transaction, actor: Principal, *, firing_id: Id, settings: Settings) -> Firing:
    """Try a failed firing again with the trigger as it is now; one that is not due any more stays as it is."""
    trigger = transaction.triggers.get(transaction.triggers.firing(firing_id).trigger_id, lock=True)
    firing = transaction.triggers.firing(firing_id)
    now = transaction.now()
    if firing.next_try_at is None or firing.next_try_at > now or firing.status is not FiringStatus.FAILED:
        return firing
    if trigger.state is TriggerState.PAUSED:
        later = firing.changed(next_try_at=now + timedelta(seconds=settings.firing_retry_seconds))
        transaction.triggers.replace_firing(later, expected=firing)
        return later
    if trigger.state is TriggerState.REMOVED:
        return _end(transaction, firing=firing, status=FiringStatus.SKIPPED, reason="The trigger was removed.")
    event = transaction.events.get(firing.events[-1])
    current = firing.changed(revision=trigger.revision)
    transaction.triggers.replace_firing(current, expected=firing)
    return _decide(transaction, actor, trigger=trigger, firing=current, event=event, settings=settings)


def _fire(
    transaction: Transaction, actor: Principal, *, new: NewFiring, trigger: Trigger | None, settings: Settings
) -> FiringResult:
    if trigger is None or trigger.state is TriggerState.REMOVED:
        return _result(new, outcome="stale_revision", reason="The trigger is gone.")
    if trigger.revision != new.revision:
        reason = f"The trigger is at revision {trigger.revision} by now."
        return _result(new, outcome="stale_revision", reason=reason)
    if not actor.may(Permission.FIRE, trigger.condition.project):
        return _result(new, outcome="failed", reason="This token may not fire triggers of that project.")
    present = transaction.triggers.firing_of(trigger.id, str(new.event))
    if present is not None:
        return _result(new, outcome="duplicate", task_id=present.task_id, reason=present.reason)
    try:
        event = transaction.events.get(new.event)
    except NotFound:
        return _result(new, outcome="failed", reason=f"There is no event {new.event}.")
    return _fire_on(transaction, actor, new=new, trigger=trigger, event=event, settings=settings)


def _fire_on(  # noqa: PLR0913  a match is made of many parts
    transaction: Transaction,
    actor: Principal,
    *,
    new: NewFiring,
    trigger: Trigger,
    event: Event,
    settings: Settings,
) -> FiringResult:
    if event.id <= trigger.starts_after:
        return _result(new, outcome="skipped", reason="The event is older than the trigger.")
    verdict = conditions.matches(trigger.condition, event)
    if not verdict.matched:
        return _result(new, outcome="skipped", reason=verdict.reason)
    due = _add_firing(transaction, trigger=trigger, event=event)
    firing = _decide(transaction, actor, trigger=trigger, firing=due, event=event, settings=settings)
    return _result(new, outcome=firing.status, task_id=firing.task_id, reason=firing.reason)


def _result(new: NewFiring, *, outcome: str, task_id: str | None = None, reason: str | None = None) -> FiringResult:
    return FiringResult.model_validate(
        {"trigger_id": new.trigger_id, "event": new.event, "outcome": outcome, "task_id": task_id, "reason": reason}
    )


def _add_firing(transaction: Transaction, *, trigger: Trigger, event: Event) -> Firing:
    now = transaction.now()
    firing = Firing(
        id=new_id(),
        trigger_id=trigger.id,
        revision=trigger.revision,
        event_key=str(event.id),
        events=(event.id,),
        created_at=now,
        changed_at=now,
    )
    transaction.triggers.add_firing(firing)  # cannot be there: the trigger's row is locked, and nobody else adds any
    return firing


def _decide(  # noqa: PLR0913  a match is made of many parts
    transaction: Transaction, actor: Principal, *, trigger: Trigger, firing: Firing, event: Event, settings: Settings
) -> Firing:
    chain = _chain(transaction, event=event)
    reason = _obstacle(transaction, trigger=trigger, event=event, chain=chain)
    if reason is not None:
        return _end(transaction, firing=firing, status=FiringStatus.SKIPPED, reason=reason)
    try:
        task = transaction.savepoint(
            lambda: launch(transaction, trigger=trigger, firing=firing, event=event, chain=chain)
        )
    except OrchestratorError as error:
        return _fail(transaction, firing=firing, reason=str(error), settings=settings)
    except _OF_THE_DATA as error:
        logger.exception("launch failed", extra={"action": "launch_failed", "firing": firing.id, "trigger": trigger.id})
        return _fail(transaction, firing=firing, reason=f"{type(error).__name__}: {error}", settings=settings)
    launched = _end(transaction, firing=firing, status=FiringStatus.LAUNCHED, task_id=task.id)
    announce_trigger(
        transaction,
        actor,
        type=EventType.TRIGGER_FIRED,
        trigger=trigger,
        firing=firing.id,
        event=event.id,
        task=task.id,
    )
    return launched


def _obstacle(transaction: Transaction, *, trigger: Trigger, event: Event, chain: tuple[Id, ...]) -> str | None:
    if trigger.state is TriggerState.PAUSED or _was_paused(transaction, trigger=trigger, event=event):
        return "paused"
    if trigger.id in chain:
        return "loop: a task that this trigger had started caused the event"
    if trigger.max_active is not None:
        active = transaction.tasks.active_of_trigger(trigger.id)
        if active >= trigger.max_active:
            return f"busy: {active} of its tasks are active, at most {trigger.max_active} may be"
    return None


def _was_paused(transaction: Transaction, *, trigger: Trigger, event: Event) -> bool:
    """Tell from the log whether the trigger was paused when the event happened, resumed since as it may be."""
    switched = transaction.events.recent(
        types=(EventType.TRIGGER_PAUSED, EventType.TRIGGER_RESUMED), subject=trigger.id, before=event.id, limit=1
    )
    return bool(switched) and switched[0].type is EventType.TRIGGER_PAUSED


def _chain(transaction: Transaction, *, event: Event) -> tuple[Id, ...]:
    """Return the triggers that led to an event: those of the task whose attempt caused it."""
    try:
        return chain_of(transaction, transaction.principals.get(event.actor))
    except NotFound:
        return ()


def _end(transaction: Transaction, *, firing: Firing, status: FiringStatus, **fields: str | None) -> Firing:
    ended = move_firing(
        firing,
        status,
        **{"reason": None, "next_try_at": None, "tries": firing.tries + 1, "changed_at": transaction.now()} | fields,
    )
    transaction.triggers.replace_firing(ended, expected=firing)
    return ended


def _fail(transaction: Transaction, *, firing: Firing, reason: str, settings: Settings) -> Firing:
    now = transaction.now()
    tries = firing.tries + 1
    wait = min(settings.firing_retry_seconds * 2 ** (tries - 1), settings.firing_retry_max_seconds)
    failed = move_firing(
        firing,
        FiringStatus.FAILED,
        reason=_storable(reason),
        tries=tries,
        next_try_at=now + timedelta(seconds=wait) if tries < settings.firing_max_tries else None,
        changed_at=now,
    )
    transaction.triggers.replace_firing(failed, expected=firing)
    return failed


def _storable(text: str) -> str:
    """Return a text that every database keeps: it may quote what none does."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
