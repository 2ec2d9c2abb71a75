"""A firing goes as far as it can go now: it waits its turn, is gated, launched, skipped or fails."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from orchestrator.errors import IllegalTransition
from orchestrator.records.action import PERFORMED_OUTSIDE, ChainAction
from orchestrator.records.firing import FiringStatus
from orchestrator.records.trigger import TriggerState
from orchestrator.services.dry_run import what_it_would_do
from orchestrator.services.ids import SYSTEM
from orchestrator.services.launch import launch
from orchestrator.services.stop import stop_task

if TYPE_CHECKING:
    from orchestrator.records.firing import Firing
    from orchestrator.services.firing_batch import Batch, Case

_BEFORE_LAUNCH = (FiringStatus.DUE, FiringStatus.GATING, FiringStatus.FAILED)


def advance(batch: Batch, case: Case) -> Firing:
    """Take a firing that is due as far as it can go, in the order in which a person would ask.

    Args:
        batch: of the transaction.
        case: a firing that is due, whose trigger's row is locked.
    """
    trigger = case.trigger
    if (reason := _obstacle(batch, case)) is not None:
        return batch.end(case, FiringStatus.SKIPPED, reason=reason)
    if case.firing.root is not None:
        return start(batch, case)  # its chain has had its turn
    if (held := _wait_for_turn(batch, case)) is not None:
        return held
    if trigger.gates is not None and case.firing.gate is None:
        return batch.keep(case, FiringStatus.GATING, reason="a scheduler looks at what is required")
    if trigger.action.kind in PERFORMED_OUTSIDE:
        return batch.keep(case, FiringStatus.DUE, reason=_performer(case))
    return start(batch, case)


def _obstacle(batch: Batch, case: Case) -> str | None:
    """Return why nothing is to come of a firing, or None."""
    trigger = case.trigger
    if trigger.state is TriggerState.REMOVED:
        return "The trigger was removed."
    if case.firing.root is not None:
        return None  # a chain that has begun goes on while its trigger is paused
    if trigger.state is TriggerState.PAUSED:
        return "paused"
    if not trigger.dry_run:
        return None
    would = what_it_would_do(
        batch.transaction, trigger=trigger, firing=case.firing, events=case.events, settings=batch.settings
    )
    return f"dry run: {would}"


def start(batch: Batch, case: Case) -> Firing:
    """Launch a firing whose turn has come and whose gates are open."""
    chain = batch.history.chain_to(case.events[-1]) if case.events else ()
    action = case.trigger.action
    if case.firing.root is None:
        first = {
            "step": action.steps[0].step if isinstance(action, ChainAction) else None,
            "chain_open": isinstance(action, ChainAction) and len(action.steps) > 1,
        }
        case = case.with_firing(case.firing.changed(**first))
    return launch(batch, case, chain=chain)


def _wait_for_turn(batch: Batch, case: Case) -> Firing | None:
    """Return the firing as it was put aside where others are at work, or None where its turn has come."""
    trigger = case.trigger
    if trigger.max_active is None:
        return None
    active = batch.at_work(trigger)
    ahead = trigger.when_busy == "queue" and _somebody_is_ahead(batch, case)
    if active < trigger.max_active and not ahead:
        return None
    reason = f"busy: {active} of its firings are at work, at most {trigger.max_active} may be"
    if trigger.when_busy == "skip":
        return batch.end(case, FiringStatus.SKIPPED, reason=reason)
    if trigger.when_busy == "replace":
        if (newer := _newer_launched(batch, case)) is not None:
            return batch.end(case, FiringStatus.SKIPPED, reason=f"replaced by firing {newer.id}")
        active = _make_room(batch, case)
        if active < trigger.max_active:
            return None
        reason = f"{active} of its firings were asked to stop for this one"
    return batch.keep(case, FiringStatus.DUE, reason=reason)


def _somebody_is_ahead(batch: Batch, case: Case) -> bool:
    line = batch.transaction.firings.find(
        trigger_id=case.trigger.id, statuses=(FiringStatus.DUE,), limit=1, oldest_first=True
    )
    return bool(line) and line[0].id < case.firing.id


def _newer_launched(batch: Batch, case: Case) -> Firing | None:
    """Return a firing that is newer than this one and has launched: one that is tried again does not stop it."""
    batch.flush()
    newest = batch.transaction.firings.find(trigger_id=case.trigger.id, statuses=(FiringStatus.LAUNCHED,), limit=1)
    return next((firing for firing in newest if (firing.root or firing.id) > case.firing.id), None)


def _make_room(batch: Batch, case: Case) -> int:
    """Stop what the trigger has at work, skip what waits before this firing, and return how many are still at work."""
    transaction, trigger = batch.transaction, case.trigger
    batch.flush()
    for other in transaction.firings.find(trigger_id=trigger.id, statuses=_BEFORE_LAUNCH, limit=500):
        is_given_up = other.status is FiringStatus.FAILED and other.next_try_at is None
        if other.id < case.firing.id and not is_given_up:
            reason = f"replaced by firing {case.firing.id}"
            batch.end(case.of_another(other), FiringStatus.SKIPPED, reason=reason)
    for task_id in transaction.firings.active_tasks(trigger.id):
        with contextlib.suppress(IllegalTransition):  # it ended since it was looked at
            stop_task(transaction, SYSTEM, task_id=task_id)
    for root in transaction.firings.open_chains(trigger.id):
        closed = root.changed(chain_open=False, reason=f"replaced by firing {case.firing.id}")
        transaction.firings.replace(closed, expected=root)
    return batch.count_again(trigger)


def _performer(case: Case) -> str:
    action = case.trigger.action
    if action.kind == "function":
        return f"waits for a scheduler that holds the function {action.function!r}"
    return "waits for a scheduler that sends it"
