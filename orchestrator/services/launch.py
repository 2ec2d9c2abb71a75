"""From a trigger and an event to the clone that it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from orchestrator.errors import Forbidden, InvalidRequest, NotFound
from orchestrator.services.authenticate import end_of
from orchestrator.services.clone import clone_task
from orchestrator.wire import CloneTask
from triggers import templates

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.event import Event
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.records.trigger import Firing, Trigger
    from orchestrator.store.protocol import Transaction

_NAME_LENGTH = 255


def launch(transaction: Transaction, *, trigger: Trigger, firing: Firing, event: Event, chain: tuple[Id, ...]) -> Task:
    """Clone the reference and enqueue the clone, with the rights of whoever registered the trigger.

    Args:
        transaction: one that writes, with the trigger's row locked.
        trigger: as it is now.
        firing: the clone's cause.
        event: fills the templates.
        chain: the triggers that led to the event.

    Raises:
        NotFound: the reference task or the queue is gone.
        Forbidden: the registrar's token is revoked, has expired, or lacks the rights.
        InvalidRequest: a filled template does not fit its parameter.
    """
    registrar = find_registrar(transaction, trigger=trigger)
    body = fill_action(transaction, trigger=trigger, event=event)
    return clone_task(transaction, registrar, task_id=trigger.action.task, body=body, fired=(trigger, firing, chain))


def fill_action(transaction: Transaction, *, trigger: Trigger, event: Event) -> CloneTask:
    """Return the clone that a trigger's action asks for, its templates filled from the event.

    Raises:
        NotFound: the reference task is gone.
        UnknownTemplateName: a template names nothing.
        InvalidRequest: a filled template does not fit where it stands.
    """
    action = trigger.action
    try:
        reference = transaction.tasks.get(action.task)
    except NotFound:
        raise NotFound(
            f"The reference task {action.task} of trigger {trigger.name!r} is gone.",
            hint="Register the trigger again with another.",
        ) from None
    values = templates.values_of(event, trigger)
    name = f"{reference.name} ({trigger.name})" if action.name is None else templates.fill(action.name, values)
    # A tag has no comma: one that is filled with a list of tags becomes all of them.
    filled = (tag for text in action.tags for tag in templates.fill(text, values).split(",") if tag)
    try:
        return CloneTask(
            name=name[:_NAME_LENGTH],
            project=action.project,
            tags=tuple(sorted({*reference.tags, *filled})),
            parameters={key: templates.fill(text, values) for key, text in action.parameters.items()},
            allow_new=action.allow_new,
            queue=action.queue,
        )
    except ValidationError as error:
        raise InvalidRequest(f"The filled action of trigger {trigger.name!r} is no clone: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """Return which fields of a record are wrong and how, in a line."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False))


def find_registrar(transaction: Transaction, *, trigger: Trigger) -> Principal:
    """Return with whose rights a trigger acts.

    Raises:
        Forbidden: their token is revoked, has expired or is unknown.
    """
    hint = "Register the trigger again with a token that is valid."
    try:
        registrar = transaction.principals.get(trigger.created_by)
    except NotFound:
        raise Forbidden(f"Nobody is known who registered trigger {trigger.name!r}.", hint=hint) from None
    if ended := end_of(registrar, now=transaction.now()):
        raise Forbidden(f"The token that registered trigger {trigger.name!r} {ended}.", hint=hint)
    return registrar
