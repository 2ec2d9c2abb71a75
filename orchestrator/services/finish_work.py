"""A scheduler says that it is still at a piece of work, or what came of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest, StaleClaim
from orchestrator.records.firing import ENDED_FIRINGS, FiringStatus
from orchestrator.records.principal import Permission
from orchestrator.services.advance import advance
from orchestrator.services.firing_batch import Batch

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.firing import Firing
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import ExtendClaim, FinishWork

_WORK_OF = {FiringStatus.DUE: "action", FiringStatus.GATING: "gates"}
_DROP = "Drop it: whoever has it does it over."


def extend_claim(
    transaction: Transaction, actor: Principal, *, firing_id: Id, body: ExtendClaim, settings: Settings
) -> Firing:
    """Keep a claim from running out.

    Raises:
        NotFound: there is no such firing.
        Forbidden: the actor may not fire triggers of its project.
        StaleClaim: another scheduler has it by now, or it ended.
    """
    _, firing = _locked(transaction, actor, firing_id=firing_id)
    _require_claim(firing, scheduler=body.scheduler)
    until = transaction.now() + timedelta(seconds=settings.claim_seconds)
    extended = firing.changed(claimed_until=until)
    transaction.firings.replace(extended, expected=firing)
    return extended


def finish_work(
    transaction: Transaction, actor: Principal, *, firing_id: Id, body: FinishWork, settings: Settings
) -> Firing:
    """Go on with what a scheduler has found or done. Sent twice, the second is answered like the first.

    Raises:
        NotFound: there is no such firing.
        Forbidden: the actor may not fire triggers of its project.
        StaleClaim: another scheduler has it by now.
        InvalidRequest: gates were looked at, and there is no report.
    """
    trigger, firing = _locked(transaction, actor, firing_id=firing_id)
    if firing.status in ENDED_FIRINGS and firing.claimed_by == body.scheduler and body.outcome == "done":
        return firing
    _require_claim(firing, scheduler=body.scheduler)
    if _WORK_OF[firing.status] != body.kind or firing.tries != body.tries:
        raise StaleClaim(f"Firing {firing.id} was handed out again since, for {_WORK_OF[firing.status]}.", hint=_DROP)
    batch = Batch(transaction, actor, settings=settings)
    case = batch.case_of(firing, trigger=trigger)
    if body.outcome == "failed":
        return batch.fail(case, reason=body.reason or "It failed without a reason.")
    if body.kind == "action":
        return batch.launch(case, reason=body.reason, result=body.result)
    if body.gate is None:
        raise InvalidRequest("The gates were looked at, and their report is missing.", hint="Send it as `gate`.")
    looked_at = firing.changed(gate=body.gate)
    if not body.gate.open:
        closed = [check.reason for check in body.gate.checks if not check.passed]
        reason = body.reason or " ".join(closed) or "A gate is closed."
        return batch.end(case.with_firing(looked_at), FiringStatus.BLOCKED, reason=reason)
    # It lets go of the place that it had while it was gated, and asks for one as everybody does.
    waits = batch.keep(case.with_firing(looked_at), FiringStatus.DUE, reason="its gates are open")
    waiting = case.with_firing(waits.changed(claimed_by=body.scheduler, claimed_until=firing.claimed_until))
    gone_on = advance(batch, replace(waiting, stored=waits))
    batch.flush()
    return batch.ended.get(gone_on.id, gone_on)


def _locked(transaction: Transaction, actor: Principal, *, firing_id: Id) -> tuple[Trigger, Firing]:
    trigger = transaction.triggers.get(transaction.firings.get(firing_id).trigger_id, lock=True)
    actor.require(Permission.FIRE, trigger.project)
    return trigger, transaction.firings.get(firing_id)


def _require_claim(firing: Firing, *, scheduler: str) -> None:
    if firing.status not in _WORK_OF or firing.claimed_by != scheduler:
        by = f"is with {firing.claimed_by}" if firing.claimed_by else "is with nobody"
        raise StaleClaim(f"Firing {firing.id} is {firing.status} and {by}.", hint=_DROP)
