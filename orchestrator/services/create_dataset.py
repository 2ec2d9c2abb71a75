"""Beginning a dataset version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import AlreadyExists, Conflict, InvalidRequest
from orchestrator.records.dataset import FIRST_VERSION, DatasetState, DatasetVersion, SemanticVersion
from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_dataset
from orchestrator.services.ids import new_id

if TYPE_CHECKING:
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import CreateDataset

CLOSED = (DatasetState.FINAL, DatasetState.PUBLISHED)
_LARGEST = 2**31 - 1
"""Of a version's numbers: they are sortable columns of 32 bits."""


def create_dataset(transaction: Transaction, actor: Principal, *, body: CreateDataset) -> DatasetVersion:
    """Make a draft that begins with its parents' files; of two with one path the later parent's.

    Raises:
        Forbidden: the actor may not edit in the project, or not read a parent's.
        NotFound: a parent does not exist.
        Conflict: a parent is a draft itself.
        AlreadyExists: that version is final already.
        InvalidRequest: the version is none.
    """
    actor.require(Permission.EDIT, body.project)
    parents = [transaction.datasets.get(parent) for parent in body.parents]
    for parent in parents:
        actor.require(Permission.READ, parent.project)
        if parent.state is DatasetState.OPEN:
            raise Conflict(
                f"{parent.name} {parent.version} is a draft and cannot be a parent.",
                hint=f"Finalize it first: retrain dataset finalize {parent.id}",
            )
    version = _number(transaction, body=body)
    first = parents[0] if parents else None
    own_line = first is not None and (first.project, first.name) == (body.project, body.name)
    base = first.id if first and own_line else transaction.datasets.head(project=body.project, name=body.name)
    now = transaction.now()
    draft = DatasetVersion(
        id=new_id(),
        project=body.project,
        name=body.name,
        version=str(version),
        parents=tuple(dict.fromkeys(body.parents)),
        base=base,
        tags=tuple(sorted(set(body.tags))),
        description=body.description,
        task=actor.task_id,
        created_at=now,
        created_by=actor.id,
        changed_at=now,
    )
    transaction.datasets.add(draft)
    for parent in parents:
        transaction.datasets.copy_entries(source=parent.id, target=draft.id)
    if parents:
        file_count, size_bytes = transaction.datasets.totals(draft.id)
        filled = draft.changed(file_count=file_count, size_bytes=size_bytes)
        transaction.datasets.replace(filled, expected=draft)
        draft = filled
    announce_dataset(transaction, actor, type=EventType.DATASET_CREATED, version=draft)
    return draft


def _number(transaction: Transaction, *, body: CreateDataset) -> SemanticVersion:
    if body.version is None:
        newest = transaction.datasets.newest(project=body.project, name=body.name, states=tuple(DatasetState))
        return SemanticVersion.parse(newest.version).next() if newest else FIRST_VERSION
    version = SemanticVersion.parse(body.version) if len(body.version) <= len("2147483647") * 4 else None
    if version is None or max(version.major, version.minor, version.patch) > _LARGEST:
        raise InvalidRequest(
            f"The version {body.version[:64]!r} is too large.", hint=f"Each number is at most {_LARGEST}."
        )
    taken = transaction.datasets.find(
        project=body.project, exact_project=True, name=body.name, version=str(version), states=CLOSED, limit=1
    )
    if taken:
        raise AlreadyExists(
            f"{body.name} {version} is {taken[0].state} already.",
            hint="Leave the version out: it counts up by itself.",
        )
    return version
