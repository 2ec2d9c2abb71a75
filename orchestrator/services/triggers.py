"""Looking at triggers; pausing, resuming and removing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict, NotFound
from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import TriggerState
from orchestrator.services.announce import announce_trigger
from orchestrator.services.near_misses import did_you_mean
from orchestrator.services.paging import gather
from orchestrator.wire import TriggerDetail

if TYPE_CHECKING:
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Firing, Trigger
    from orchestrator.store.protocol import Transaction

_FIRINGS_SHOWN = 20
_ALL = 500

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
            known = [each.name for each in transaction.triggers.find(limit=_ALL) if _visible(actor, trigger=each)]
            raise NotFound(f"There is no trigger {key!r}.", hint=did_you_mean(key, known=known)) from None
    actor.require(Permission.READ, trigger.condition.project)
    return trigger


def list_triggers(transaction: Transaction, actor: Principal, *, after: str | None, limit: int) -> list[Trigger]:
    """Return the triggers that watch projects of the actor's, oldest first; removed ones are left out.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    return gather(
        lambda after, limit: transaction.triggers.find(after=after, limit=limit),
        keep=lambda trigger: _visible(actor, trigger=trigger),
        after=after,
        limit=limit,
    )


def show_trigger(transaction: Transaction, actor: Principal, *, key: str) -> TriggerDetail:
    """Return a trigger with its newest firings and how many of its tasks are active.

    Raises:
        NotFound: there is none of that id or name.
        Forbidden: the actor may not read in the project that it watches.
    """
    trigger = find_trigger(transaction, actor, key=key)
    return TriggerDetail(
        trigger=trigger,
        firings=tuple(transaction.triggers.firings(trigger_id=trigger.id, limit=_FIRINGS_SHOWN)),
        active=transaction.tasks.active_of_trigger(trigger.id),
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
    actor.require(permission, found.condition.project)
    trigger = transaction.triggers.get(found.id, lock=True)
    if trigger.state is state:
        return trigger
    if trigger.state is TriggerState.REMOVED:
        raise Conflict(f"Trigger {trigger.name!r} was removed.", hint="Register it again: retrain trigger add.")
    changed = trigger.changed(state=state, changed_at=transaction.now())
    transaction.triggers.replace(changed, expected=trigger)
    announce_trigger(transaction, actor, type=_ANNOUNCED[state], trigger=changed)
    return changed


def list_firings(
    transaction: Transaction, actor: Principal, *, key: str | None, after: str | None, limit: int
) -> list[Firing]:
    """Return firings, newest first, of one trigger or of all that watch projects of the actor's.

    Raises:
        NotFound: there is no such trigger.
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    trigger_id = find_trigger(transaction, actor, key=key).id if key is not None else None
    visible: dict[str, bool] = {}

    def keep(firing: Firing) -> bool:
        if firing.trigger_id not in visible:
            visible[firing.trigger_id] = _visible(actor, trigger=transaction.triggers.get(firing.trigger_id))
        return visible[firing.trigger_id]

    return gather(
        lambda after, limit: transaction.triggers.firings(trigger_id=trigger_id, after=after, limit=limit),
        keep=keep,
        after=after,
        limit=limit,
    )


def _visible(actor: Principal, *, trigger: Trigger) -> bool:
    return actor.may(Permission.READ, trigger.condition.project)
