"""A draft becomes a version that never changes again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict, HeadMoved, InvalidRequest
from orchestrator.records.dataset import DatasetState
from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_dataset

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction

_SHOWN = 5


def finalize_dataset(transaction: Transaction, actor: Principal, *, version_id: Id) -> DatasetVersion:
    """Close a draft and make it its dataset's newest version, if the one that it began from is the newest still.

    Raises:
        NotFound: there is no such version.
        Forbidden: the actor may not edit in its project.
        Conflict: it is no draft any more.
        AlreadyExists: another final version has its number.
        HeadMoved: another version was finalized in between; the draft stays as it is.
        InvalidRequest: it is empty, or bytes are missing.
    """
    draft = transaction.datasets.get(version_id)
    actor.require(Permission.EDIT, draft.project)
    if draft.state is not DatasetState.OPEN:
        raise Conflict(f"{draft.name} {draft.version} is {draft.state} already.")
    now = transaction.now()
    closed = draft.changed(state=DatasetState.FINAL, finalized_at=now, changed_at=now)
    transaction.datasets.replace(closed, expected=draft)  # first: from here on no file can come or go
    file_count, size_bytes = transaction.datasets.totals(version_id)
    if not file_count:
        raise InvalidRequest(
            f"{draft.name} {draft.version} has no files.",
            hint=f"Add some: retrain dataset add {version_id} PATH",
        )
    missing = transaction.datasets.missing_blobs(version_id)
    if missing:
        raise InvalidRequest(
            f"{len(missing)} blobs of {draft.name} {draft.version} are missing: {', '.join(missing[:_SHOWN])}.",
            hint="Upload its files again.",
        )
    added, modified, removed = transaction.datasets.compare(version_id, draft.parents[0] if draft.parents else None)
    final = closed.changed(
        file_count=file_count,
        size_bytes=size_bytes,
        added_count=added,
        modified_count=modified,
        removed_count=removed,
    )
    transaction.datasets.replace(final, expected=closed)
    _move_head(transaction, draft=draft)
    announce_dataset(transaction, actor, type=EventType.DATASET_FINALIZED, version=final, added=final.tags)
    return final


def _move_head(transaction: Transaction, *, draft: DatasetVersion) -> None:
    try:
        transaction.datasets.move_head(project=draft.project, name=draft.name, expected=draft.base, to=draft.id)
    except HeadMoved as error:
        raise HeadMoved(
            f"Another version of {draft.name} was finalized since {draft.version} was begun. The draft is kept.",
            hint="Begin a new draft from the newest version and add the files to it again.",
        ) from error
