"""Looking at triggers; pausing, resuming and removing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict, NotFound
from orchestrator.records.base import inside
from orchestrator.records.condition import ScheduleCondition
from orchestrator.records.event import EventType
from orchestrator.records.firing import FiringStatus
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import TriggerState
from orchestrator.services.announce import announce_trigger
from orchestrator.services.near_misses import did_you_mean
from orchestrator.services.paging import gather
from orchestrator.services.verdicts import Verdicts
from orchestrator.wire import TriggerDetail
from triggers import schedule
from triggers.conditions import event_types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.records.base import Id
    from orchestrator.records.event import Event
    from orchestrator.records.firing import Firing
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction

_FIRINGS_SHOWN = 20
_WAITING_SHOWN = 100
_EVENTS_SHOWN = 10
_LOOKED_AT = 1000
"""How many of the newest events of its types are looked through for those of a trigger's project."""
_AT_ONCE = 100
_ALL = 500

_IN_LINE = (FiringStatus.COLLECTING, FiringStatus.DUE, FiringStatus.GATING)

_ANNOUNCED = {
    TriggerState.ACTIVE: EventType.TRIGGER_RESUMED,
    TriggerState.PAUSED: EventType.TRIGGER_PAUSED,
    TriggerState.REMOVED: EventType.TRIGGER_REMOVED,
}


def find_trigger(transaction: Transaction, actor: Principal, *, key: str) -> Trigger:
    """Return a trigger by id or name.

    Raises:
        NotFound: there is none; near misses are listed.
        Forbidden: the actor may not read in the project that it watches.
    """
    trigger = transaction.triggers.by_name(key)
    if trigger is None:
        try:
            trigger = transaction.triggers.get(key)
        except NotFound:
            known = [each.name for each in transaction.triggers.find(limit=_ALL) if is_visible(actor, trigger=each)]
            raise NotFound(f"There is no trigger {key!r}.", hint=did_you_mean(key, known=known)) from None
    actor.require(Permission.READ, trigger.project)
    return trigger


