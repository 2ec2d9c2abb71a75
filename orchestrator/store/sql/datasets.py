"""Dataset versions, and which of them is a dataset's head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update
from typing_extensions import override

from orchestrator.errors import AlreadyExists, Conflict, HeadMoved, NotFound
from orchestrator.records.dataset import DatasetState, DatasetVersion, SemanticVersion
from orchestrator.store.protocol import Datasets
from orchestrator.store.sql.manifests import ManifestRows
from orchestrator.store.sql.rows import below, columns_of, differences, to_row
from orchestrator.store.sql.tables import dataset_heads, dataset_tags, dataset_versions
from orchestrator.store.sql.tags import replace_tags, tagged

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSIONS = select(*columns_of(DatasetVersion, dataset_versions))


class SqlDatasets(ManifestRows, Datasets):
    """Dataset versions and their manifests."""

    @override
    def add(self, version: DatasetVersion) -> None:
        row = to_row(version, dataset_versions) | _derived(version)
        if not self._unit.add_new(dataset_versions, row):
            raise _taken(version)
        replace_tags(self._unit, dataset_tags, owner=version.id, tags=version.tags)

    @override
    def get(self, version_id: str) -> DatasetVersion:
        version = self._unit.record(DatasetVersion, _VERSIONS.where(dataset_versions.c.id == version_id))
        if version is None:
            raise NotFound(f"There is no dataset version {version_id}.")
        return version

    @override
    def replace(self, version: DatasetVersion, *, expected: DatasetVersion) -> None:
        unchanged = (
            dataset_versions.c.id == version.id,
            dataset_versions.c.state == expected.state.value,
            dataset_versions.c.tags == expected.tags,
        )
        values = differences(version, expected=expected, table=dataset_versions) | _derived(version)
        statement = update(dataset_versions).where(*unchanged).values(values | {"changed_at": version.changed_at})
        try:
            rows = self._unit.savepoint(lambda: self._unit.execute(statement).rowcount)
        except AlreadyExists:
            raise _taken(version) from None
        if rows == 0:
            now = self.get(version.id)
            raise Conflict(
                f"Version {version.id} changed in between: it is {now.state} and has the tags {list(now.tags)}.",
                hint="Look at it again, then repeat what you wanted.",
            )
        if version.tags != expected.tags:
            replace_tags(self._unit, dataset_tags, owner=version.id, tags=version.tags)

    @override
    def find(  # the protocol's own signature
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        version: str | None = None,
        states: Sequence[str] = (),
        tags: Sequence[str] = (),
        projects_below: str = "",
        exact_project: bool = False,
        after: str | None = None,
        limit: int = 100,
    ) -> list[DatasetVersion]:
        column = dataset_versions.c
        statement = _VERSIONS.order_by(column.id.desc()).limit(limit)
        if project is not None and exact_project:
            statement = statement.where(column.project == project)
        elif project:
            statement = statement.where(below(column.project, project))
        if projects_below:
            statement = statement.where(below(column.project, projects_below))
        if name is not None:
            statement = statement.where(column.name == name)
        if version is not None:
            statement = statement.where(column.version == version)
        if states:
            statement = statement.where(column.state.in_([DatasetState(state).value for state in states]))
        if after is not None:
            statement = statement.where(column.id < after)
        has_tags = [tagged(column.id, dataset_tags, tag) for tag in tags]
        return self._unit.records(DatasetVersion, statement.where(*has_tags))

    @override
    def newest(
        self, *, project: str, name: str, states: Sequence[str], tags: Sequence[str] = ()
    ) -> DatasetVersion | None:
        column = dataset_versions.c
        statement = (
            _VERSIONS.where(column.project == project, column.name == name)
            .where(column.state.in_([DatasetState(state).value for state in states]))
            .where(*[tagged(column.id, dataset_tags, tag) for tag in tags])
            .order_by(column.major.desc(), column.minor.desc(), column.patch.desc(), column.id.desc())
            .limit(1)
        )
        return self._unit.record(DatasetVersion, statement)

    @override
    def head(self, *, project: str, name: str) -> str | None:
        column = dataset_heads.c
        head = self._unit.scalar(select(column.version_id).where(column.project == project, column.name == name))
        return None if head is None else str(head)

    @override
    def move_head(self, *, project: str, name: str, expected: str | None, to: str) -> None:
        if expected is None:
            row = {"project": project, "name": name, "version_id": to}
            moved = self._unit.add_new(dataset_heads, row)
        else:
            column = dataset_heads.c
            same = (column.project == project, column.name == name, column.version_id == expected)
            moved = self._unit.execute(update(dataset_heads).where(*same).values(version_id=to)).rowcount == 1
        if not moved:
            raise HeadMoved(
                f"Another version of {project}/{name} was finalized first: {self.head(project=project, name=name)}.",
                hint="Begin a new version from that one and add your files to it.",
            )


def _derived(version: DatasetVersion) -> dict[str, Any]:
    """Return the semantic version as columns that sort, and as one that is unique among final versions."""
    numbers = to_row(SemanticVersion.parse(version.version), dataset_versions)
    return numbers | {"final_version": None if version.state is DatasetState.OPEN else version.version}


def _taken(version: DatasetVersion) -> AlreadyExists:
    return AlreadyExists(
        f"{version.project}/{version.name} has a version {version.version} already.",
        hint="Give another version, or none: it counts up by itself.",
    )
