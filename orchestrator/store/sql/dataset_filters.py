"""Which dataset versions are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, func, select, tuple_

from orchestrator.records.dataset import DatasetState, SemanticVersion
from orchestrator.store.sql.rows import below, to_row
from orchestrator.store.sql.tables import dataset_tags, dataset_versions
from orchestrator.store.sql.tags import tagged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_VERSION = dataset_versions.c
_NUMBERS = tuple_(_VERSION.major, _VERSION.minor, _VERSION.patch)


def in_project(*, project: str | None, exact_project: bool, projects_below: str) -> Iterator[ColumnElement[bool]]:
    """Match versions of a project or below, and of what the reader may see."""
    if project is not None and exact_project:
        yield _VERSION.project == project
    elif project:
        yield below(_VERSION.project, project)
    if projects_below:
        yield below(_VERSION.project, projects_below)


def called(*, name: str | None, name_part: str | None) -> Iterator[ColumnElement[bool]]:
    """Match versions by their name; upper and lower case differ."""
    if name is not None:
        yield _VERSION.name == name
    if name_part:
        # LIKE would fold case on SQLite, and every database has its own word for finding a text in a text.
        yield func.replace(_VERSION.name, name_part, "") != _VERSION.name


def numbered(
    *, version: str | None, version_from: str | None, version_before: str | None
) -> Iterator[ColumnElement[bool]]:
    """Match semantic versions: they are compared number by number."""
    if version is not None:
        yield _VERSION.version == version
    if version_from is not None:
        yield _numbers(version_from) <= _NUMBERS
    if version_before is not None:
        yield _numbers(version_before) > _NUMBERS


def in_state(
    *, states: Sequence[str], archived: bool | None = None, deleted: bool = False
) -> Iterator[ColumnElement[bool]]:
    """Match versions by where they are in their life."""
    if states:
        yield _VERSION.state.in_([DatasetState(state).value for state in states])
    if archived is not None:
        yield _VERSION.archived_at.is_not(None) if archived else _VERSION.archived_at.is_(None)
    if not deleted:
        yield _VERSION.deleted_at.is_(None)


def with_tags(
    *, every: Sequence[str], some: Sequence[str] = (), none: Sequence[str] = ()
) -> Iterator[ColumnElement[bool]]:
    """Match versions that have every one of these tags, at least one of those, and none of the third."""
    yield from (tagged(_VERSION.id, dataset_tags, tag) for tag in every)
    if some:
        yield _VERSION.id.in_(select(dataset_tags.c.owner).where(dataset_tags.c.tag.in_(some)))
    if none:
        yield _VERSION.id.not_in(select(dataset_tags.c.owner).where(dataset_tags.c.tag.in_(none)))


def _numbers(version: str) -> ColumnElement[tuple[int, int, int]]:
    numbers = to_row(SemanticVersion.parse(version), dataset_versions)
    return tuple_(numbers["major"], numbers["minor"], numbers["patch"])
