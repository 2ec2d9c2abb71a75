"""A trigger acts on an event: exactly once, however often and by however many schedulers it is told to.

The rows that join firings and events are unique by trigger and event; a firing, the clone, its place in the queue and
the events are one transaction. A launch that fails leaves a firing that says why and is tried again; the next match is
not disturbed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.records.firing import Firing, FiringStatus
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import TriggerState
from orchestrator.services.advance import advance
from orchestrator.services.chains import follow
from orchestrator.services.firing_batch import Batch, Case
from orchestrator.services.ids import new_id
from orchestrator.services.windows import COLLECTING, collects, join, window_end
from orchestrator.wire import FiringResult
from triggers import conditions

if TYPE_CHECKING:
    from orchestrator.records.base import Id, Moment
    from orchestrator.records.event import Event
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import NewFiring, PostFirings


def post_firings(
    transaction: Transaction, actor: Principal, *, body: PostFirings, settings: Settings
) -> list[FiringResult]:
    """Carry out the matches that a scheduler found, in their order, and then what follows tasks that ended.

    Raises:
        Forbidden: the actor may not fire.
    """
    actor.require(Permission.FIRE)
    post = _Post(transaction, actor, body=body, settings=settings)
    answers = [post.take(new) for new in body.firings]
    for event in post.ended:
        follow(post.batch, event)
    post.batch.flush()
    return [_result(new, told=told, batch=post.batch) for new, told in zip(body.firings, answers, strict=True)]


def start_firing(  # noqa: PLR0913  a firing is made of many parts
    batch: Batch,
    *,
    trigger: Trigger,
    events: tuple[Event, ...],
    key: str,
    replay_of: Id | None = None,
    occurrence_at: Moment | None = None,
) -> Firing:
    """Add a firing and take it as far as it goes now, past windows: `batch.ended` has it after a flush.

    Args:
        batch: of the transaction; the trigger's row is locked, and it has no firing with this key.
        trigger: as it is now.
        events: what it stands for, oldest first.
        key: what makes it unique with the trigger.
        replay_of: the firing that is done over.
        occurrence_at: of a schedule: the time that it stands for.
    """
    fields = {"replay_of": replay_of, "occurrence_at": occurrence_at}
    firing = _new_firing(batch, trigger=trigger, events=events, key=key).changed(**fields)
    return advance(batch, Case(trigger=trigger, firing=firing, stored=None, events=events))


def take_event(batch: Batch, *, trigger: Trigger, event: Event) -> Firing:
    """Act on an event that matches and that the trigger has no firing for: skip it, collect it, or go on with it.

    Args:
        batch: of the transaction; the trigger's row is locked.
        trigger: as it is now.
        event: it matches the trigger's condition.
    """
    firing = _new_firing(batch, trigger=trigger, events=(event,), key=str(event.id))
    case = Case(trigger=trigger, firing=firing, stored=None, events=(event,))
    if trigger.state is TriggerState.PAUSED or batch.history.was_paused(trigger, at=event):
        return batch.end(case, FiringStatus.SKIPPED, reason="paused")
    if trigger.id in batch.history.chain_to(event):
        reason = "loop: a task that this trigger had started caused the event"
        return batch.end(case, FiringStatus.SKIPPED, reason=reason)
    return _collect(batch, case) or advance(batch, case)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What became of a match: its firing, or an outcome without one."""

    outcome: str | None = None
    """The status of the firing where it is not given."""
    firing: Firing | None = None
    reason: str | None = None


