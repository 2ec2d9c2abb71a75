"""A chain goes on: when the task of a step completed, the next step is a firing of its own, unique by its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import NotFound
from orchestrator.records.action import ChainAction
from orchestrator.records.event import EventType
from orchestrator.records.firing import Firing
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import TriggerState
from orchestrator.services.firing_batch import Case
from orchestrator.services.ids import new_id
from orchestrator.services.launch import launch
from orchestrator.services.template_values import step_key

if TYPE_CHECKING:
    from orchestrator.records.event import Event
    from orchestrator.records.trigger import Trigger
    from orchestrator.services.firing_batch import Batch


def follow(batch: Batch, event: Event) -> None:
    """Do what follows the end of a task: the next step of its chain, or the end of it. Done again, it changes nothing.

    Args:
        batch: of the transaction; the row of the trigger that made the task is locked.
        event: of a task that completed, failed or was stopped.
    """
    if event.cause is None:
        return
    try:
        done = batch.transaction.firings.get(event.cause)
    except NotFound:
        return
    if done.step is None or done.task_id != event.subject:
        return
    batch.flush()
    root = batch.transaction.firings.get(done.root or done.id)
    trigger = batch.transaction.triggers.revision(root.trigger_id, root.revision)
    if not isinstance(trigger.action, ChainAction) or not batch.actor.may(Permission.FIRE, trigger.project):
        return
    steps = [step.step for step in trigger.action.steps]
    behind = steps[steps.index(done.step) + 1 :]
    if trigger.state is TriggerState.REMOVED:
        _close(batch, root, reason="The trigger was removed: no step follows" if behind else None)
    elif event.type is not EventType.TASK_COMPLETED:
        _close(batch, root, reason=f"step {done.step} {event.data['status']}: no step follows" if behind else None)
    elif not behind:
        _close(batch, root, reason=None)
    elif batch.transaction.firings.of_event(trigger.id, step_key(root.id, behind[0])) is None:
        _go_on(batch, root, trigger=trigger, event=event, step=behind[0], last=len(behind) == 1)


def _go_on(batch: Batch, root: Firing, *, trigger: Trigger, event: Event, step: str, last: bool) -> None:  # noqa: PLR0913  a step has many parts
    # One that was closed because its step had failed goes on when that was repeated and completed.
    _replace(batch, root, chain_open=not last, reason=None)
    firing = Firing(
        id=new_id(),
        trigger_id=trigger.id,
        revision=trigger.revision,
        event_key=step_key(root.id, step),
        events=(event.id,),
        step=step,
        root=root.id,
        created_at=batch.now,
        changed_at=batch.now,
    )
    events = tuple(batch.transaction.events.many(root.events).values())
    case = Case(trigger=trigger, firing=firing, stored=None, events=events)
    # The chain of triggers is that of the first step: going on is no loop.
    launch(batch, case, chain=batch.history.chain_to(events[-1]) if events else ())


def _close(batch: Batch, root: Firing, *, reason: str | None) -> None:
    if root.chain_open or reason is not None:
        _replace(batch, root, chain_open=False, reason=reason)


def _replace(batch: Batch, root: Firing, **fields: object) -> None:
    changed = root.changed(**fields)
    if changed != root:
        batch.transaction.firings.replace(changed.changed(changed_at=batch.now), expected=root)
