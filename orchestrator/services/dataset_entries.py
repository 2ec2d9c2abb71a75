"""Changing a draft's files: all that is asked for, or nothing."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from orchestrator.errors import Conflict, InvalidPath, InvalidRequest
from orchestrator.records.dataset import DatasetState
from orchestrator.records.paths import check_path
from orchestrator.records.principal import Permission

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import EditEntries

_SHOWN = 5


def edit_entries(transaction: Transaction, actor: Principal, *, version_id: Id, body: EditEntries) -> DatasetVersion:
    """Remove files from a draft, then put others.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not edit in its project.
        Conflict: the version is no draft any more.
        InvalidPath: a path leaves the dataset, or is a file and the directory of another.
        InvalidRequest: a blob has not been uploaded.
    """
    version = transaction.datasets.get(version_id)
    actor.require(Permission.EDIT, version.project)
    if version.state is not DatasetState.OPEN:
        raise Conflict(
            f"{version.name} {version.version} is {version.state}: its files never change again.",
            hint="Make a new version with it as parent.",
        )
    paths = [check_path(entry.path) for entry in body.put]
    touched = version.changed(changed_at=transaction.now())
    transaction.datasets.replace(touched, expected=version)  # takes the row's lock: finalizing waits, or has won
    if body.remove:
        transaction.datasets.remove_entries(version_id, body.remove)
    if body.put:
        _check_blobs(transaction, digests=[entry.digest for entry in body.put])
        transaction.datasets.put_entries(version_id, body.put)
        _check_clashes(transaction, version_id=version_id, paths=paths)
    file_count, size_bytes = transaction.datasets.totals(version_id)
    counted = touched.changed(file_count=file_count, size_bytes=size_bytes)
    transaction.datasets.replace(counted, expected=touched)
    return counted


def _check_blobs(transaction: Transaction, *, digests: list[str]) -> None:
    missing = transaction.blobs.missing(list(dict.fromkeys(digests)))
    if missing:
        raise InvalidRequest(
            f"{len(missing)} blobs have not been uploaded: {', '.join(missing[:_SHOWN])}.",
            hint="Upload them first; POST /blobs/missing says which.",
        )


def _check_clashes(transaction: Transaction, *, version_id: Id, paths: list[str]) -> None:
    touched = {part for path in paths for part in accumulate(path.split("/"), "{}/{}".format)}
    clashes = transaction.datasets.clashes(version_id, sorted(touched))
    if clashes:
        raise InvalidPath(
            f"{', '.join(map(repr, clashes[:_SHOWN]))} cannot be a file and a directory.",
            hint="Remove one of them first.",
        )
