"""An alias comes to stand for another version of its model, and back; every move is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.errors import Conflict, NotFound
from orchestrator.records.event import EventType
from orchestrator.records.model import AliasMove, ModelVersion
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_model
from orchestrator.services.ids import new_id
from orchestrator.services.read_models import detail_of

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import ModelDetail, MoveAlias, RollBack

_MOVES_AT_ONCE = 100


def promote_model(transaction: Transaction, actor: Principal, *, model_id: Id, body: MoveAlias) -> ModelDetail:
    """Have an alias stand for this version from now on; nothing happens where it does already.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not edit in its project.
        Conflict: it is archived.
    """
    model = _locked(transaction, actor, model_id=model_id)
    _require_listed(model)
    move_to(transaction, actor, model=model, alias=body.alias, reason=body.reason)
    return detail_of(transaction, model)


def roll_back(transaction: Transaction, actor: Principal, *, body: RollBack) -> ModelDetail:
    """Have an alias stand for what it stood for before the newest of its moves that is still in force.

    The history is a stack of which nothing is ever removed: a promotion is put on it, and a roll-back is a further row
    that takes back the topmost promotion that none took back before it, as `git revert` does with commits, one by one
    from the newest. So after 1, 2, 3 two roll-backs in a row lead to 2 and to 1; and after 1, 2, roll-back, 3 the next
    one leads to 1: version 2 was taken back already. Where the alias has stood for one version only there is nothing
    to go back to; it is never taken away.

    Raises:
        NotFound: the model has no such alias.
        Forbidden: the actor may not edit in its project.
        Conflict: it has stood for nothing before, or for a version that is archived by now.
    """
    actor.require(Permission.EDIT, body.project)
    transaction.models.lock_name(body.project, body.name)
    called = f"{body.project}/{body.name}"
    holder = transaction.models.alias(body.project, body.name, body.alias)
    if holder is None:
        raise NotFound(
            f"No version of {called} has the alias {body.alias!r}.", hint="Give it to one: retrain model promote."
        )
    last = _last_in_force(transaction, project=body.project, name=body.name, alias=body.alias)
    earlier = (
        transaction.models.by_version(body.project, body.name, last.from_version)
        if last is not None and last.from_version is not None
        else None
    )
    if last is None or earlier is None:
        raise Conflict(
            f"{body.alias!r} of {called} stood for nothing before version {holder.version}: there is no way back.",
            hint="Give it to another version: retrain model promote.",
        )
    _require_listed(earlier)
    reason = body.reason or f"takes back the move from version {last.from_version} to {last.to_version}"
    move_to(transaction, actor, model=earlier, alias=body.alias, reason=reason, undoes=last.id)
    return detail_of(transaction, earlier)


def move_to(  # noqa: PLR0913  what a row of the history is made of
    transaction: Transaction,
    actor: Principal,
    *,
    model: ModelVersion,
    alias: str,
    reason: str = "",
    firing: Id | None = None,
    numbers: dict[str, Any] | None = None,
    undoes: Id | None = None,
) -> bool:
    """Move an alias and announce it; return False, changing nothing, where the version has it already.

    Args:
        transaction: holds the lock of the model's name.
        actor: who moves it; that it may was checked.
        model: the version that is to have it.
        alias: which.
        reason: for people.
        firing: the one that moves it.
        numbers: what was compared.
        undoes: the move that this one takes back.
    """
    holder = transaction.models.alias(model.project, model.name, alias)
    if holder is not None and holder.model_id == model.id:
        return False
    transaction.models.move_alias(
        AliasMove(
            id=new_id(),
            project=model.project,
            name=model.name,
            alias=alias,
            from_version=None if holder is None else holder.version,
            to_version=model.version,
            model_id=model.id,
            actor=actor.id,
            actor_name=actor.name,
            firing=firing,
            undoes=undoes,
            reason=reason,
            numbers=numbers,
            at=transaction.now(),
        )
    )
    announce_model(
        transaction,
        actor,
        type=EventType.MODEL_PROMOTED,
        model=model,
        cause=firing,
        alias=alias,
        from_version=None if holder is None else holder.version,
        to_version=model.version,
        reason=reason,
    )
    return True


def _locked(transaction: Transaction, actor: Principal, *, model_id: Id) -> ModelVersion:
    model = transaction.models.get(model_id)
    actor.require(Permission.EDIT, model.project)
    transaction.models.lock_name(model.project, model.name)
    return transaction.models.get(model_id)  # it may have been archived while the lock was waited for


def _require_listed(model: ModelVersion) -> None:
    if model.archived_at is not None:
        raise Conflict(
            f"{model.project}/{model.name} {model.version} was archived at {model.archived_at:%Y-%m-%d %H:%M} UTC.",
            hint=f"Take it out of the archive first: retrain model archive --undo {model.id}",
        )


def _last_in_force(transaction: Transaction, *, project: str, name: str, alias: str) -> AliasMove | None:
    """Return the newest move that is no roll-back and that none took back."""
    taken_back: set[str] = set()
    after = None
    while True:
        moves = transaction.models.history(project, name, alias=alias, after=after, limit=_MOVES_AT_ONCE)
        for move in moves:  # newest first: a roll-back comes before what it takes back
            if move.undoes is not None:
                taken_back.add(move.undoes)
            elif move.id not in taken_back:
                return move
        if len(moves) < _MOVES_AT_ONCE:
            return None
        after = moves[-1].id
