"""What a trigger would do with an event; nothing is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import OrchestratorError
from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.services.enqueue import check_queue
from orchestrator.services.launch import fill_action, find_registrar
from orchestrator.services.parameters import override
from orchestrator.services.triggers import find_trigger
from orchestrator.wire import TriggerTest
from triggers import conditions

if TYPE_CHECKING:
    from orchestrator.records.event import Event
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import CloneTask, TestTrigger

_LOOKED_AT = 1000
_WATCHED = (EventType.DATASET_FINALIZED, EventType.DATASET_TAGGED)


def dry_run(transaction: Transaction, actor: Principal, *, key: str, body: TestTrigger) -> TriggerTest:
    """Say whether the trigger matches an event, by default the newest that it matches, and what it would launch.

    Raises:
        NotFound: there is no such trigger or event.
        Forbidden: the actor may not read in the project that it watches.
    """
    trigger = find_trigger(transaction, actor, key=key)
    if body.event is not None:
        event = transaction.events.get(body.event)
        actor.require(Permission.READ, event.project)
        return _test(transaction, trigger=trigger, event=event)
    recent = transaction.events.recent(types=_WATCHED, limit=_LOOKED_AT, projects_below=actor.project)
    for event in recent:
        if conditions.matches(trigger.condition, event).matched:
            return _test(transaction, trigger=trigger, event=event)
    if recent:
        return _test(transaction, trigger=trigger, event=recent[0])
    return TriggerTest(event=None, matches=False, reason="No dataset version was finalized or tagged so far.")


def _test(transaction: Transaction, *, trigger: Trigger, event: Event) -> TriggerTest:
    verdict = conditions.matches(trigger.condition, event)
    if not verdict.matched:
        return TriggerTest(event=event.id, matches=False, reason=verdict.reason)
    try:
        body = _prepare(transaction, trigger=trigger, event=event)
    except OrchestratorError as error:
        return TriggerTest(event=event.id, matches=True, reason=f"It matches, but launching would fail: {error}")
    return TriggerTest(
        event=event.id,
        matches=True,
        reason=verdict.reason,
        parameters=body.parameters,
        name=body.name,
        queue=body.queue,
    )


def _prepare(transaction: Transaction, *, trigger: Trigger, event: Event) -> CloneTask:
    find_registrar(transaction, trigger=trigger)
    body = fill_action(transaction, trigger=trigger, event=event)
    check_queue(transaction, name=trigger.action.queue)
    present = transaction.tasks.parameters(trigger.action.task)
    override(present, overrides=body.parameters, allow_new=body.allow_new)
    return body
