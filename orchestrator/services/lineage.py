"""Which versions a version descends from, and which descend from it."""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from orchestrator.errors import NotFound
from orchestrator.records.base import inside
from orchestrator.services.read_datasets import get_dataset
from orchestrator.wire import Lineage, LineageNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction

_ASKED_AT_ONCE = 500


def trace_lineage(transaction: Transaction, actor: Principal, *, version_id: Id) -> Lineage:
    """Return the graph of descent around a version. Versions that the actor may not read are left out of it.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not read in its project.
    """
    found = {version_id: get_dataset(transaction, actor, version_id=version_id)}
    _follow_parents(transaction, found=found, start=version_id)
    _follow_children(transaction, found=found, start=version_id)
    shown = {key: version for key, version in found.items() if inside(version.project, actor.project)}
    graph = {key: [parent for parent in shown[key].parents if parent in shown] for key in sorted(shown)}
    return Lineage(
        nodes=tuple(_node(shown[key]) for key in TopologicalSorter(graph).static_order()),
        edges=tuple((parent, key) for key, parents in graph.items() for parent in parents),
    )


def _follow_parents(transaction: Transaction, *, found: dict[Id, DatasetVersion], start: Id) -> None:
    pending = list(found[start].parents)
    while pending:
        key = pending.pop()
        if key not in found:
            found[key] = transaction.datasets.get(key)
            pending += found[key].parents


def _follow_children(transaction: Transaction, *, found: dict[Id, DatasetVersion], start: Id) -> None:
    pending = [start]
    while pending:
        asked, pending = pending[:_ASKED_AT_ONCE], pending[_ASKED_AT_ONCE:]
        new = [key for key in transaction.datasets.children(asked) if key not in found]
        found.update(_present(transaction, keys=new))
        pending += [key for key in new if key in found]


def _present(transaction: Transaction, *, keys: Iterable[Id]) -> dict[Id, DatasetVersion]:
    versions: dict[Id, DatasetVersion] = {}
    for key in keys:
        try:
            versions[key] = transaction.datasets.get(key)
        except NotFound:
            continue
    return versions


def _node(version: DatasetVersion) -> LineageNode:
    return LineageNode(
        id=version.id,
        project=version.project,
        name=version.name,
        version=version.version,
        state=version.state,
        tags=version.tags,
        file_count=version.file_count,
        size_bytes=version.size_bytes,
        deleted=version.deleted_at is not None,
    )
