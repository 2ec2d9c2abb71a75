"""A firing goes as far as it can go now: it waits its turn, is gated, launched, skipped or fails."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from orchestrator.errors import IllegalTransition
from orchestrator.records.action import PERFORMED_OUTSIDE, ChainAction
from orchestrator.records.firing import FiringStatus
from orchestrator.records.trigger import TriggerState
from orchestrator.services.ids import SYSTEM
from orchestrator.services.launch import launch
from orchestrator.services.stop import stop_task

if TYPE_CHECKING:
    from orchestrator.records.firing import Firing
    from orchestrator.services.firing_batch import Batch, Case

_IN_LINE = (FiringStatus.DUE, FiringStatus.GATING)


def advance(batch: Batch, case: Case) -> Firing:
    """Take a firing that is due as far as it can go, in the order in which a person would ask.

    Args:
        batch: of the transaction.
        case: a firing that is due, whose trigger's row is locked.
    """
    trigger = case.trigger
    if trigger.state is not TriggerState.ACTIVE:
        reason = "paused" if trigger.state is TriggerState.PAUSED else "The trigger was removed."
        return batch.end(case, FiringStatus.SKIPPED, reason=reason)
    if trigger.dry_run:
        return batch.end(case, FiringStatus.SKIPPED, reason=f"dry run: it would have gone on with {_summary(case)}")
    if (held := _wait_for_turn(batch, case)) is not None:
        return held
    if trigger.gates is not None and case.firing.gate is None:
        return batch.keep(case, FiringStatus.GATING, reason="a scheduler looks at what is required")
    if trigger.action.kind in PERFORMED_OUTSIDE:
        return batch.keep(case, FiringStatus.DUE, reason=_performer(case))
    return start(batch, case)


def start(batch: Batch, case: Case) -> Firing:
    """Launch a firing whose turn has come and whose gates are open."""
    chain = batch.history.chain_to(case.events[-1]) if case.events else ()
    action = case.trigger.action
    if isinstance(action, ChainAction) and case.firing.step is None:
        first = {"step": action.steps[0].step, "chain_open": len(action.steps) > 1}
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


def _make_room(batch: Batch, case: Case) -> int:
    """Stop what the trigger has at work, skip what waits before this firing, and return how many are still at work."""
    transaction, trigger = batch.transaction, case.trigger
    batch.flush()
    for other in transaction.firings.find(trigger_id=trigger.id, statuses=_IN_LINE, limit=500):
        if other.id < case.firing.id:
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


def _summary(case: Case) -> str:
    return f"its action of kind {case.trigger.action.kind}"
