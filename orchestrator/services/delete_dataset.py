"""Deleting a version: its files go, and what was kept with them; what it was stays known.

Bytes are given back by the next collection of garbage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict, HeadMoved
from orchestrator.records.dataset import DatasetState
from orchestrator.records.event import EventType
from orchestrator.records.manifest import NO_DIGEST, Manifest, raw
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
    facts = _fact_sizes(transaction, version_id=version_id)
    elsewhere = transaction.blobs.named_elsewhere(without=version_id) if own.blocks or facts else set()
    files = size_bytes = 0
    for within in ranges(own.file_count + len(facts)):
        held = _sizes(transaction, manifest=own, within=within)
        for digest, size in facts.items():
            if within.holds(digest):
                held[digest] = held.get(digest, (0, 0))[0] + 1, size
        for digest in elsewhere:
            held.pop(digest, None)
        if held:
            for digest in named_in(transaction, blocks=others, within=within):
                held.pop(digest, None)
        files += sum(count for count, _ in held.values())
        size_bytes += sum(size for _, size in held.values())
    return Freed(files=files, size_bytes=size_bytes)


def delete_dataset(transaction: Transaction, actor: Principal, *, version_id: Id, force: bool) -> DatasetVersion:
    """Delete a version with its metadata, reports and profile; versions that were made from it keep their files.

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
    datasets.drop_facts(version_id)
    transaction.reports.drop(version_id)
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


def _fact_sizes(transaction: Transaction, *, version_id: Id) -> dict[bytes, int]:
    """Return the sizes in bytes of the blobs that a version's metadata and the images among its reports are."""
    found = {raw(each.digest): each.size_bytes for each in transaction.datasets.metadata(version_id)}
    images = [raw(each.data["digest"]) for each in transaction.reports.of(version_id) if each.kind == "image"]
    return found | {digest: place.size_bytes for digest, place in transaction.blobs.places(images).items()}
