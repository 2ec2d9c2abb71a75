"""Looking at dataset versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

from orchestrator.errors import NotFound
from orchestrator.records.principal import Permission
from orchestrator.services.create_dataset import CLOSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetState, DatasetVersion, ManifestEntry
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Report
    from orchestrator.store.protocol import Transaction


def get_dataset(transaction: Transaction, actor: Principal, *, version_id: Id) -> DatasetVersion:
    """Return a version.

    Raises:
        NotFound: there is none of that id.
        Forbidden: the actor may not read in its project.
    """
    version = transaction.datasets.get(version_id)
    actor.require(Permission.READ, version.project)
    return version


class DatasetFilters(TypedDict, total=False):
    """What `Datasets.find` takes from whoever asks."""

    project: str | None
    name: str | None
    version: str | None
    tags: Sequence[str]
    states: Sequence[str]
    after: str | None
    limit: int


def list_datasets(
    transaction: Transaction, actor: Principal, **filters: Unpack[DatasetFilters]
) -> list[DatasetVersion]:
    """Return versions of projects that the actor may read, newest first.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
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
            project=project, exact_project=True, name=name, version=version, states=wanted, tags=tags, limit=1
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


def list_entries(
    transaction: Transaction, actor: Principal, *, version_id: Id, after: str | None, limit: int
) -> list[ManifestEntry]:
    """Return a version's files, sorted by path as bytes.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not read in its project.
    """
    get_dataset(transaction, actor, version_id=version_id)
    return transaction.datasets.entries(version_id, after=after, limit=limit)


def list_dataset_reports(transaction: Transaction, actor: Principal, *, version_id: Id) -> list[Report]:
    """Return a version's reports.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not read in its project.
    """
    get_dataset(transaction, actor, version_id=version_id)
    return transaction.reports.of(version_id)
