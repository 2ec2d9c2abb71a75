"""Model versions, and the aliases by which they are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update
from typing_extensions import override

from orchestrator.errors import AlreadyExists, Conflict, NotFound
from orchestrator.records.model import AliasMove, ModelAlias, ModelVersion
from orchestrator.store.protocol import Models
from orchestrator.store.sql.rows import below, chunks, columns_of, differences, to_row
from orchestrator.store.sql.tables import alias_moves, model_aliases, model_tags, models
from orchestrator.store.sql.tags import replace_tags, tagged
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROWS = models.c
_ALIASES = model_aliases.c
_MOVES = alias_moves.c
_MODELS = select(*columns_of(ModelVersion, models))
_HOLDERS = select(*columns_of(ModelAlias, model_aliases))


class SqlModels(Noun, Models):
    """Model versions by id, and by project, name and number or alias."""

    @override
    def lock_name(self, project: str, name: str) -> None:
        self._unit.lock(f"model {project}/{name}")

    @override
    def next_version(self, project: str, name: str) -> int:
        largest = select(func.max(_ROWS.version)).where(_ROWS.project == project, _ROWS.name == name)
        return int(self._unit.scalar(largest) or 0) + 1

    @override
    def add(self, model: ModelVersion) -> None:
        if not self._unit.add_new(models, to_row(model, models)):
            raise AlreadyExists(f"{model.project}/{model.name} has a version {model.version} already.")
        replace_tags(self._unit, model_tags, owner=model.id, tags=model.tags)

    @override
    def get(self, model_id: str) -> ModelVersion:
        model = self._unit.record(ModelVersion, _MODELS.where(_ROWS.id == model_id))
        if model is None:
            raise NotFound(f"There is no model version {model_id}.", hint="See what there is: retrain model list")
        return model

    @override
    def by_version(self, project: str, name: str, version: int) -> ModelVersion | None:
        same = (_ROWS.project == project, _ROWS.name == name, _ROWS.version == version)
        return self._unit.record(ModelVersion, _MODELS.where(*same))

    @override
    def replace(self, model: ModelVersion, *, expected: ModelVersion) -> None:
        unchanged = (
            _ROWS.id == model.id,
            _ROWS.state == expected.state.value,
            _ROWS.tags == expected.tags,
            _ROWS.archived_at.is_not_distinct_from(expected.archived_at),
        )
        values = differences(model, expected=expected, table=models) | {"changed_at": model.changed_at}
        if self._unit.execute(update(models).where(*unchanged).values(values)).rowcount == 0:
            now = self.get(model.id)
            archived = " and archived" if now.archived_at is not None else ""
            raise Conflict(
                f"Model version {now.id} changed in between: it is {now.state}{archived} and has the tags"
                f" {list(now.tags)}.",
                hint="Look at it again, then repeat what you wanted.",
            )
        if model.tags != expected.tags:
            replace_tags(self._unit, model_tags, owner=model.id, tags=model.tags)

    @override
    def find(
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        tag: str | None = None,
        alias: str | None = None,
        task_id: str | None = None,
        archived: bool = False,
        projects_below: str = "",
        after: str | None = None,
        limit: int = 100,
    ) -> list[ModelVersion]:
        statement = _MODELS.order_by(_ROWS.id.desc()).limit(limit)
        for root in (project, projects_below):
            if root:
                statement = statement.where(below(_ROWS.project, root))
        if name is not None:
            statement = statement.where(_ROWS.name == name)
        if tag is not None:
            statement = statement.where(tagged(_ROWS.id, model_tags, tag))
        if alias is not None:
            statement = statement.where(_ROWS.id.in_(select(_ALIASES.model_id).where(_ALIASES.alias == alias)))
        if task_id is not None:
            statement = statement.where(_ROWS.task_id == task_id)
        if not archived:
            statement = statement.where(_ROWS.archived_at.is_(None))
        if after is not None:
            statement = statement.where(_ROWS.id < after)
        return self._unit.records(ModelVersion, statement)

    @override
    def alias(self, project: str, name: str, alias: str) -> ModelAlias | None:
        same = (_ALIASES.project == project, _ALIASES.name == name, _ALIASES.alias == alias)
        return self._unit.record(ModelAlias, _HOLDERS.where(*same))

    @override
    def aliases(self, model_ids: Sequence[str]) -> list[ModelAlias]:
        found = [
            alias
            for some in chunks(model_ids)
            for alias in self._unit.records(ModelAlias, _HOLDERS.where(self._unit.among(_ALIASES.model_id, some)))
        ]
        return sorted(found, key=lambda each: (each.alias, each.project, each.name))

    @override
    def move_alias(self, move: AliasMove) -> None:
        if move.model_id is None or move.to_version is None:
            same = (_ALIASES.project == move.project, _ALIASES.name == move.name, _ALIASES.alias == move.alias)
            self._unit.execute(delete(model_aliases).where(*same))
        else:
            holder = ModelAlias(
                project=move.project,
                name=move.name,
                alias=move.alias,
                model_id=move.model_id,
                version=move.to_version,
                changed_at=move.at,
            )
            self._unit.put(model_aliases, [to_row(holder, model_aliases)])
        self._unit.add(alias_moves, [to_row(move, alias_moves)])

    @override
    def history(
        self, project: str, name: str, *, alias: str | None = None, after: str | None = None, limit: int = 100
    ) -> list[AliasMove]:
        statement = select(*columns_of(AliasMove, alias_moves)).order_by(_MOVES.id.desc()).limit(limit)
        statement = statement.where(_MOVES.project == project, _MOVES.name == name)
        if alias is not None:
            statement = statement.where(_MOVES.alias == alias)
        if after is not None:
            statement = statement.where(_MOVES.id < after)
        return self._unit.records(AliasMove, statement)
