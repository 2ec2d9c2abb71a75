"""What can still be changed about a version that is final: what is written about it, and whether lists show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_dataset
from orchestrator.services.dataset_states import require_present

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import EditDataset


def edit_dataset(transaction: Transaction, actor: Principal, *, version_id: Id, body: EditDataset) -> DatasetVersion:
    """Change a version's description, put it into the archive or take it out.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not edit in its project.
    """
    version = transaction.datasets.get(version_id)
    actor.require(Permission.EDIT, version.project)
    require_present(version)
    fields: dict[str, Any] = {}
    if body.description is not None and body.description != version.description:
        fields["description"] = body.description
    if body.archived is not None and body.archived is (version.archived_at is None):
        fields["archived_at"] = transaction.now() if body.archived else None
    if not fields:
        return version
    edited = version.changed(changed_at=transaction.now(), **fields)
    transaction.datasets.replace(edited, expected=version)
    if fields.get("archived_at") is not None:
        announce_dataset(transaction, actor, type=EventType.DATASET_ARCHIVED, version=edited)
    return edited
