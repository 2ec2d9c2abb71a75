"""Tags of dataset versions and tasks: one call is one event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest
from orchestrator.records.dataset import DatasetState
from orchestrator.records.event import EventType
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_dataset, announce_task
from orchestrator.services.dataset_states import require_present

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import EditTags


def tag_dataset(transaction: Transaction, actor: Principal, *, version_id: Id, body: EditTags) -> DatasetVersion:
    """Add and remove tags of a version. A change of an open one makes no event: its tags count when it is finalized.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not edit in its project.
        InvalidRequest: a tag is to be added and removed.
    """
    version = transaction.datasets.get(version_id)
    actor.require(Permission.EDIT, version.project)
    require_present(version)
    tags, added, removed = apply_tags(version.tags, body=body)
    if not added and not removed:
        return version
    tagged = version.changed(tags=tags, changed_at=transaction.now())
    transaction.datasets.replace(tagged, expected=version)
    if version.state is not DatasetState.OPEN:
        kind = EventType.DATASET_TAGGED if added else EventType.DATASET_UNTAGGED
        announce_dataset(transaction, actor, type=kind, version=tagged, added=added, removed=removed)
    return tagged


def tag_task(transaction: Transaction, actor: Principal, *, task_id: Id, body: EditTags) -> Task:
    """Add and remove tags of a task.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not edit in its project.
        InvalidRequest: a tag is to be added and removed.
    """
    task = transaction.tasks.get(task_id, lock=True)
    actor.require(Permission.EDIT, task.project)
    tags, added, removed = apply_tags(task.tags, body=body)
    if not added and not removed:
        return task
    tagged = task.changed(tags=tags, changed_at=transaction.now())
    transaction.tasks.replace(tagged, expected=task)
    announce_task(transaction, actor, type=EventType.TASK_TAGGED, task=tagged, added=list(added), removed=list(removed))
    return tagged


def apply_tags(present: tuple[str, ...], *, body: EditTags) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the resulting tags, those that were not there before, and those that are there no more; each sorted.

    Raises:
        InvalidRequest: a tag is to be added and removed.
    """
    before, add, remove = set(present), set(body.add), set(body.remove)
    if both := sorted(add & remove):
        raise InvalidRequest(f"{', '.join(both)} cannot be added and removed at once.")
    after = (before | add) - remove
    return tuple(sorted(after)), tuple(sorted(after - before)), tuple(sorted(before - after))
