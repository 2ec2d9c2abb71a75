"""What is known of versions and their files, and which storage new bytes go to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, select

from orchestrator.records.dataset import DatasetState, Metadata, Storage, StorageChoice
from orchestrator.store.sql.rows import chunks, columns_of, to_row
from orchestrator.store.sql.tables import (
    dataset_metadata,
    dataset_profiles,
    dataset_versions,
    file_profiles,
    storage_choices,
    storages,
)
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class MetadataRows(Noun):
    """The part of `Datasets` that is about metadata and profiles."""

    def put_metadata(self, metadata: Metadata) -> None:
        """Insert metadata, or overwrite those of the same version and name."""
        self._unit.put(dataset_metadata, [to_row(metadata, dataset_metadata)])

    def metadata(self, version_id: str) -> list[Metadata]:
        """Return a version's metadata, sorted by name."""
        statement = select(*columns_of(Metadata, dataset_metadata)).where(dataset_metadata.c.version_id == version_id)
        return self._unit.records(Metadata, statement.order_by(dataset_metadata.c.name))

    def drop_facts(self, version_id: str) -> None:
        """Remove a version's metadata and profile."""
        for table in (dataset_metadata, dataset_profiles):
            self._unit.execute(delete(table).where(table.c.version_id == version_id))

    def file_profiles(self, digests: Sequence[bytes]) -> dict[bytes, Any]:
        """Return the JSON profiles of those of these blobs that have one."""
        found: dict[bytes, Any] = {}
        for asked in chunks(digests):
            statement = select(file_profiles).where(self._unit.among(file_profiles.c.digest, asked))
            found.update((digest, profile) for digest, profile in self._unit.execute(statement))
        return found

    def put_file_profiles(self, profiles: Mapping[bytes, Any]) -> None:
        """Keep profiles of blobs, as JSON values."""
        self._unit.put(file_profiles, ({"digest": digest, "profile": each} for digest, each in profiles.items()))

    def profile(self, version_id: str) -> Any:  # noqa: ANN401  JSON is any
        """Return a version's profile as a JSON value, or None where it has none yet."""
        return self._unit.scalar(
            select(dataset_profiles.c.profile).where(dataset_profiles.c.version_id == version_id),
        )

    def put_profile(self, version_id: str, profile: Any) -> None:  # noqa: ANN401  JSON is any
        """Keep a version's profile."""
        self._unit.put(dataset_profiles, [{"version_id": version_id, "profile": profile}])

    def unprofiled(self, *, limit: int = 10) -> list[str]:
        """Return ids of final, not deleted versions that have no profile, oldest first."""
        version = dataset_versions.c
        statement = (
            select(version.id)
            .where(version.state != DatasetState.OPEN.value, version.deleted_at.is_(None))
            .where(~exists().where(dataset_profiles.c.version_id == version.id))
        )
        return list(self._unit.execute(statement.order_by(version.id).limit(limit)).scalars())


class StorageRows(Noun):
    """The part of `Datasets` that is about storages."""

    def storages(self) -> list[Storage]:
        """Return every storage, sorted by name."""
        return self._unit.records(Storage, select(*columns_of(Storage, storages)).order_by(storages.c.name))

    def put_storage(self, storage: Storage) -> None:
        """Insert a storage, or overwrite the one of the same name."""
        self._unit.put(storages, [to_row(storage, storages)])

    def choices(self) -> list[StorageChoice]:
        """Return which storages were chosen for what, sorted by project and dataset."""
        statement = select(*columns_of(StorageChoice, storage_choices))
        in_order = statement.order_by(storage_choices.c.project, storage_choices.c.dataset)
        return self._unit.records(StorageChoice, in_order)

    def put_choice(self, choice: StorageChoice) -> None:
        """Insert a choice, or overwrite the one for the same project and dataset."""
        self._unit.put(storage_choices, [to_row(choice, storage_choices)])

    def drop_choice(self, *, project: str, dataset: str) -> bool:
        """Remove a choice; return whether there was one."""
        column = storage_choices.c
        statement = delete(storage_choices).where(column.project == project, column.dataset == dataset)
        return self._unit.execute(statement).rowcount == 1