class _Post:
    """One request of a scheduler."""

    def __init__(self, transaction: Transaction, actor: Principal, *, body: PostFirings, settings: Settings) -> None:
        self.actor = actor
        self.events = transaction.events.many([*(new.event for new in body.firings), *body.ended])
        told = (self.events.get(number) for number in dict.fromkeys(body.ended))
        self.ended = [event for event in told if event is not None and event.type in conditions.ENDED_TASKS]
        causes = sorted({event.cause for event in self.ended if event.cause is not None})
        owners = [transaction.firings.get(firing).trigger_id for firing in causes]
        # Every row first and in one order: two schedulers with the same triggers in other orders would wait in a ring.
        self.triggers = transaction.triggers.lock_all([*(new.trigger_id for new in body.firings), *owners])
        self.present = transaction.firings.of_events([(new.trigger_id, str(new.event)) for new in body.firings])
        self.batch = Batch(transaction, actor, settings=settings)
        self.batch.history.look_for_pauses(list(self.triggers))

    def take(self, new: NewFiring) -> Told:
        """Act on one match, unless it was acted on before or should not be."""
        trigger = self.triggers.get(new.trigger_id)
        refusal = self._refusal(new, trigger=trigger)
        if trigger is None or refusal is not None:
            return refusal or Told(outcome="stale_revision", reason="The trigger is gone.")
        key = (trigger.id, str(new.event))
        if (present := self.present.get(key)) is not None:
            return Told(outcome="duplicate", firing=present)
        event = self.events.get(new.event)
        if event is None:
            return Told(outcome="failed", reason=f"There is no event {new.event}.")
        if event.id <= trigger.revised_after:
            return Told(outcome="skipped", reason="The event is older than this revision of the trigger.")
        verdict = conditions.matches(trigger.condition, event)
        if not verdict.matched:
            return Told(outcome="skipped", reason=verdict.reason)
        self.present[key] = firing = take_event(self.batch, trigger=self.batch.fresh(trigger), event=event)
        return Told(firing=firing)

    def _refusal(self, new: NewFiring, *, trigger: Trigger | None) -> Told | None:
        if trigger is None or trigger.state is TriggerState.REMOVED:
            return Told(outcome="stale_revision", reason="The trigger is gone.")
        if trigger.revision != new.revision:
            return Told(outcome="stale_revision", reason=f"The trigger is at revision {trigger.revision} by now.")
        if not self.actor.may(Permission.FIRE, trigger.project):
            return Told(outcome="failed", reason="This token may not fire triggers of that project.")
        return None


def _result(new: NewFiring, *, told: Told, batch: Batch) -> FiringResult:
    fields: dict[str, object] = {"trigger_id": new.trigger_id, "event": new.event, "reason": told.reason}
    if told.firing is None:
        return FiringResult.model_validate(fields | {"outcome": told.outcome})
    firing = batch.ended.get(told.firing.id, told.firing)
    return FiringResult.model_validate(fields | {"outcome": told.outcome or firing.status, **facts(firing)})


def facts(firing: Firing) -> dict[str, object]:
    """Return what a result tells of a firing."""
    return {
        "firing_id": firing.id,
        "task_id": firing.task_id,
        "reason": firing.reason,
        "due_at": firing.due_at or firing.next_try_at,
    }


def _new_firing(batch: Batch, *, trigger: Trigger, events: tuple[Event, ...], key: str) -> Firing:
    return Firing(
        id=new_id(),
        trigger_id=trigger.id,
        revision=trigger.revision,
        event_key=key,
        events=tuple(event.id for event in events),
        created_at=batch.now,
        changed_at=batch.now,
    )


def _collect(batch: Batch, case: Case) -> Firing | None:
    """Put an event into the trigger's window, which is opened where there is none; None where it needs no window."""
    transaction, trigger = batch.transaction, case.trigger
    if not collects(trigger):
        return None
    batch.flush()
    present = transaction.firings.collecting(trigger.id)
    if present is not None:
        return batch.note(join(transaction, present, trigger=trigger, events=case.events))
    ends = window_end(transaction, trigger=trigger, now=batch.now, opened=batch.now)
    return None if ends is None else batch.keep(case, FiringStatus.COLLECTING, due_at=ends, reason=COLLECTING)
