"""Reading and writing a task's parameters, typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict, InvalidRequest, UnknownParameter
from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Permission
from orchestrator.records.task import Parameter
from orchestrator.records.values import coerce, decode
from orchestrator.services.near_misses import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import ParameterType
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import PutParameters


def list_parameters(transaction: Transaction, actor: Principal, *, task_id: Id) -> list[Parameter]:
    """Return a task's parameters, sorted by name.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not read in its project.
    """
    actor.require(Permission.READ, transaction.tasks.get(task_id).project)
    return transaction.tasks.parameters(task_id)


def put_parameters(transaction: Transaction, actor: Principal, *, task_id: Id, body: PutParameters) -> list[Parameter]:
    """Write parameters: a person while the task is created, its own attempt while it runs.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not edit in its project.
        Conflict: the task has been enqueued or run.
        InvalidRequest: a value cannot be read as the type of the value that it replaces.
    """
    task = transaction.tasks.get(task_id, lock=True)
    if actor.task_id != task_id:
        actor.require(Permission.EDIT, task.project)
        if task.status is not Status.CREATED:
            raise Conflict(
                f"The parameters of a task that is {task.status} are part of its record.",
                hint=f"Clone it with others: retrain task clone {task_id} --set Section/name=value",
            )
    present = {parameter.name: parameter for parameter in transaction.tasks.parameters(task_id)}
    if body.mode == "connect":
        changed = [check_value(each) for each in body.parameters if each.name not in present]
    else:
        changed = [
            typed(present[each.name], text=each.value, kind=each.type) if each.name in present else check_value(each)
            for each in body.parameters
        ]
    transaction.tasks.put_parameters(task_id, tuple({each.name: each for each in changed}.values()))
    return transaction.tasks.parameters(task_id)


def override(
    present: list[Parameter],
    *,
    overrides: Mapping[str, str],
    allow_new: bool,
    types: Mapping[str, ParameterType] | None = None,
) -> list[Parameter]:
    """Return parameters with some texts replaced; each takes the type of the value that it replaces.

    Args:
        present: the reference's.
        overrides: `Section/name` to text.
        allow_new: whether a name may be one that the reference does not have.
        types: of texts, where they are known; they count where the reference has no value or no such parameter.

    Raises:
        UnknownParameter: an override names none of them, and new ones are not allowed; near misses are listed.
        InvalidRequest: a text cannot be read as that type, or a new name is no `Section/name`.
    """
    merged = {parameter.name: parameter for parameter in present}
    for name, text in overrides.items():
        kind = (types or {}).get(name, "string")
        if name in merged:
            merged[name] = typed(merged[name], text=text, kind=kind)
        elif not allow_new:
            raise UnknownParameter(
                f"The reference task has no parameter {name!r}.",
                hint=did_you_mean(name, known=(each.name for each in present)),
            )
        else:
            merged[name] = new_parameter(name, text=text, kind=kind)
    return list(merged.values())


def typed(parameter: Parameter, *, text: str, kind: ParameterType = "string") -> Parameter:
    """Return the parameter with another text, read as its type.

    Args:
        parameter: what it replaces.
        text: the new value's.
        kind: what the text was made of; its type where the parameter had no value.

    Raises:
        InvalidRequest: it cannot be read so.
    """
    if parameter.type == "none" and kind != "string":
        return check_value(parameter.changed(type=kind, value=text))
    try:
        new_kind, value = coerce(parameter.type, text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"Parameter {parameter.name!r}: {error}.", hint=f"It is of type {parameter.type}."
        ) from error
    return Parameter.model_validate({"name": parameter.name, "type": new_kind, "value": value})


def new_parameter(name: str, *, text: str, kind: ParameterType = "string") -> Parameter:
    """Return a parameter that the reference does not have: a string, unless its type is known.

    Raises:
        InvalidRequest: the name is no `Section/name`, or the text is not of that type.
    """
    try:
        return check_value(Parameter(name=name, type=kind, value=text))
    except ValueError:
        raise InvalidRequest(f"{name!r} is no parameter.", hint="Write Section/name, such as Args/lr.") from None


def check_value(parameter: Parameter) -> Parameter:
    """Return the parameter when its text is of its type.

    Raises:
        InvalidRequest: it is not.
    """
    try:
        decode(parameter.type, parameter.value)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"Parameter {parameter.name!r}: {error}.") from error
    return parameter
