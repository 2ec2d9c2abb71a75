"""Looking at dataset versions."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypedDict, Unpack

from orchestrator.errors import NotFound
from orchestrator.records.principal import Permission
from orchestrator.services.dataset_states import CLOSED, require_present
from orchestrator.services.manifest_entries import told
from orchestrator.services.storages import choose_for, find_storage
from orchestrator.services.version_numbers import read_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetState, DatasetVersion, ManifestEntry, Storage
    from orchestrator.records.manifest import Manifest
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Report
    from orchestrator.store.protocol import Transaction


def get_dataset(transaction: Transaction, actor: Principal, *, version_id: Id) -> DatasetVersion:
    """Return a version, also one that was deleted.

    Raises:
        NotFound: there is none of that id.
        Forbidden: the actor may not read in its project.
    """
    version = transaction.datasets.get(version_id)
    actor.require(Permission.READ, version.project)
    return version


def get_files(transaction: Transaction, actor: Principal, *, version_id: Id) -> Manifest:
    """Return the manifest of a version.

    Raises:
        NotFound: there is none of that id, or it was deleted; the message says when.
        Forbidden: the actor may not read in its project.
    """
    require_present(get_dataset(transaction, actor, version_id=version_id))
    return transaction.datasets.manifest(version_id)


class DatasetFilters(TypedDict, total=False):
    """What `Datasets.find` takes from whoever asks."""

    project: str | None
    name: str | None
    name_part: str | None
    version: str | None
    version_from: str | None
    version_before: str | None
    tags: Sequence[str]
    tags_any: Sequence[str]
    tags_none: Sequence[str]
    states: Sequence[str]
    archived: bool | None
    after: str | None
    limit: int


def list_datasets(
    transaction: Transaction, actor: Principal, **filters: Unpack[DatasetFilters]
) -> list[DatasetVersion]:
    """Return versions of projects that the actor may read, newest first.

    Raises:
        Forbidden: the actor may not read.
        InvalidRequest: an end of the range of versions is none.
    """
    actor.require(Permission.READ)
    for end in (filters.get("version_from"), filters.get("version_before")):
        if end is not None:
            read_number(end)
    return transaction.datasets.find(**filters, projects_below=actor.project)


def newest_dataset(  # noqa: PLR0913  the parts of a name
    transaction: Transaction,
    actor: Principal,
    *,
    project: str,
    name: str,
    version: str | None,
    tags: Sequence[str],
    states: Sequence[DatasetState],
) -> DatasetVersion:
    """Return the version with the largest number that has all of these tags; a final one unless states are named.

    Raises:
        NotFound: there is none.
        Forbidden: the actor may not read in the project.
    """
    actor.require(Permission.READ, project)
    wanted = tuple(states) or CLOSED
    if version is None:
        found = transaction.datasets.newest(project=project, name=name, states=wanted, tags=tags)
    else:
        matches = transaction.datasets.find(
            project=project,
            exact_project=True,
            name=name,
            version=version,
            states=wanted,
            tags=tags,
            archived=None,
            limit=1,
        )
        found = matches[0] if matches else None
    if found is None:
        which = " ".join(
            [name, *([version] if version else []), *(["with the tags " + ", ".join(tags)] if tags else [])]
        )
        raise NotFound(
            f"There is no {' or '.join(wanted)} version of {which} in project {project}.",
            hint=f"See what there is: retrain dataset list --project {project}",
        )
    return found


def list_entries(  # noqa: PLR0913  a stretch of a list has many parts
    transaction: Transaction, actor: Principal, *, version_id: Id, after: str | None, below: str | None, limit: int
) -> list[ManifestEntry]:
    """Return a version's files in the order of a walk.

    Args:
        transaction: a reading one.
        actor: who asks.
        version_id: which version.
        after: only those behind this path.
        below: only those in this directory, or the file of this path itself.
        limit: most of them.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not read in its project.
    """
    manifest = get_files(transaction, actor, version_id=version_id)
    entries = manifest.entries(load=transaction.datasets.blocks, after=after, below=below)
    return [told(entry) for entry in islice(entries, limit)]


def get_entry(transaction: Transaction, actor: Principal, *, version_id: Id, path: str) -> ManifestEntry:
    """Return one file of a version; one block of its manifest is read.

    Raises:
        NotFound: there is no such version or file, or the version was deleted.
        Forbidden: the actor may not read in its project.
    """
    manifest = get_files(transaction, actor, version_id=version_id)
    entry = manifest.entry(path, load=transaction.datasets.blocks)
    if entry is None:
        raise NotFound(
            f"The version has no file {path!r}.", hint=f"See what it has: retrain dataset files {version_id}"
        )
    return told(entry)


def get_blocks(transaction: Transaction, actor: Principal, *, version_id: Id, digests: Sequence[bytes]) -> list[bytes]:
    """Return blocks of a version's manifest, in the order asked.

    Raises:
        NotFound: there is no such version, it was deleted, or a block is none of its.
        Forbidden: the actor may not read in its project.
    """
    manifest = get_files(transaction, actor, version_id=version_id)
    own = {block.digest for block in manifest.blocks}
    for digest in digests:
        if digest not in own:
            raise NotFound(
                f"The manifest of {version_id} has no block {digest.hex()}.",
                hint="Read the manifest again: a draft's changes with every edit.",
            )
    return transaction.datasets.blocks(digests)


def storage_of(transaction: Transaction, actor: Principal, *, version_id: Id) -> Storage:
    """Return the storage that a version's new bytes go to.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not read in its project.
    """
    version = get_dataset(transaction, actor, version_id=version_id)
    return find_storage(transaction, name=choose_for(transaction, version=version))


def list_dataset_reports(transaction: Transaction, actor: Principal, *, version_id: Id) -> list[Report]:
    """Return a version's reports.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not read in its project.
    """
    get_dataset(transaction, actor, version_id=version_id)
    return transaction.reports.of(version_id)
