"""Registering a trigger by name; everything that could go wrong when it fires and can be known now is refused now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import NotFound
from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import Trigger
from orchestrator.services.announce import announce_trigger
from orchestrator.services.authenticate import responsible
from orchestrator.services.enqueue import check_queue
from orchestrator.services.ids import new_id
from orchestrator.services.parameters import override
from triggers import templates

if TYPE_CHECKING:
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import CloneAction
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import RegisterTrigger


def register_trigger(transaction: Transaction, actor: Principal, *, body: RegisterTrigger) -> Trigger:
    """Register a trigger for events from now on; the same name again makes a revision where something differs.

    It fires with the rights of the actor; those of an attempt are those of whoever enqueued it. With whose rights is a
    part of it: whoever registers the same again with another token takes it over, which mends a trigger whose
    registrar's token was revoked.

    Raises:
        Forbidden: the actor may not edit in the projects that it watches and clones into, or not read the reference's.
        NotFound: the reference task or the queue does not exist.
        UnknownParameter: an override names no parameter of the reference.
        UnknownTemplateName: a template names nothing.
        InvalidRequest: a value that holds no template does not fit the parameter's type, or a template stands where
            none is filled or cannot become a line.
    """
    actor.require(Permission.EDIT, body.condition.project)
    check_action(transaction, actor, action=body.action)
    now = transaction.now()
    present = transaction.triggers.by_name(body.name)
    if present is None:
        trigger = Trigger(
            id=new_id(),
            starts_after=transaction.events.last_id(),
            created_at=now,
            created_by=responsible(actor),
            changed_at=now,
            **dict(body),
        )
        transaction.triggers.add(trigger)
    else:
        actor.require(Permission.EDIT, present.condition.project)
        registrar = responsible(actor)
        if present.created_by == registrar and all(getattr(present, name) == value for name, value in body):
            return present
        trigger = present.changed(revision=present.revision + 1, created_by=registrar, changed_at=now, **dict(body))
        transaction.triggers.replace(trigger, expected=present)
    announce_trigger(transaction, actor, type=EventType.TRIGGER_REGISTERED, trigger=trigger)
    return trigger


def check_action(transaction: Transaction, actor: Principal, *, action: CloneAction) -> None:
    """Check that an action can be carried out as far as can be known before there is an event.

    Raises:
        Forbidden, NotFound, UnknownParameter, UnknownTemplateName, InvalidRequest: see `register_trigger`.
    """
    try:
        reference = transaction.tasks.get(action.task)
    except NotFound:
        raise NotFound(f"There is no task {action.task} to clone.", hint="See: retrain task list.") from None
    actor.require(Permission.READ, reference.project)
    actor.require(Permission.EDIT, action.project or reference.project)
    _check_templates(action)
    check_queue(transaction, name=action.queue)
    present = transaction.tasks.parameters(action.task)
    kept = {parameter.name: parameter.value for parameter in present}
    # A value with a template in it is known when it fires; until then the reference's own stands for it.
    fixed = {
        name: kept.get(name, text) if templates.names(text) else templates.fill(text, {})
        for name, text in action.parameters.items()
    }
    override(present, overrides=fixed, allow_new=action.allow_new)


def _check_templates(action: CloneAction) -> None:
    for line in (action.name or "", *action.tags):
        templates.check_line(line)
    for text in action.parameters.values():
        templates.check(text)
    templates.refuse(action.queue, field="queue")
    templates.refuse(action.project or "", field="project")
