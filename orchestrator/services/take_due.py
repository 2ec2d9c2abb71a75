"""What the clock asks for, by the database's clock; and what a scheduler alone can do, handed out one at a time.

Windows close, schedules come due, failures are tried again, those in line get their turn, tasks that run too long are
stopped. Looked at without locks first; what is acted on is locked and read again, so any number may ask at once.
"""

from __future__ import annotations

import contextlib
import logging
from datetime import UTC, timedelta
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.errors import IllegalTransition, OrchestratorError
from orchestrator.records.action import PERFORMED_OUTSIDE, FunctionAction
from orchestrator.records.condition import ScheduleCondition
from orchestrator.records.firing import FiringStatus
from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import TriggerState
from orchestrator.services.advance import advance
from orchestrator.services.fire import facts, start_firing
from orchestrator.services.firing_batch import OF_THE_DATA, Batch, Case
from orchestrator.services.ids import SYSTEM
from orchestrator.services.stop import stop_task
from orchestrator.services.template_values import values_for
from orchestrator.services.windows import cool_again_at
from orchestrator.wire import Due, FiringResult, FiringWork
from triggers import schedule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.records.firing import Firing
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import TakeDue

logger = logging.getLogger(__name__)

_AT_ONCE = 100
_LOOKED_AT = 1000
_WAITING = (FiringStatus.DUE, FiringStatus.GATING)
_NOTHING_DONE = timedelta(seconds=5)
"""Where what is due is not for this asker, it asks again after this."""


def take_due(transaction: Transaction, actor: Principal, *, body: TakeDue, settings: Settings) -> Due:
    """Do what is due, at most a hundred of each, and hand out work.

    Raises:
        Forbidden: the actor may not fire.
    """
    actor.require(Permission.FIRE)
    turn = _Turn(transaction, actor, body=body, settings=settings)
    turn.close_windows()
    turn.fire_schedules()
    turn.stop_overdue()
    work = turn.serve_line()
    turn.batch.flush()
    results = tuple(turn.results())
    next_due_at = turn.next_due_at()
    if next_due_at is not None and next_due_at <= turn.now and not results and not work:
        next_due_at = turn.now + _NOTHING_DONE
    return Due(now=turn.now, next_due_at=next_due_at, results=results, work=tuple(work))


