"""How two versions differ, file by file."""

from __future__ import annotations

from itertools import dropwhile, islice
from typing import TYPE_CHECKING

from orchestrator.records.manifest import Manifest, order
from orchestrator.records.manifest_changes import diff
from orchestrator.services.manifest_entries import told_change
from orchestrator.services.read_datasets import get_dataset, get_files

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.dataset import EntryChange
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction


def compare_datasets(  # noqa: PLR0913  a stretch of a list has many parts
    transaction: Transaction, actor: Principal, *, version_id: Id, against: Id | None, after: str | None, limit: int
) -> list[EntryChange]:
    """Return what differs, in the order of a walk; blocks that both versions have are not read.

    Args:
        transaction: a reading one.
        actor: who asks.
        version_id: the later version.
        against: the earlier one; its first parent where it is not given, or nothing where there is none.
        after: only changes behind this path.
        limit: most of them.

    Raises:
        NotFound: one of them does not exist, or was deleted.
        Forbidden: the actor may not read in both projects.
    """
    later = get_files(transaction, actor, version_id=version_id)
    if against is None:
        parents = get_dataset(transaction, actor, version_id=version_id).parents
        against = parents[0] if parents else None
    earlier = Manifest() if against is None else get_files(transaction, actor, version_id=against)
    if after is not None:
        earlier, later = (Manifest(one.blocks[one.index(after) :]) for one in (earlier, later))
    changes = diff(earlier, later, load=transaction.datasets.blocks)
    if after is not None:
        behind = order(after)
        changes = dropwhile(lambda change: order(change.path) <= behind, changes)
    return [told_change(change) for change in islice(changes, limit)]
