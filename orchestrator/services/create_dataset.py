"""Beginning a dataset version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import InvalidPath
from orchestrator.records.dataset import DatasetState, DatasetVersion
from orchestrator.records.event import EventType
from orchestrator.records.manifest import Manifest
from orchestrator.records.manifest_changes import diff, edit
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_dataset
from orchestrator.services.blocks import Blocks
from orchestrator.services.dataset_states import require_closed
from orchestrator.services.ids import new_id
from orchestrator.services.storages import find_storage
from orchestrator.services.version_numbers import holder_of, next_number, number_taken, read_number

if TYPE_CHECKING:
    from orchestrator.records.dataset import SemanticVersion
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import CreateDataset


def create_dataset(transaction: Transaction, actor: Principal, *, body: CreateDataset) -> DatasetVersion:
    """Make a draft that begins with its parents' files; of two with one path the later parent's.

    Raises:
        Forbidden: the actor may not edit in the project, or not read a parent's.
        NotFound: a parent does not exist or was deleted, or there is no such storage.
        Conflict: a parent is a draft itself.
        AlreadyExists: that version is final already.
        InvalidRequest: the version is none.
        InvalidPath: what is a file in one parent is a directory in another.
    """
    actor.require(Permission.EDIT, body.project)
    parents = [transaction.datasets.get(parent) for parent in dict.fromkeys(body.parents)]
    for parent in parents:
        actor.require(Permission.READ, parent.project)
        require_closed(parent, to="be a parent")
    if body.storage is not None:
        find_storage(transaction, name=body.storage)
    version = _number(transaction, body=body)
    manifest = _merged(transaction, parents=parents)
    first = parents[0] if parents else None
    own_line = first is not None and (first.project, first.name) == (body.project, body.name)
    base = first.id if first and own_line else transaction.datasets.head(project=body.project, name=body.name)
    now = transaction.now()
    draft = DatasetVersion(
        id=new_id(),
        project=body.project,
        name=body.name,
        version=str(version),
        numbered=body.version is not None,
        parents=() if body.squash else tuple(parent.id for parent in parents),
        base=base,
        storage=body.storage,
        tags=tuple(sorted(set(body.tags))),
        description=body.description,
        file_count=manifest.file_count,
        size_bytes=manifest.size_bytes,
        task=actor.task_id,
        created_at=now,
        created_by=actor.id,
        changed_at=now,
    )
    transaction.datasets.add(draft)
    if manifest.blocks:
        transaction.datasets.put_manifest(draft.id, manifest)
    announce_dataset(transaction, actor, type=EventType.DATASET_CREATED, version=draft)
    return draft


def _merged(transaction: Transaction, *, parents: list[DatasetVersion]) -> Manifest:
    """Return all files of all parents. Blocks that two of them share are not read."""
    datasets = transaction.datasets
    blocks = Blocks(datasets)
    merged = datasets.manifest(parents[0].id) if parents else Manifest()
    for parent in parents[1:]:
        differing = diff(merged, datasets.manifest(parent.id), load=datasets.blocks)
        puts = ((change.path, change.after) for change in differing if change.after is not None)
        try:
            merged = edit(merged, puts, load=blocks.load, save=blocks.save)
            blocks.flush()
        except InvalidPath as error:
            raise InvalidPath(
                f"The parents cannot be merged: {error.message}",
                hint="Begin from one of them and add the files of the other under another path.",
            ) from error
    return merged


def _number(transaction: Transaction, *, body: CreateDataset) -> SemanticVersion:
    if body.version is None:
        return next_number(transaction, project=body.project, name=body.name, states=tuple(DatasetState))
    version = read_number(body.version)
    holder = holder_of(transaction, project=body.project, name=body.name, number=str(version))
    if holder is not None:
        raise number_taken(holder)
    return version
