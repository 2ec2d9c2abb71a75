"""Registering a trigger by name; everything that could go wrong when it fires and can be known now is refused now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.records.condition import ScheduleCondition
from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import Trigger, TriggerSpec
from orchestrator.services.announce import announce_trigger
from orchestrator.services.authenticate import responsible
from orchestrator.services.check_trigger import TriggerChecks
from orchestrator.services.ids import new_id
from orchestrator.services.settle_unread import settle_unread
from triggers import schedule

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.records.action import Action
    from orchestrator.records.base import Id
    from orchestrator.records.condition import Condition
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import RegisterTrigger


def register_trigger(transaction: Transaction, actor: Principal, *, body: RegisterTrigger) -> Trigger:
    """Register a trigger for events from now on; the same name again makes a revision where something differs.

    It fires with the rights of the actor; those of an attempt are those of whoever enqueued it. With whose rights is a
    part of it: whoever registers the same again with another token takes it over, which mends a trigger whose
    registrar's token was revoked.

    Raises:
        Forbidden: the actor may not edit in the projects that it watches and clones into, or not read what it refers
            to.
        NotFound: a reference task or version, or a queue, does not exist.
        UnknownParameter: an override names no parameter of the reference.
        UnknownTemplateName: a template names nothing.
        InvalidRequest: anything else that could never work; see `services.check_trigger`.
    """
    TriggerChecks(transaction, actor).check(body)
    transaction.triggers.lock_names()
    found = transaction.triggers.by_name(body.name)
    if found is None:
        return add_trigger(transaction, actor, spec=body)
    actor.require(Permission.EDIT, found.project)
    present = transaction.triggers.get(found.id, lock=True)
    if not differs(present, spec=body, registrar=responsible(actor)):
        return present
    return edit_trigger(transaction, actor, present=present, spec=body)


def add_trigger(transaction: Transaction, actor: Principal, *, spec: TriggerSpec) -> Trigger:
    """Store a trigger that was checked, under a name that no other has."""
    now = transaction.now()
    newest = transaction.events.last_id()
    trigger = Trigger(
        id=new_id(),
        starts_after=newest,
        revised_after=newest,
        created_at=now,
        created_by=responsible(actor),
        changed_at=now,
        **_times(spec.condition, now=now, after=None),
        **fields_of(spec),
    )
    transaction.triggers.add(trigger)
    announce_trigger(transaction, actor, type=EventType.TRIGGER_REGISTERED, trigger=trigger)
    return trigger


def edit_trigger(transaction: Transaction, actor: Principal, *, present: Trigger, spec: TriggerSpec) -> Trigger:
    """Store the next revision of a trigger, which was checked.

    What happened before is judged by what the trigger said then. A schedule that stays as it is keeps its place; one
    that is another starts at the present.

    Args:
        transaction: one that has the trigger's row locked.
        actor: who edits.
        present: the trigger as it is.
        spec: as it is to be.
    """
    # Read first: on PostgreSQL a later statement sees what was committed meanwhile, and that is the new revision's.
    newest = transaction.events.last_id()
    settle_unread(transaction, trigger=present, until=newest)
    now = transaction.now()
    changes = fields_of(spec) | {
        "revision": present.revision + 1,
        "revised_after": newest,
        "created_by": responsible(actor),
        "changed_at": now,
    }
    if spec.condition != present.condition:
        changes |= _times(spec.condition, now=now, after=now)
    edited = present.changed(**changes)
    transaction.triggers.replace(edited, expected=present)
    announce_trigger(transaction, actor, type=EventType.TRIGGER_REGISTERED, trigger=edited)
    return edited


def differs(trigger: Trigger, *, spec: TriggerSpec, registrar: Id) -> bool:
    """Tell whether a trigger is not as somebody says it, or acts with the rights of somebody else."""
    if trigger.created_by != registrar or any(getattr(trigger, name) != value for name, value in spec):
        return True
    # In Python true is 1, and in a webhook's body it is not.
    return _as_text(trigger.action) != _as_text(spec.action)


def fields_of(spec: TriggerSpec) -> dict[str, Any]:
    """Return what a person says of a trigger, by field."""
    return {name: getattr(spec, name) for name in TriggerSpec.model_fields}


def _as_text(action: Action) -> str:
    return json.dumps(action.model_dump(mode="json"), sort_keys=True)


def _times(condition: Condition, *, now: datetime, after: datetime | None) -> dict[str, datetime | None]:
    """Return the times of a schedule that begins now; of another condition there are none.

    Args:
        condition: what the trigger waits for.
        now: its times count from now on.
        after: up to when everything is taken care of; None for one that was never there.
    """
    if not isinstance(condition, ScheduleCondition):
        return {"scheduled_at": None, "last_occurrence_at": None, "next_occurrence_at": None}
    return {
        "scheduled_at": now,
        "last_occurrence_at": after,
        "next_occurrence_at": schedule.next_after(condition, after=after, registered_at=now),
    }
