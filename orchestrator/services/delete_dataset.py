"""Deleting a version: its files go, what it was stays known. Bytes are given back by the next collection of garbage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict, HeadMoved
from orchestrator.records.dataset import DatasetState
from orchestrator.records.event import EventType
from orchestrator.records.manifest import NO_DIGEST, Manifest
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_dataset
from orchestrator.services.dataset_states import CLOSED, require_present
from orchestrator.services.named_blobs import distinct_blocks, named_in, ranges
from orchestrator.wire import Freed

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.principal import Principal
    from orchestrator.services.named_blobs import Range
    from orchestrator.store.protocol import Transaction


def freed_by_deleting(transaction: Transaction, actor: Principal, *, version_id: Id, force: bool) -> Freed:
    """Return what deleting a version frees: the bytes that nothing else names.

    Args:
        transaction: a reading one.
        actor: who asks.
        version_id: which version.
        force: delete it though it is published.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not edit in its project.
        Conflict: it is published.
    """
    _deletable(transaction, actor, version_id=version_id, force=force)
    others = distinct_blocks(transaction, without=version_id)
    manifest = transaction.datasets.manifest(version_id)
    own = Manifest(block for block in manifest.blocks if block.digest not in others)
    elsewhere = transaction.blobs.named_elsewhere() if own.blocks else set()
    files = size_bytes = 0
    for within in ranges(own.file_count):
        held = _sizes(transaction, manifest=own, within=within)
        for digest in elsewhere:
            held.pop(digest, None)
        if held:
            for digest in named_in(transaction, blocks=others, within=within):
                held.pop(digest, None)
        files += sum(count for count, _ in held.values())
        size_bytes += sum(size for _, size in held.values())
    return Freed(files=files, size_bytes=size_bytes)


def delete_dataset(transaction: Transaction, actor: Principal, *, version_id: Id, force: bool) -> DatasetVersion:
    """Delete a version; versions that were made from it keep their files.

    Args:
        transaction: a writing one.
        actor: who asks.
        version_id: which version.
        force: delete it though it is published.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not edit in its project.
        Conflict: it is published, or somebody changes it at the same time.
    """
    version = _deletable(transaction, actor, version_id=version_id, force=force)
    now = transaction.now()
    deleted = version.changed(deleted_at=now, changed_at=now)
    datasets = transaction.datasets
    datasets.replace(deleted, expected=version)
    datasets.drop_manifest(version_id)
    if datasets.head(project=version.project, name=version.name) == version_id:
        newest = datasets.newest(project=version.project, name=version.name, states=CLOSED)
        try:
            datasets.move_head(
                project=version.project, name=version.name, expected=version_id, to=newest.id if newest else None
            )
        except HeadMoved as error:
            raise Conflict(
                f"Another version of {version.name} was finalized at the same time.", hint="Try again."
            ) from error
    announce_dataset(transaction, actor, type=EventType.DATASET_DELETED, version=deleted)
    return deleted


def _deletable(transaction: Transaction, actor: Principal, *, version_id: Id, force: bool) -> DatasetVersion:
    version = transaction.datasets.get(version_id)
    actor.require(Permission.EDIT, version.project)
    require_present(version)
    if version.state is DatasetState.PUBLISHED and not force:
        raise Conflict(
            f"{version.name} {version.version} is published.",
            hint=f"To delete it all the same: retrain dataset delete {version_id} --force. "
            f"To take it out of lists only: retrain dataset archive {version_id}",
        )
    return version


def _sizes(transaction: Transaction, *, manifest: Manifest, within: Range) -> dict[bytes, tuple[int, int]]:
    """Return for each digest of a range how many files have it and its size in bytes."""
    found: dict[bytes, tuple[int, int]] = {}
    for entry in manifest.entries(load=transaction.datasets.blocks):
        if entry.digest != NO_DIGEST and within.holds(entry.digest):
            count, _ = found.get(entry.digest, (0, 0))
            found[entry.digest] = count + 1, entry.size_bytes
    return found
