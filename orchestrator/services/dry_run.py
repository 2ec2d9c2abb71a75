"""What a trigger would do with an event; nothing is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import OrchestratorError
from orchestrator.records.action import ChainAction, CloneAction, FunctionAction, MessageAction, PromoteAction
from orchestrator.records.firing import Firing
from orchestrator.records.principal import Permission
from orchestrator.services.enqueue import check_queue
from orchestrator.services.firing_batch import find_registrar
from orchestrator.services.launch import clone_of, fill_clone
from orchestrator.services.parameters import override
from orchestrator.services.template_values import values_for
from orchestrator.services.triggers import find_trigger
from orchestrator.wire import TriggerTest
from triggers import conditions

if TYPE_CHECKING:
    from orchestrator.records.event import Event
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import CloneTask, TestTrigger

_LOOKED_AT = 1000


def dry_run(
    transaction: Transaction, actor: Principal, *, key: str, body: TestTrigger, settings: Settings
) -> TriggerTest:
    """Say whether the trigger matches an event, by default the newest that it matches, and what it would do.

    Raises:
        NotFound: there is no such trigger or event.
        Forbidden: the actor may not read in the project that it watches.
    """
    trigger = find_trigger(transaction, actor, key=key)
    types = tuple(conditions.event_types(trigger.condition))
    if body.event is not None:
        event = transaction.events.get(body.event)
        actor.require(Permission.READ, event.project)
        return _test(transaction, trigger=trigger, event=event, settings=settings)
    if not types:
        return _told(transaction, trigger=trigger, event=None, reason="Its time comes.", settings=settings)
    recent = transaction.events.recent(types=types, limit=_LOOKED_AT, projects_below=actor.project)
    for event in recent:
        if conditions.matches(trigger.condition, event).matched:
            return _test(transaction, trigger=trigger, event=event, settings=settings)
    if recent:
        return _test(transaction, trigger=trigger, event=recent[0], settings=settings)
    return TriggerTest(event=None, matches=False, reason="Nothing that it waits for has happened so far.")


def _test(transaction: Transaction, *, trigger: Trigger, event: Event, settings: Settings) -> TriggerTest:
    verdict = conditions.matches(trigger.condition, event)
    if not verdict.matched:
        return TriggerTest(event=event.id, matches=False, reason=verdict.reason)
    return _told(transaction, trigger=trigger, event=event, reason=verdict.reason, settings=settings)


def _told(
    transaction: Transaction, *, trigger: Trigger, event: Event | None, reason: str, settings: Settings
) -> TriggerTest:
    number = None if event is None else event.id
    try:
        find_registrar(transaction, trigger=trigger)
        body = _clone(transaction, trigger=trigger, event=event, settings=settings)
    except OrchestratorError as error:
        return TriggerTest(event=number, matches=True, reason=f"It matches, but launching would fail: {error}")
    would = _sentence(transaction, trigger=trigger, body=body)
    if body is None:
        return TriggerTest(event=number, matches=True, reason=reason, would=would)
    return TriggerTest(
        event=number,
        matches=True,
        reason=reason,
        parameters=body.parameters,
        name=body.name,
        queue=body.queue,
        would=would,
    )


def _clone(transaction: Transaction, *, trigger: Trigger, event: Event | None, settings: Settings) -> CloneTask | None:
    """Return the clone that would be made, of a chain the first one, or None where the action makes none."""
    if not isinstance(trigger.action, (CloneAction, ChainAction)):
        return None
    action = clone_of(trigger.action, step=None)
    now = transaction.now()
    firing = Firing(
        id="0" * 32,
        trigger_id=trigger.id,
        revision=trigger.revision,
        event_key="dry run",
        occurrence_at=trigger.next_occurrence_at,
        created_at=now,
        changed_at=now,
    )
    events = () if event is None else (event,)
    values = values_for(transaction, trigger=trigger, firing=firing, events=events, settings=settings)
    reference = transaction.tasks.get(action.task)
    body = fill_clone(trigger=trigger, action=action, values=values, reference=reference)
    check_queue(transaction, name=action.queue)
    override(transaction.tasks.parameters(action.task), overrides=body.parameters, allow_new=body.allow_new)
    return body


def _sentence(transaction: Transaction, *, trigger: Trigger, body: CloneTask | None) -> str:
    """Return what would happen, for people."""
    action = trigger.action
    gated = "after its gates were looked at, " if trigger.gates is not None else ""
    if body is not None:
        first = clone_of(action, step=None)
        project = body.project or transaction.tasks.get(first.task).project
        steps = f", the first of {len(action.steps)} steps" if isinstance(action, ChainAction) else ""
        verb = "run again itself" if first.reuse else f"be cloned as {body.name!r} in project {project}"
        return f"{gated}task {first.task} would {verb} and wait in queue {body.queue}{steps}.".capitalize()
    if isinstance(action, FunctionAction):
        done = f"the function {action.function!r} would be called"
    elif isinstance(action, MessageAction):
        done = f"a message would be sent to {', '.join(action.to)}"
    elif isinstance(action, PromoteAction):
        done = (
            f"the task's {action.title}/{action.series} would be compared with that of the model {action.model!r} that"
            f" has the alias {action.alias!r}"
        )
    else:
        done = f"the event would be posted to {getattr(action, 'url', '')}"
    return f"{gated}{done}.".capitalize()
