"""Dataset versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update
from typing_extensions import override

from orchestrator.errors import AlreadyExists, Conflict, NotFound
from orchestrator.records.dataset import DatasetState, DatasetVersion, SemanticVersion
from orchestrator.store.protocol import Datasets
from orchestrator.store.sql.dataset_facts import MetadataRows, StorageRows
from orchestrator.store.sql.dataset_filters import called, in_project, in_state, numbered, with_tags
from orchestrator.store.sql.dataset_names import NameRows
from orchestrator.store.sql.manifests import ManifestRows
from orchestrator.store.sql.rows import chunks, columns_of, differences, to_row
from orchestrator.store.sql.tables import dataset_parents, dataset_tags, dataset_versions
from orchestrator.store.sql.tags import replace_tags

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSIONS = select(*columns_of(DatasetVersion, dataset_versions))


class SqlDatasets(NameRows, ManifestRows, MetadataRows, StorageRows, Datasets):
    """Dataset versions by id."""

    @override
    def add(self, version: DatasetVersion) -> None:
        row = to_row(version, dataset_versions) | _derived(version)
        if not self._unit.add_new(dataset_versions, row):
            raise _taken(version)
        self._replace_parents(version)
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
        if version.parents != expected.parents:
            self._replace_parents(version)
        if version.tags != expected.tags:
            replace_tags(self._unit, dataset_tags, owner=version.id, tags=version.tags)

    @override
    def find(  # the protocol's own signature
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        name_part: str | None = None,
        version: str | None = None,
        version_from: str | None = None,
        version_before: str | None = None,
        states: Sequence[str] = (),
        tags: Sequence[str] = (),
        tags_any: Sequence[str] = (),
        tags_none: Sequence[str] = (),
        archived: bool | None = False,
        deleted: bool = False,
        projects_below: str = "",
        exact_project: bool = False,
        after: str | None = None,
        limit: int = 100,
    ) -> list[DatasetVersion]:
        statement = _VERSIONS.where(
            *in_project(project=project, exact_project=exact_project, projects_below=projects_below),
            *called(name=name, name_part=name_part),
            *numbered(version=version, version_from=version_from, version_before=version_before),
            *in_state(states=states, archived=archived, deleted=deleted),
            *with_tags(every=tags, some=tags_any, none=tags_none),
        )
        if after is not None:
            statement = statement.where(dataset_versions.c.id < after)
        return self._unit.records(DatasetVersion, statement.order_by(dataset_versions.c.id.desc()).limit(limit))

    @override
    def newest(
        self, *, project: str, name: str, states: Sequence[str], tags: Sequence[str] = ()
    ) -> DatasetVersion | None:
        column = dataset_versions.c
        statement = (
            _VERSIONS.where(column.project == project, column.name == name)
            .where(*in_state(states=states), *with_tags(every=tags))
            .order_by(column.major.desc(), column.minor.desc(), column.patch.desc(), column.id.desc())
            .limit(1)
        )
        return self._unit.record(DatasetVersion, statement)

    @override
    def children(self, version_ids: Sequence[str]) -> list[str]:
        column = dataset_parents.c
        found: set[str] = set()
        for asked in chunks(version_ids):
            statement = select(column.version_id).where(self._unit.among(column.parent_id, asked))
            found.update(self._unit.execute(statement).scalars())
        return sorted(found)

    def _replace_parents(self, version: DatasetVersion) -> None:
        self._unit.execute(delete(dataset_parents).where(dataset_parents.c.version_id == version.id))
        rows = ({"version_id": version.id, "parent_id": parent} for parent in dict.fromkeys(version.parents))
        self._unit.add(dataset_parents, rows)


def _derived(version: DatasetVersion) -> dict[str, Any]:
    """Return the semantic version as columns that sort, and as one that is unique among final versions."""
    numbers = to_row(SemanticVersion.parse(version.version), dataset_versions)
    return numbers | {"final_version": None if version.state is DatasetState.OPEN else version.version}


def _taken(version: DatasetVersion) -> AlreadyExists:
    return AlreadyExists(
        f"{version.project}/{version.name} has a version {version.version} already.",
        hint="Give another version, or none: it counts up by itself.",
    )