class _Turn:
    """One request of a scheduler."""

    def __init__(self, transaction: Transaction, actor: Principal, *, body: TakeDue, settings: Settings) -> None:
        self.transaction = transaction
        self.actor = actor
        self.body = body
        self.settings = settings
        self.now = transaction.now()
        self.batch = Batch(transaction, actor, settings=settings)
        self.scheduled = [
            trigger
            for trigger in transaction.triggers.due(now=self.now, limit=_LOOKED_AT)
            if actor.may(Permission.FIRE, trigger.project)
        ][:_AT_ONCE]
        self.overdue = transaction.firings.overdue_tasks(now=self.now, limit=_AT_ONCE)
        # Whose turn it cannot be by this asker is left out before anything is cut: it must not hide the others.
        closing = self._owners(transaction.firings.owners(due_at=self.now))
        self.closing = transaction.firings.due(now=self.now, among=list(closing), limit=_AT_ONCE)
        owners = self._owners(transaction.firings.owners())
        served = [trigger.id for trigger in owners.values() if self._may_serve(trigger)]
        self.line = [
            firing
            for firing in transaction.firings.waiting(among=served)
            if self._can_serve(firing, trigger=owners[firing.trigger_id])
        ][:_AT_ONCE]
        wanted = {firing.trigger_id for firing in (*self.closing, *self.line)}
        self.triggers = transaction.triggers.lock_all([*wanted, *(trigger.id for trigger in self.scheduled)])

    def _owners(self, trigger_ids: list[str]) -> dict[str, Trigger]:
        """Return triggers of firings, but for those that the asker may not fire."""
        found = self.transaction.triggers.find(ids=trigger_ids, removed=True, limit=len(trigger_ids))
        return {trigger.id: trigger for trigger in found if self.actor.may(Permission.FIRE, trigger.project)}

    def _may_serve(self, trigger: Trigger) -> bool:
        """Tell whether any firing of a trigger may be for the asker, by the functions that it holds."""
        if (
            trigger.state is not TriggerState.ACTIVE
            or trigger.dry_run
            or not isinstance(trigger.action, FunctionAction)
        ):
            return True
        return trigger.gates is not None or self._holds(trigger.action.function)

    def _can_serve(self, firing: Firing, *, trigger: Trigger) -> bool:
        """Tell, before the trigger is locked, whether there may be something to do about one that is due or gating."""
        if self._is_claimed(firing):
            return False
        if trigger.state is not TriggerState.ACTIVE or trigger.dry_run:
            return True
        if firing.status is FiringStatus.GATING:
            return self._holds(trigger.gates.function if trigger.gates is not None else None)
        if isinstance(trigger.action, FunctionAction) and not self._holds(trigger.action.function):
            # Whether it is to be skipped, or to be gated, is for whoever asks; it waits for its function meanwhile.
            return trigger.gates is not None and firing.gate is None
        return trigger.max_active is None or self.batch.at_work(trigger) < trigger.max_active + bool(firing.claimed_by)

    def _holds(self, function: str | None) -> bool:
        return function is None or function in self.body.functions

    def close_windows(self) -> None:
        """Go on with what has collected long enough, and try again what failed."""
        for seen in self.closing:
            trigger = self.triggers[seen.trigger_id]
            firing = self.transaction.firings.get(seen.id)
            if firing.status is not seen.status or (firing.due_at or firing.next_try_at or self.now) > self.now:
                continue
            if firing.status is FiringStatus.FAILED and trigger.state is TriggerState.PAUSED:
                later = firing.changed(next_try_at=self.now + timedelta(seconds=self.settings.firing_retry_seconds))
                self.transaction.firings.replace(later, expected=firing)
                continue
            due = Case(trigger=trigger, firing=_as_due(firing), stored=firing, events=())
            self.batch.trying(due, partial(self._close, firing, trigger=self.batch.fresh(trigger)))

    def _close(self, firing: Firing, *, trigger: Trigger) -> Firing:
        """Go on with a firing, unless its trigger is to cool down first."""
        if firing.status is FiringStatus.COLLECTING and trigger.state is TriggerState.ACTIVE:
            later = cool_again_at(self.transaction, trigger=trigger, now=self.now)
            if later is not None:
                case = self.batch.case_of(firing, trigger=trigger)
                return self.batch.keep(case, FiringStatus.COLLECTING, due_at=later, reason=firing.reason)
        return self._advance(firing, trigger=trigger)

    def fire_schedules(self) -> None:
        """Fire the times that have come, and note up to when all is taken care of."""
        for seen in self.scheduled:
            trigger = self.triggers.get(seen.id)
            if trigger is None or not isinstance(trigger.condition, ScheduleCondition):
                continue
            if trigger.next_occurrence_at is None or trigger.next_occurrence_at > self.now:
                continue  # another scheduler was here between the look and the lock
            self.batch.flush()
            work = partial(self._fire_schedule, trigger, condition=trigger.condition)
            try:
                self.transaction.savepoint(work)
            except (OrchestratorError, *OF_THE_DATA):
                logger.exception("schedule failed", extra={"action": "schedule_failed", "trigger": trigger.id})
                later = self.now + timedelta(seconds=self.settings.firing_retry_seconds)
                self.transaction.triggers.replace(trigger.changed(next_occurrence_at=later), expected=trigger)

    def _fire_schedule(self, trigger: Trigger, *, condition: ScheduleCondition) -> None:
        begun_at = trigger.scheduled_at or trigger.created_at
        due = schedule.due(
            condition,
            last=trigger.last_occurrence_at,
            now=self.now,
            registered_at=begun_at,
            limit=_AT_ONCE,
        )
        noted = trigger.changed(
            last_occurrence_at=due.passed_to,
            next_occurrence_at=schedule.next_after(condition, after=due.passed_to, registered_at=begun_at),
        )
        self.transaction.triggers.replace(noted, expected=trigger)
        self.triggers[trigger.id] = noted
        for at in due.fire:
            key = schedule_key(at)
            if self.transaction.firings.of_event(trigger.id, key) is None:
                start_firing(self.batch, trigger=self.batch.fresh(noted), events=(), key=key, occurrence_at=at)

    def stop_overdue(self) -> None:
        """Stop tasks that have run longer than their trigger lets them."""
        for task_id in self.overdue:
            task = self.transaction.tasks.get(task_id)
            if task.status is Status.IN_PROGRESS and task.stop_requested_at is None:
                with contextlib.suppress(IllegalTransition):  # it ended since it was looked at
                    stop_task(self.transaction, SYSTEM, task_id=task_id)

    def serve_line(self) -> list[FiringWork]:
        """Give those in line their turn, and hand out what is for this scheduler."""
        work: list[FiringWork] = []
        self.batch.flush()
        self.batch.count_all_again()
        for seen in (*self.line, *self._closed()):
            firing = self.transaction.firings.get(seen.id)
            if firing.status not in _WAITING or self._is_claimed(firing):
                continue
            trigger = self.triggers[firing.trigger_id]
            case = Case(trigger=trigger, firing=firing, stored=firing, events=())
            self.batch.trying(case, partial(self._serve, firing, trigger=trigger, work=work))
        return work

    def _serve(self, firing: Firing, *, trigger: Trigger, work: list[FiringWork]) -> Firing:
        """Give one its turn, and add it to the work where it is for this scheduler."""
        trigger = self.batch.fresh(trigger)
        present = self._released(firing, trigger=trigger)
        is_over = trigger.state is not TriggerState.ACTIVE or trigger.dry_run
        if present.status is FiringStatus.DUE or (present.status is FiringStatus.GATING and is_over):
            present = self._advance(present, trigger=trigger)
        if len(work) < self.body.limit and (taken := self._take(present, trigger=trigger)) is not None:
            work.append(taken)
            return taken.firing
        return present

    def _closed(self) -> list[Firing]:
        """Return those whose window this call closed, or that it tries again: they may have come to stand in line."""
        return [firing for firing in self.batch.moved() if firing.status in _WAITING]

    def _released(self, firing: Firing, *, trigger: Trigger) -> Firing:
        """Return a firing without the claim that has run out, which counts as a try: work may kill whoever does it."""
        if firing.claimed_by is None:
            return firing
        if firing.tries + 1 >= self.settings.firing_max_tries:
            reason = f"{firing.claimed_by} was silent for {self.settings.claim_seconds:g} s, as others were before."
            return self.batch.fail(Case(trigger=trigger, firing=firing, stored=firing, events=()), reason=reason)
        released = firing.changed(claimed_by=None, claimed_until=None, tries=firing.tries + 1)
        self.transaction.firings.replace(released, expected=firing)
        return released

    def _is_claimed(self, firing: Firing) -> bool:
        return firing.claimed_until is not None and firing.claimed_until > self.now

    def _take(self, firing: Firing, *, trigger: Trigger) -> FiringWork | None:
        """Claim a firing for the scheduler where there is something for it to do about it."""
        if firing.status is FiringStatus.GATING:
            wanted = trigger.gates.function if trigger.gates is not None else None
            kind = "gates"
        elif firing.status is FiringStatus.DUE and self._may_perform(firing, trigger=trigger):
            wanted = trigger.action.function if isinstance(trigger.action, FunctionAction) else None
            kind = "action"
        else:
            return None
        if not self._holds(wanted):
            return None
        until = self.now + timedelta(seconds=self.settings.claim_seconds)
        claimed = firing.changed(claimed_by=self.body.scheduler, claimed_until=until, revision=trigger.revision)
        self.transaction.firings.replace(claimed, expected=firing)
        self.batch.count_again(trigger)
        case = self.batch.case_of(claimed, trigger=trigger)
        trigger, events = case.trigger, case.events
        return FiringWork.model_validate(
            {
                "kind": kind,
                "firing": claimed,
                "trigger": trigger,
                "events": events,
                "values": values_for(
                    self.transaction, trigger=trigger, firing=claimed, events=events, settings=self.settings
                ),
            }
        )

    def _may_perform(self, firing: Firing, *, trigger: Trigger) -> bool:
        """Tell whether a firing that is due after its turn was looked at is for a scheduler to perform."""
        if trigger.action.kind not in PERFORMED_OUTSIDE or (trigger.gates is not None and firing.gate is None):
            return False
        return trigger.max_active is None or self.batch.at_work(trigger) < trigger.max_active

    def _advance(self, firing: Firing, *, trigger: Trigger) -> Firing:
        self.batch.flush()
        return advance(self.batch, self.batch.case_of(firing, trigger=trigger).with_firing(_as_due(firing)))

    def results(self) -> Sequence[FiringResult]:
        """Return what became of the firings that moved."""
        return [
            FiringResult.model_validate(
                {
                    "trigger_id": firing.trigger_id,
                    "event": firing.events[-1] if firing.events else None,
                    "outcome": firing.status,
                    **facts(firing),
                }
            )
            for firing in self.batch.moved()
        ]

    def next_due_at(self) -> datetime | None:
        """Return when the clock asks for something next."""
        transaction = self.transaction
        times = (
            transaction.firings.next_due_at(),
            transaction.triggers.next_due_at(),
            transaction.firings.next_overdue_at(),
        )
        return min((at for at in times if at is not None), default=None)


def _as_due(firing: Firing) -> Firing:
    return firing.changed(status=FiringStatus.DUE)


def schedule_key(at: datetime) -> str:
    """Return the event key of a time of a schedule."""
    return f"schedule:{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
