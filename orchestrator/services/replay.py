"""A firing done over: a new one with the same events, whatever came of the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict
from orchestrator.records.firing import Firing, FiringStatus
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import TriggerState
from orchestrator.services.fire import start_firing
from orchestrator.services.firing_batch import Batch, Case
from orchestrator.services.ids import new_id
from orchestrator.services.launch import launch

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction

_UNDER_WAY = (FiringStatus.COLLECTING, FiringStatus.DUE, FiringStatus.GATING)


def replay_firing(transaction: Transaction, actor: Principal, *, firing_id: Id, settings: Settings) -> Firing:
    """Have the trigger, as it is now, act once more on what a firing stands for, and return the new firing.

    A failed firing is tried no more then. Of a later step of a chain that step is done over, as the chain began; the
    first step begins a new chain.

    Raises:
        NotFound: there is no such firing.
        Forbidden: the actor may not operate in the project of its trigger.
        Conflict: the trigger is paused or was removed, or the firing is under way itself.
    """
    trigger_id = transaction.firings.get(firing_id).trigger_id
    actor.require(Permission.OPERATE, transaction.triggers.get(trigger_id).project)
    trigger = transaction.triggers.lock_all([trigger_id])[trigger_id]
    require_active(trigger)
    done = transaction.firings.get(firing_id)
    if done.status in _UNDER_WAY:
        raise Conflict(
            f"Firing {done.id} is {done.status}: it is still to come.",
            hint=f"Wait for it; see: retrain trigger show {trigger.name!r}",
        )
    if done.next_try_at is not None:
        transaction.firings.replace(done.changed(next_try_at=None, changed_at=transaction.now()), expected=done)
    batch = Batch(transaction, actor, settings=settings)
    again = _step_again(batch, done) if done.root is not None else _start_again(batch, done, trigger=trigger)
    batch.wake_schedulers(trigger)
    return batch.ended[again.id]


def require_active(trigger: Trigger) -> None:
    """Check that a trigger acts.

    Raises:
        Conflict: it is paused or was removed.
    """
    if trigger.state is TriggerState.PAUSED:
        raise Conflict(
            f"Trigger {trigger.name!r} is paused.",
            hint=f"Let it act again first: retrain trigger resume {trigger.name!r}",
        )
    if trigger.state is TriggerState.REMOVED:
        raise Conflict(f"Trigger {trigger.name!r} was removed.", hint="Register it again: retrain trigger add.")


def _start_again(batch: Batch, done: Firing, *, trigger: Trigger) -> Firing:
    return start_firing(
        batch,
        trigger=trigger,
        events=tuple(batch.transaction.events.many(done.events).values()),
        key=_replay_key(),
        replay_of=done.id,
        occurrence_at=done.occurrence_at,
    )


def _step_again(batch: Batch, done: Firing) -> Firing:
    """Launch a step once more. What follows it is begun when that has completed, unless it was begun before."""
    root = batch.transaction.firings.get(done.root or done.id)
    trigger = batch.transaction.triggers.revision(root.trigger_id, root.revision)
    events = tuple(batch.transaction.events.many(root.events).values())
    firing = Firing(
        id=new_id(),
        trigger_id=trigger.id,
        revision=trigger.revision,
        event_key=_replay_key(),
        events=done.events,
        step=done.step,
        root=root.id,
        replay_of=done.id,
        created_at=batch.now,
        changed_at=batch.now,
    )
    case = Case(trigger=trigger, firing=firing, stored=None, events=events)
    # The chain of triggers is that of the first step: to do a step over is no loop.
    return launch(batch, case, chain=batch.history.chain_to(events[-1]) if events else ())


def _replay_key() -> str:
    return f"replay:{new_id()}"