def list_triggers(  # noqa: PLR0913  a filter is made of many optional parts
    transaction: Transaction,
    actor: Principal,
    *,
    after: str | None,
    limit: int,
    ids: Sequence[Id] = (),
    group: str | None = None,
) -> list[Trigger]:
    """Return the triggers that watch projects of the actor's, oldest first; removed ones are left out.

    Args:
        transaction: reads.
        actor: who asks.
        after: id at which the page before ended.
        limit: most triggers.
        ids: these alone, where some are named.
        group: those of this group alone.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    return gather(
        lambda after, limit: transaction.triggers.find(after=after, limit=limit, ids=list(ids) or None, group=group),
        keep=lambda trigger: is_visible(actor, trigger=trigger),
        after=after,
        limit=limit,
    )


def show_trigger(transaction: Transaction, actor: Principal, *, key: str) -> TriggerDetail:
    """Return a trigger with what it saw last, what waits and runs, and its newest firings.

    Raises:
        NotFound: there is none of that id or name.
        Forbidden: the actor may not read in the project that it watches.
    """
    trigger = find_trigger(transaction, actor, key=key)
    verdicts = Verdicts(transaction)
    return TriggerDetail(
        trigger=trigger,
        firings=tuple(transaction.firings.find(trigger_id=trigger.id, limit=_FIRINGS_SHOWN)),
        active=transaction.firings.at_work(trigger.id),
        waiting=tuple(_waiting(transaction, trigger=trigger)),
        running=tuple(_running(transaction, actor, trigger=trigger)),
        recent=tuple(verdicts.of(trigger, event=event) for event in _seen(transaction, trigger=trigger)),
    )


def set_trigger_state(
    transaction: Transaction, actor: Principal, *, key: str, state: TriggerState, permission: Permission
) -> Trigger:
    """Pause, resume or remove a trigger; nothing happens when it is in that state already.

    Raises:
        NotFound: there is none of that id or name.
        Forbidden: the actor lacks the permission in the project that it watches.
        Conflict: it was removed.
    """
    found = find_trigger(transaction, actor, key=key)
    actor.require(permission, found.project)
    trigger = transaction.triggers.get(found.id, lock=True)
    return change_state(transaction, actor, trigger=trigger, state=state)


def change_state(transaction: Transaction, actor: Principal, *, trigger: Trigger, state: TriggerState) -> Trigger:
    """Pause, resume or remove a trigger whose row is locked. A schedule that is resumed goes on from the present.

    Raises:
        Conflict: it was removed.
    """
    if trigger.state is state:
        return trigger
    if trigger.state is TriggerState.REMOVED:
        raise Conflict(f"Trigger {trigger.name!r} was removed.", hint="Register it again: retrain trigger add.")
    now = transaction.now()
    changed = trigger.changed(state=state, changed_at=now)
    if state is TriggerState.ACTIVE and isinstance(trigger.condition, ScheduleCondition):
        begun_at = trigger.scheduled_at or trigger.created_at
        following = schedule.next_after(trigger.condition, after=now, registered_at=begun_at)
        changed = changed.changed(last_occurrence_at=now, next_occurrence_at=following)
    transaction.triggers.replace(changed, expected=trigger)
    announce_trigger(transaction, actor, type=_ANNOUNCED[state], trigger=changed)
    return changed


def list_firings(  # noqa: PLR0913  a filter is made of many optional parts
    transaction: Transaction,
    actor: Principal,
    *,
    key: str | None,
    after: str | None,
    limit: int,
    statuses: Sequence[FiringStatus] = (),
) -> list[Firing]:
    """Return firings, newest first, of one trigger or of all that watch projects of the actor's.

    Args:
        transaction: reads.
        actor: who asks.
        key: id or name of the trigger; None for all.
        after: id at which the page before ended.
        limit: most firings.
        statuses: those that have one of these, where some are named.

    Raises:
        NotFound: there is no such trigger.
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    trigger_id = find_trigger(transaction, actor, key=key).id if key is not None else None
    visible: dict[str, bool] = {}

    def keep(firing: Firing) -> bool:
        if firing.trigger_id not in visible:
            visible[firing.trigger_id] = is_visible(actor, trigger=transaction.triggers.get(firing.trigger_id))
        return visible[firing.trigger_id]

    return gather(
        lambda after, limit: transaction.firings.find(
            trigger_id=trigger_id, statuses=statuses, after=after, limit=limit
        ),
        keep=keep,
        after=after,
        limit=limit,
    )


def is_visible(actor: Principal, *, trigger: Trigger) -> bool:
    """Tell whether somebody may see a trigger."""
    return actor.may(Permission.READ, trigger.project)


def _waiting(transaction: Transaction, *, trigger: Trigger) -> list[Firing]:
    """Return the firings that something is still to come of without anybody's doing, oldest first."""
    find = transaction.firings.find
    in_line = find(trigger_id=trigger.id, statuses=_IN_LINE, limit=_WAITING_SHOWN, oldest_first=True)
    failed = find(trigger_id=trigger.id, statuses=(FiringStatus.FAILED,), limit=_ALL)
    retried = [firing for firing in failed if firing.next_try_at is not None]
    return sorted([*in_line, *retried], key=lambda firing: firing.id)[:_WAITING_SHOWN]


def _running(transaction: Transaction, actor: Principal, *, trigger: Trigger) -> list[Task]:
    tasks = [transaction.tasks.get(task_id) for task_id in transaction.firings.active_tasks(trigger.id)[:_AT_ONCE]]
    return [task for task in tasks if actor.may(Permission.READ, task.project)]


def _seen(transaction: Transaction, *, trigger: Trigger) -> list[Event]:
    """Return the last events of a trigger's own kind in its project, newest first."""
    types = sorted(event_types(trigger.condition))
    seen: list[Event] = []
    before, left = None, _LOOKED_AT if types else 0
    while left and len(seen) < _EVENTS_SHOWN:
        some = transaction.events.recent(types=types, before=before, limit=min(_AT_ONCE, left))
        seen += [event for event in some if inside(event.project, trigger.project)]
        before, left = (some[-1].id, left - len(some)) if len(some) == _AT_ONCE else (None, 0)
    return seen[:_EVENTS_SHOWN]
