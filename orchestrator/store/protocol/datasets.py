"""Dataset versions, their manifests and profiles, and which storage their bytes go to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from orchestrator.records.dataset import DatasetVersion, Metadata, Storage, StorageChoice
    from orchestrator.records.manifest import Manifest


class Datasets(Protocol):
    """Dataset versions and their manifests."""

    def add(self, version: DatasetVersion) -> None:
        """Store a new version."""

    def get(self, version_id: str) -> DatasetVersion:
        """Return the version."""

    def replace(self, version: DatasetVersion, *, expected: DatasetVersion) -> None:
        """Write the version where its row still has the state and tags of `expected`, else `Conflict`.

        `AlreadyExists` when it becomes final and another final version has the same project, name and version.
        """

    def find(  # noqa: PLR0913  a filter is made of many optional parts
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
        """Return versions, newest first (by id).

        Args:
            project: this project or below; exactly this one with `exact_project`.
            name: exact.
            name_part: the name contains it.
            version: exact.
            version_from: this semantic version or a larger one.
            version_before: smaller than this semantic version.
            states: one of these; none for any.
            tags: all of them.
            tags_any: at least one of them.
            tags_none: none of them.
            archived: only those that are, or are not; None for both.
            deleted: those whose files are gone as well.
            projects_below: nothing outside this project is returned: the reader's grant.
            exact_project: see `project`.
            after: id at which the page before ended.
            limit: most rows.
        """

    def newest(
        self, *, project: str, name: str, states: Sequence[str], tags: Sequence[str] = ()
    ) -> DatasetVersion | None:
        """Return the version with the largest semantic version in these states that has all of these tags.

        Deleted ones do not count, archived ones do.
        """

    def head(self, *, project: str, name: str) -> str | None:
        """Return the id of the dataset's newest final version, or None."""

    def move_head(self, *, project: str, name: str, expected: str | None, to: str | None) -> None:
        """Set the dataset's head where it still is `expected`, else `HeadMoved`; None for none."""

    def rename(self, *, project: str, name: str, new_project: str, new_name: str) -> int:
        """Give all versions of a dataset, its head and its storage choice another name; return how many versions.

        `NotFound` when it has no versions, `AlreadyExists` when the new name has some.
        """

    def children(self, version_ids: Sequence[str]) -> list[str]:
        """Return the ids of versions that name one of these as parent, sorted."""

    def manifest(self, version_id: str) -> Manifest:
        """Return a version's manifest; that of a draft that was never filled, or of a deleted version, is empty."""

    def put_manifest(self, version_id: str, manifest: Manifest) -> None:
        """Write a version's manifest; its blocks have been saved.

        `Conflict` when one of them is missing: it was taken over from a manifest that is gone by now.
        """

    def manifests(self) -> list[str]:
        """Return the ids of all versions that have a manifest, sorted."""

    def drop_manifest(self, version_id: str) -> None:
        """Remove a version's manifest; its blocks stay until `sweep_blocks`."""

    def blocks(self, digests: Sequence[bytes]) -> list[bytes]:
        """Return blocks by their digests, in the order asked; each was checked.

        `NotFound` where one is missing, `DigestMismatch` where one is damaged.
        """

    def save_blocks(self, blocks: Mapping[bytes, bytes]) -> None:
        """Keep blocks under their digests, those that are new."""

    def sweep_blocks(self, *, kept: AbstractSet[bytes]) -> int:
        """Remove the blocks that are not among these and that no manifest names by now; return how many there were.

        No manifest is written meanwhile: what a unit of work that began earlier saves or takes over is not removed.
        """

    def put_metadata(self, metadata: Metadata) -> None:
        """Insert metadata, or overwrite those of the same version and name."""

    def metadata(self, version_id: str) -> list[Metadata]:
        """Return a version's metadata, sorted by name."""

    def drop_facts(self, version_id: str) -> None:
        """Remove a version's metadata and profile."""

    def file_profiles(self, digests: Sequence[bytes]) -> dict[bytes, Any]:
        """Return the JSON profiles of those of these blobs that have one. Blobs that are removed lose theirs."""

    def put_file_profiles(self, profiles: Mapping[bytes, Any]) -> None:
        """Keep profiles of blobs, as JSON values."""

    def profile(self, version_id: str) -> Any:  # noqa: ANN401  JSON is any
        """Return a version's profile as a JSON value, or None where it has none yet."""

    def put_profile(self, version_id: str, profile: Any) -> None:  # noqa: ANN401  JSON is any
        """Keep a version's profile."""

    def unprofiled(self, *, limit: int = 10) -> list[str]:
        """Return ids of final, not deleted versions that have no profile, oldest first."""

    def storages(self) -> list[Storage]:
        """Return every storage, sorted by name."""

    def put_storage(self, storage: Storage) -> None:
        """Insert a storage, or overwrite the one of the same name."""

    def choices(self) -> list[StorageChoice]:
        """Return which storages were chosen for what, sorted by project and dataset."""

    def put_choice(self, choice: StorageChoice) -> None:
        """Insert a choice, or overwrite the one for the same project and dataset."""

    def drop_choice(self, *, project: str, dataset: str) -> bool:
        """Remove a choice; return whether there was one."""
