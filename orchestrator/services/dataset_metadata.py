"""Tables and any JSON that are kept with a version, also with one that is final."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import NotFound
from orchestrator.records.dataset import Metadata
from orchestrator.records.principal import Permission
from orchestrator.services.dataset_states import require_present
from orchestrator.services.read_datasets import get_dataset
from orchestrator.services.results import check_blob

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import PutMetadata


def put_metadata(
    transaction: Transaction, actor: Principal, *, version_id: Id, name: str, body: PutMetadata
) -> Metadata:
    """Name a stored blob as metadata of a version; what had the name is overwritten.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not edit in its project.
        InvalidRequest: the blob has not been uploaded.
    """
    version = transaction.datasets.get(version_id)
    actor.require(Permission.EDIT, version.project)
    require_present(version)
    check_blob(transaction, digest=body.digest)
    metadata = Metadata(version_id=version_id, name=name, changed_at=transaction.now(), **dict(body))
    transaction.datasets.put_metadata(metadata)
    return metadata


def list_metadata(transaction: Transaction, actor: Principal, *, version_id: Id) -> list[Metadata]:
    """Return a version's metadata, sorted by name.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not read in its project.
    """
    get_dataset(transaction, actor, version_id=version_id)
    return transaction.datasets.metadata(version_id)


def get_metadata(transaction: Transaction, actor: Principal, *, version_id: Id, name: str) -> Metadata:
    """Return metadata of a name.

    Raises:
        NotFound: there is no such version, or no metadata of that name.
        Forbidden: the actor may not read in its project.
    """
    found = list_metadata(transaction, actor, version_id=version_id)
    for metadata in found:
        if metadata.name == name:
            return metadata
    names = ", ".join(repr(metadata.name) for metadata in found) or "none at all"
    raise NotFound(f"The version has no metadata {name!r}.", hint=f"There is: {names}.")
