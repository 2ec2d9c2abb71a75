"""A final version becomes a published one, which nobody deletes by mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict
from orchestrator.records.dataset import DatasetState
from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_dataset
from orchestrator.services.dataset_states import require_closed

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction


def publish_dataset(transaction: Transaction, actor: Principal, *, version_id: Id) -> DatasetVersion:
    """Publish a version.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not edit in its project.
        Conflict: it is a draft, or published already.
    """
    version = transaction.datasets.get(version_id)
    actor.require(Permission.EDIT, version.project)
    require_closed(version, to="be published")
    if version.state is DatasetState.PUBLISHED:
        raise Conflict(f"{version.name} {version.version} is published already.")
    now = transaction.now()
    published = version.changed(state=DatasetState.PUBLISHED, published_at=now, changed_at=now)
    transaction.datasets.replace(published, expected=version)
    announce_dataset(transaction, actor, type=EventType.DATASET_PUBLISHED, version=published)
    return published
