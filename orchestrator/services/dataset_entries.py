"""Changing a draft's files: all that is asked for, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest
from orchestrator.records.manifest import NO_DIGEST, named, order
from orchestrator.records.manifest_changes import edit
from orchestrator.records.principal import Permission
from orchestrator.services.blocks import Blocks
from orchestrator.services.dataset_states import require_draft
from orchestrator.services.manifest_entries import stored

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.manifest import Entry
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import EditEntries

_SHOWN = 5


def edit_entries(transaction: Transaction, actor: Principal, *, version_id: Id, body: EditEntries) -> DatasetVersion:
    """Remove files from a draft and put others; a path that is named in both is put.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not edit in its project.
        Conflict: the version is no draft any more.
        InvalidPath: a path leaves the dataset, or is a file and the directory of another.
        InvalidRequest: a blob has not been uploaded or is of another size, or an address holds credentials.
    """
    version = transaction.datasets.get(version_id)
    actor.require(Permission.EDIT, version.project)
    require_draft(version)
    changes: dict[str, Entry | None] = dict.fromkeys(body.remove)
    puts = {entry.path: stored(entry) for entry in body.put}
    changes.update(puts)
    touched = version.changed(changed_at=transaction.now())
    transaction.datasets.replace(touched, expected=version)  # takes the row's lock: finalizing waits, or has won
    require_draft(transaction.datasets.get(version_id))
    _check_blobs(transaction, entries=list(puts.values()))
    datasets = transaction.datasets
    in_order = sorted(changes.items(), key=lambda change: order(change[0]))
    present, blocks = datasets.manifest(version_id), Blocks(datasets)
    blocks.read_ahead(present, changes)
    manifest = edit(present, in_order, load=blocks.load, save=blocks.save)
    blocks.flush()
    datasets.put_manifest(version_id, manifest)
    counted = touched.changed(file_count=manifest.file_count, size_bytes=manifest.size_bytes)
    datasets.replace(counted, expected=touched)
    return counted


def _check_blobs(transaction: Transaction, *, entries: list[Entry]) -> None:
    digests = list({entry.digest for entry in entries} - {NO_DIGEST})
    if not digests:
        return
    transaction.blobs.revive(digests)  # first: what is condemned now cannot be removed until this is through
    places = transaction.blobs.places(digests)
    missing = [entry.path for entry in entries if entry.digest != NO_DIGEST and entry.digest not in places]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise InvalidRequest(
            f"The bytes of {len(missing)} files have not been uploaded: "
            f"{', '.join(map(repr, sorted(missing)[:_SHOWN]))}{more}.",
            hint="Upload them first; POST /blobs/missing says which digests are wanted.",
        )
    for entry in entries:
        if entry.digest != NO_DIGEST and places[entry.digest].size_bytes != entry.size_bytes:
            raise InvalidRequest(
                f"{entry.path!r} is said to have {entry.size_bytes} bytes, but {named(entry.digest)} has "
                f"{places[entry.digest].size_bytes}.",
                hint="Read the file's size again, when nothing writes to it.",
            )
