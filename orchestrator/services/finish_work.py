"""A scheduler says that it is still at a piece of work, or what came of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest, StaleClaim
from orchestrator.records.action import PERFORMED_OUTSIDE
from orchestrator.records.firing import ENDED_FIRINGS, FiringStatus
from orchestrator.records.principal import Permission
from orchestrator.services.advance import start
from orchestrator.services.firing_batch import Batch, Case

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.firing import Firing
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import ExtendClaim, FinishWork

_AT_WORK = (FiringStatus.DUE, FiringStatus.GATING)


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
    if firing.status in ENDED_FIRINGS and firing.claimed_by == body.scheduler:
        return firing
    _require_claim(firing, scheduler=body.scheduler)
    batch = Batch(transaction, actor, settings=settings)
    events = tuple(transaction.events.many(firing.events).values())
    case = Case(trigger=trigger, firing=firing, stored=firing, events=events)
    if body.outcome == "failed":
        return batch.fail(case, reason=body.reason or "It failed without a reason.")
    if firing.status is FiringStatus.DUE:
        return batch.launch(case, reason=body.reason, result=body.result)
    if body.gate is None:
        raise InvalidRequest("The gates were looked at, and their report is missing.", hint="Send it as `gate`.")
    case = case.with_firing(firing.changed(gate=body.gate))
    if not body.gate.open:
        closed = [check.reason for check in body.gate.checks if not check.passed]
        return batch.end(case, FiringStatus.BLOCKED, reason=body.reason or " ".join(closed) or "A gate is closed.")
    if trigger.action.kind in PERFORMED_OUTSIDE:
        return batch.keep(case, FiringStatus.DUE, reason="its gates are open", claimed_by=None, claimed_until=None)
    started = start(batch, case)
    batch.flush()
    return batch.ended[started.id]


def _locked(transaction: Transaction, actor: Principal, *, firing_id: Id) -> tuple[Trigger, Firing]:
    trigger = transaction.triggers.get(transaction.firings.get(firing_id).trigger_id, lock=True)
    actor.require(Permission.FIRE, trigger.project)
    return trigger, transaction.firings.get(firing_id)


def _require_claim(firing: Firing, *, scheduler: str) -> None:
    if firing.status not in _AT_WORK or firing.claimed_by != scheduler:
        by = f"is with {firing.claimed_by}" if firing.claimed_by else "is with nobody"
        raise StaleClaim(
            f"Firing {firing.id} is {firing.status} and {by}.", hint="Drop it: whoever has it does it over."
        )
