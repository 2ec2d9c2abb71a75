"""After a training: is what it made better than the model that holds an alias? Then the alias moves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeGuard

from orchestrator.errors import InvalidRequest
from orchestrator.records.action import PromoteAction
from orchestrator.records.principal import Permission
from orchestrator.services.promote_model import move_to

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.event import Event
    from orchestrator.records.firing import Firing
    from orchestrator.records.model import ModelVersion
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction

_AT_ONCE = 100


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What came of comparing two versions.

    Attributes:
        promoted: whether the alias moved to the challenger.
        reason: why or why not, in one sentence; it begins with `stays: ` where the alias did not move.
        numbers: what was compared, for the history of the alias and the result of the firing.
        model_id: the challenger; None where the task registered none.
    """

    promoted: bool
    reason: str
    numbers: dict[str, Any]
    model_id: Id | None


class Side(NamedTuple):
    """One of the two that are compared.

    Attributes:
        version: its number.
        value: the last one of the metric, None where its task has none, or where no task made it.
        evaluation: the dataset version on which it was evaluated; None where nothing says so.
    """

    version: int
    value: float | None
    evaluation: str | None


def challenge(
    transaction: Transaction, actor: Principal, *, trigger: Trigger, firing: Firing, event: Event
) -> Comparison:
    """Compare the model that the event's task made with the one that holds the alias, and move that where it is better.

    The challenger is the newest version, of those not archived, that the task registered under the action's name in its
    own project. Nothing is promoted without a finite number of its own, and nobody who holds the alias loses it to a
    comparison that cannot be made: without a number of the holder, or with another evaluation version, it stays.

    Args:
        transaction: one that writes.
        actor: whoever registered the trigger.
        trigger: its action is a `PromoteAction`.
        firing: of the trigger.
        event: of the task.

    Raises:
        NotFound: the task is gone.
        Forbidden: the actor may not edit in the task's project.
        InvalidRequest: the trigger does something else.
    """
    action = trigger.action
    if not isinstance(action, PromoteAction):
        raise InvalidRequest(f"Trigger {trigger.name!r} promotes nothing: its action is of kind {action.kind}.")
    task = transaction.tasks.get(event.subject)
    actor.require(Permission.EDIT, task.project)
    transaction.models.lock_name(task.project, action.model)
    model = _newest_of(transaction, task_id=task.id, project=task.project, name=action.model)
    if model is None:
        return Comparison(
            promoted=False,
            reason=f"stays: task {task.id} registered no model {action.model!r} in project {task.project!r}.",
            numbers=_numbers(action, challenger=None, champion=None),
            model_id=None,
        )
    holder = transaction.models.alias(task.project, action.model, action.alias)
    challenger = _side(transaction, model, action=action)
    champion = None
    if holder is not None:
        champion = _side(transaction, transaction.models.get(holder.model_id), action=action)
    better, reason = judge(challenger, champion, action=action)
    numbers = _numbers(action, challenger=challenger, champion=champion)
    if better:
        move_to(transaction, actor, model=model, alias=action.alias, reason=reason, firing=firing.id, numbers=numbers)
    return Comparison(promoted=better, reason=reason, numbers=numbers, model_id=model.id)


def judge(challenger: Side, champion: Side | None, *, action: PromoteAction) -> tuple[bool, str]:  # noqa: PLR0911  a reason a line
    """Decide whether an alias moves, and say why in one sentence. Pure."""
    metric = f"{action.title}/{action.series}"
    alias = action.alias
    ours = f"version {challenger.version}"
    if champion is not None and champion.version == challenger.version:
        return False, f"stays: {ours} has the alias {alias!r} already."
    if not _is_number(challenger.value):
        return False, f"stays: the task of {ours} has {_told(challenger.value)} for {metric}."
    if champion is None:
        return True, f"No version had the alias {alias!r}: {ours} gets it, with {metric} {challenger.value}."
    theirs = f"version {champion.version}"
    if not _is_number(champion.value):
        return False, (
            f"stays: {theirs}, which has the alias {alias!r}, has {_told(champion.value)} for {metric}, so that {ours}"
            " cannot be compared with it."
        )
    if action.evaluation is not None and (
        challenger.evaluation is None or challenger.evaluation != champion.evaluation
    ):
        return False, (
            f"stays: {ours} was evaluated on {challenger.evaluation or 'nothing that is named'} and {theirs} on"
            f" {champion.evaluation or 'nothing that is named'} ({action.evaluation})."
        )
    gain = _gain(challenger.value, over=champion.value, sign=action.sign)
    compared = f"{metric} is {challenger.value} with {ours} and {champion.value} with {theirs}"
    if gain > 0 and gain >= Decimal(repr(action.margin)):
        return True, f"{compared}, which is better by {gain}."
    if gain > 0:
        return False, f"stays: {compared}, which is better by {gain} and so by less than {action.margin}."
    return False, f"stays: {compared}, which is no better."


def _gain(value: float, *, over: float, sign: Literal["max", "min"]) -> Decimal:
    """Return by how much a value is better, of the numbers as people read them: 0.3 is better than 0.2 by 0.1."""
    difference = Decimal(repr(value)) - Decimal(repr(over))
    return difference if sign == "max" else -difference


def _is_number(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _told(value: float | None) -> str:
    return "no value" if value is None else f"the value {value}"


def _newest_of(transaction: Transaction, *, task_id: Id, project: str, name: str) -> ModelVersion | None:
    after = None
    while True:
        found = transaction.models.find(project=project, name=name, task_id=task_id, after=after, limit=_AT_ONCE)
        for model in found:
            if model.project == project:  # the store also finds those in projects below
                return model
        if len(found) < _AT_ONCE:
            return None
        after = found[-1].id


def _side(transaction: Transaction, model: ModelVersion, *, action: PromoteAction) -> Side:
    if model.task_id is None:
        return Side(model.version, None, None)
    last = {(each.title, each.series): each.last for each in transaction.series.summaries(model.task_id)}
    named = {each.name: each.value for each in transaction.tasks.parameters(model.task_id)}
    evaluation = None if action.evaluation is None else named.get(action.evaluation) or None
    return Side(model.version, last.get((action.title, action.series)), evaluation)


def _numbers(action: PromoteAction, *, challenger: Side | None, champion: Side | None) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "metric": f"{action.title}/{action.series}",
        "sign": action.sign,
        "margin": action.margin,
    }
    for name, side in (("challenger", challenger), ("champion", champion)):
        numbers[name] = None if side is None else _plain(side.value)
        numbers[f"{name}_version"] = None if side is None else side.version
    if action.evaluation is not None:
        numbers["evaluation"] = None if challenger is None else challenger.evaluation
        numbers["champion_evaluation"] = None if champion is None else champion.evaluation
    return numbers


def _plain(value: float | None) -> float | str | None:
    """Return a number as JSON has it: NaN and infinities become words."""
    return value if value is None or math.isfinite(value) else str(value)
