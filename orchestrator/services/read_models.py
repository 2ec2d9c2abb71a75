"""Looking at model versions, their aliases and the history of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

from orchestrator.errors import NotFound
from orchestrator.records.model import ModelState
from orchestrator.records.principal import Permission
from orchestrator.wire import ListedModel, ModelDetail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.records.base import Id
    from orchestrator.records.model import AliasMove, ModelVersion
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction

_AT_ONCE = 100


class ModelFilters(TypedDict, total=False):
    """What `Models.find` takes from whoever asks."""

    project: str | None
    name: str | None
    tag: str | None
    alias: str | None
    task_id: str | None
    archived: bool
    after: str | None
    limit: int


def detail_of(transaction: Transaction, model: ModelVersion) -> ModelDetail:
    """Return a version with its aliases."""
    return ModelDetail(model=model, aliases=tuple(transaction.models.aliases([model.id])))


def show_model(transaction: Transaction, actor: Principal, *, model_id: Id) -> ModelDetail:
    """Return a version and its aliases.

    Raises:
        NotFound: there is none of that id.
        Forbidden: the actor may not read in its project.
    """
    model = transaction.models.get(model_id)
    actor.require(Permission.READ, model.project)
    return detail_of(transaction, model)


def list_models(transaction: Transaction, actor: Principal, **filters: Unpack[ModelFilters]) -> list[ListedModel]:
    """Return versions in projects that the actor may read, newest first.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    found = transaction.models.find(**filters, projects_below=actor.project)
    aliases: dict[str, list[str]] = {}
    for each in transaction.models.aliases([model.id for model in found]):
        aliases.setdefault(each.model_id, []).append(each.alias)
    return [ListedModel(**dict(model), aliases=tuple(aliases.get(model.id, ()))) for model in found]


def newest_model(  # noqa: PLR0913  the parts of a name
    transaction: Transaction,
    actor: Principal,
    *,
    project: str,
    name: str,
    alias: str | None = None,
    version: int | None = None,
    tags: Sequence[str] = (),
    published: bool = False,
) -> ModelDetail:
    """Return the version that has an alias or a number, or the newest one that is not archived.

    Args:
        transaction: a reading one.
        actor: who asks.
        project: exactly this one.
        name: of the model.
        alias: it has this alias.
        version: its number.
        tags: it has all of them.
        published: it is published.

    Raises:
        NotFound: there is none that all of this is true of.
        Forbidden: the actor may not read in the project.
    """
    actor.require(Permission.READ, project)

    def fits(model: ModelVersion) -> bool:
        is_state = not published or model.state is ModelState.PUBLISHED
        return is_state and set(tags) <= set(model.tags) and version in {None, model.version}

    found: ModelVersion | None
    if alias is not None:
        holder = transaction.models.alias(project, name, alias)
        found = None if holder is None else transaction.models.get(holder.model_id)
    elif version is not None:
        found = transaction.models.by_version(project, name, version)
    else:
        found = _newest(transaction, project=project, name=name, fits=fits)
    if found is None or not fits(found):
        wanted = [
            *(["published"] if published else []),
            *([f"version {version}"] if version is not None else ["version"]),
            f"of the model {name!r} in project {project!r}",
            *([f"with the alias {alias!r}"] if alias is not None else []),
            *([f"with the tags {', '.join(tags)}"] if tags else []),
        ]
        raise NotFound(
            f"There is no {' '.join(wanted)}.", hint=f"See what there is: retrain model list --project {project}"
        )
    return detail_of(transaction, found)


def list_moves(  # noqa: PLR0913  the parts of a name, and of a page
    transaction: Transaction,
    actor: Principal,
    *,
    project: str,
    name: str,
    alias: str | None,
    after: str | None,
    limit: int,
) -> list[AliasMove]:
    """Return how the aliases of a model moved, or one of them, newest first.

    Raises:
        Forbidden: the actor may not read in the project.
    """
    actor.require(Permission.READ, project)
    return transaction.models.history(project, name, alias=alias, after=after, limit=limit)


def _newest(
    transaction: Transaction, *, project: str, name: str, fits: Callable[[ModelVersion], bool]
) -> ModelVersion | None:
    after = None
    while True:
        found = transaction.models.find(project=project, name=name, after=after, limit=_AT_ONCE)
        for model in found:
            if model.project == project and fits(model):  # the store also finds those in projects below
                return model
        if len(found) < _AT_ONCE:
            return None
        after = found[-1].id
