"""From a firing to what its trigger does on the server: a clone, a run of the reference itself, a promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.records.action import ChainAction, CloneAction, PromoteAction, Step
from orchestrator.records.firing import FiringStatus
from orchestrator.records.lifecycle import Status
from orchestrator.services.challenge import challenge
from orchestrator.services.clone import announce_clone, prepare_clone
from orchestrator.services.enqueue import check_queue
from orchestrator.services.firing_batch import Batch, Case, Planned
from orchestrator.services.rerun import rerun_task
from orchestrator.services.template_values import values_for
from orchestrator.wire import CloneTask
from triggers import templates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.records.action import Action
    from orchestrator.records.base import Id
    from orchestrator.records.firing import Firing
    from orchestrator.records.task import Task
    from orchestrator.records.trigger import Trigger

_NAME_LENGTH = 255


def launch(batch: Batch, case: Case, *, chain: tuple[Id, ...]) -> Firing:
    """Do what the trigger does, with the rights of whoever registered it; where it cannot be done the firing fails.

    Args:
        batch: of the transaction.
        case: a firing whose turn has come and whose gates are open.
        chain: the triggers that led to the event.
    """
    action = case.trigger.action
    if isinstance(action, PromoteAction):
        return batch.trying(case, lambda: _promote(batch, case))
    try:
        clone = clone_of(action, step=case.firing.step)
    except InvalidRequest as error:
        return batch.fail(case, reason=str(error))
    if clone.reuse:
        return batch.trying(case, lambda: _run_again(batch, case, action=clone, chain=chain))
    return batch.trying_to_plan(case, lambda: _plan(batch, case, action=clone, chain=chain))


def clone_of(action: Action, *, step: str | None) -> CloneAction:
    """Return the clone that an action asks for: itself, or a step of the chain.

    Raises:
        InvalidRequest: the action makes no task, or the chain has no such step any more.
    """
    if isinstance(action, ChainAction):
        for each in action.steps:
            if step in (None, each.step):
                return each
        raise InvalidRequest(f"The chain has no step {step!r}.")
    if not isinstance(action, CloneAction):
        raise InvalidRequest(f"An action of kind {action.kind} makes no task.")
    return action


def fill_clone(*, trigger: Trigger, action: CloneAction, values: Mapping[str, str], reference: Task) -> CloneTask:
    """Return the clone that an action asks for, its templates filled.

    Raises:
        UnknownTemplateName: a template names nothing.
        InvalidRequest: a filled template does not fit where it stands.
    """

    def filled(text: str | None) -> str | None:
        return None if text is None else templates.fill(text, values)

    suffix = f"{trigger.name}: {action.step}" if isinstance(action, Step) else trigger.name
    name = f"{reference.name} ({suffix})" if action.name is None else templates.fill(action.name, values)
    # A tag has no comma: one that is filled with a list of tags becomes all of them.
    tags = (tag for text in action.tags for tag in templates.fill(text, values).split(",") if tag)
    try:
        return CloneTask(
            name=name[:_NAME_LENGTH],
            project=action.project,
            tags=tuple(sorted({*reference.tags, *tags})),
            parameters={key: templates.fill(text, values) for key, text in action.parameters.items()},
            allow_new=action.allow_new,
            queue=action.queue,
            priority=action.priority,
            commit=filled(action.commit),
            branch=filled(action.branch),
            image=filled(action.image),
        )
    except ValidationError as error:
        raise InvalidRequest(f"The filled action of trigger {trigger.name!r} is no clone: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """Return which fields of a record are wrong and how, in a line."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False))


def _body(batch: Batch, case: Case, *, action: CloneAction) -> tuple[Task, CloneTask]:
    trigger = case.trigger
    try:
        reference, _ = batch.reference(action.task)
    except NotFound:
        raise NotFound(
            f"The reference task {action.task} of trigger {trigger.name!r} is gone.",
            hint="Register the trigger again with another.",
        ) from None
    values = values_for(
        batch.transaction, trigger=trigger, firing=case.firing, events=case.events, settings=batch.settings
    )
    return reference, fill_clone(trigger=trigger, action=action, values=values, reference=reference)


def _plan(batch: Batch, case: Case, *, action: CloneAction, chain: tuple[Id, ...]) -> Planned:
    registrar = batch.history.registrar(case.trigger)
    reference, body = _body(batch, case, action=action)
    batch.knows_queue(action.queue, lambda: check_queue(batch.transaction, name=action.queue))
    task, parameters = prepare_clone(
        registrar,
        reference=(reference, batch.reference(action.task)[1]),
        body=body,
        now=batch.now,
        firing=case.firing.id,
        chain=(*chain, case.trigger.id),
    )
    return Planned(
        case=case,
        task=task,
        parameters=parameters,
        announce=lambda: announce_clone(batch.transaction, registrar, task=task, made_by=case.trigger),
    )


def _run_again(batch: Batch, case: Case, *, action: CloneAction, chain: tuple[Id, ...]) -> Firing:
    registrar = batch.history.registrar(case.trigger)
    reference, body = _body(batch, case, action=action)
    if reference.status in (Status.QUEUED, Status.IN_PROGRESS):
        reason = f"busy: the reference task itself is {reference.status}"
        return batch.end(case, FiringStatus.SKIPPED, reason=reason)
    batch.forget(action.task)
    task = rerun_task(
        batch.transaction, registrar, task_id=action.task, body=body, fired=(case.trigger, case.firing, chain)
    )
    return batch.launch(case, task_id=task.id)


def _promote(batch: Batch, case: Case) -> Firing:
    registrar = batch.history.registrar(case.trigger)
    compared = challenge(batch.transaction, registrar, trigger=case.trigger, firing=case.firing, event=case.events[-1])
    return batch.launch(
        case,
        reason=compared.reason,
        result={"promoted": compared.promoted, "model": compared.model_id, **compared.numbers},
    )
