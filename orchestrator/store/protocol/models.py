"""Model versions and their aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.records.model import AliasMove, ModelAlias, ModelVersion


class Models(Protocol):
    """The registry."""

    def lock_name(self, project: str, name: str) -> None:
        """Let no other transaction number versions or move aliases of this model until this one ends."""

    def next_version(self, project: str, name: str) -> int:
        """Return the number that follows the largest one, 1 for the first; lock the name before."""

    def add(self, model: ModelVersion) -> None:
        """Store a version; `AlreadyExists` when project, name and number are taken."""

    def get(self, model_id: str) -> ModelVersion:
        """Return the version."""

    def by_version(self, project: str, name: str, version: int) -> ModelVersion | None:
        """Return the version of that number, or None."""

    def replace(self, model: ModelVersion, *, expected: ModelVersion) -> None:
        """Write the version where state, tags and `archived_at` of its row are as expected, else `Conflict`."""

    def find(  # noqa: PLR0913  a filter is made of many optional parts
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
        """Return versions, newest first.

        Args:
            project: this project or below.
            name: exact.
            tag: one of its tags.
            alias: it has this alias now.
            task_id: the task that made it.
            archived: archived ones, too.
            projects_below: nothing outside this project is returned: the reader's grant.
            after: id at which the page before ended.
            limit: most rows.
        """

    def alias(self, project: str, name: str, alias: str) -> ModelAlias | None:
        """Return what an alias stands for, or None."""

    def aliases(self, model_ids: Sequence[str]) -> list[ModelAlias]:
        """Return the aliases that these versions have, sorted by alias."""

    def move_alias(self, move: AliasMove) -> None:
        """Have the alias stand for the version that the move names, or for none, and add the move to the history."""

    def history(
        self, project: str, name: str, *, alias: str | None = None, after: str | None = None, limit: int = 100
    ) -> list[AliasMove]:
        """Return moves, newest first."""
