"""Appending events: what they tell of tasks, dataset versions and triggers is put together here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.records.event import EventType, NewEvent
from orchestrator.records.lifecycle import Status

if TYPE_CHECKING:
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction

ENDED = {
    Status.COMPLETED: EventType.TASK_COMPLETED,
    Status.FAILED: EventType.TASK_FAILED,
    Status.STOPPED: EventType.TASK_STOPPED,
}
"""The event that tells of each way to end."""


def announce_task(
    transaction: Transaction,
    actor: Principal,
    *,
    type: EventType,  # noqa: A002  the event's own word
    task: Task,
    **data: Any,  # noqa: ANN401  JSON is any
) -> None:
    """Append an event of a task; its cause is the firing that made the task.

    Args:
        transaction: the one of the change that it tells of.
        actor: who did it.
        type: what happened.
        task: as it is after the change.
        **data: what else was true.
    """
    facts = {
        "name": task.name,
        "type": task.type,
        "status": task.status,
        "attempt": task.attempt,
        "queue": task.queue,
        "reason": task.status_reason,
        "tags": list(task.tags),
    }
    transaction.events.append(
        NewEvent(
            type=type,
            subject=task.id,
            project=task.project,
            actor=actor.id,
            cause=task.firing,
            data=facts | data,
        )
    )


def announce_dataset(  # noqa: PLR0913  what was true in that moment has many parts
    transaction: Transaction,
    actor: Principal,
    *,
    type: EventType,  # noqa: A002  the event's own word
    version: DatasetVersion,
    added: tuple[str, ...] = (),
    removed: tuple[str, ...] = (),
) -> None:
    """Append an event of a dataset version.

    Args:
        transaction: the one of the change that it tells of.
        actor: who did it.
        type: what happened.
        version: as it is after the change.
        added: tags that this change added.
        removed: tags that this change removed.
    """
    transaction.events.append(
        NewEvent(
            type=type,
            subject=version.id,
            project=version.project,
            actor=actor.id,
            cause=_cause(transaction, actor),
            data={
                "id": version.id,
                "project": version.project,
                "name": version.name,
                "version": version.version,
                "state": version.state,
                "tags": list(version.tags),
                "added": list(added),
                "removed": list(removed),
                "parents": list(version.parents),
                "file_count": version.file_count,
                "size_bytes": version.size_bytes,
                "added_count": version.added_count,
            },
        )
    )


def announce_trigger(
    transaction: Transaction,
    actor: Principal,
    *,
    type: EventType,  # noqa: A002  the event's own word
    trigger: Trigger,
    **data: Any,  # noqa: ANN401  JSON is any
) -> None:
    """Append an event of a trigger.

    Args:
        transaction: the one of the change that it tells of.
        actor: who did it.
        type: what happened.
        trigger: as it is after the change.
        **data: what else was true.
    """
    facts = {"name": trigger.name, "revision": trigger.revision, "state": trigger.state}
    transaction.events.append(
        NewEvent(
            type=type,
            subject=trigger.id,
            project=trigger.condition.project,
            actor=actor.id,
            data=facts | data,
        )
    )


def _cause(transaction: Transaction, actor: Principal) -> str | None:
    return transaction.tasks.get(actor.task_id).firing if actor.task_id else None
