"""Appending events: what they tell of tasks, dataset versions, models and triggers is put together here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.records.event import EventType, NewEvent
from orchestrator.records.lifecycle import Status

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.dataset import DatasetVersion
    from orchestrator.records.model import ModelVersion
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Attempt, Task
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction


def announce_task(  # noqa: PLR0913  what was true in that moment has many parts
    transaction: Transaction,
    actor: Principal,
    *,
    type: EventType,  # noqa: A002  the event's own word
    task: Task,
    newest: Attempt | None = None,
    made_by: Trigger | None = None,
    **data: Any,  # noqa: ANN401  JSON is any
) -> None:
    """Append an event of a task; its cause is the firing that made the task. How one ended `services.endings` tells.

    Args:
        transaction: the one of the change that it tells of.
        actor: who did it.
        type: what happened.
        task: as it is after the change.
        newest: its newest attempt, where that is at hand; else it is looked up.
        made_by: the trigger whose firing made it, likewise.
        **data: what else was true.
    """
    if made_by is None and task.firing is not None and task.chain:
        made_by = transaction.triggers.get(task.chain[-1])
    facts = {
        "name": task.name,
        "type": task.type,
        "status": task.status,
        "attempt": task.attempt,
        "queue": task.queue,
        "reason": task.status_reason,
        "tags": list(task.tags),
        "by_hand": _is_by_hand(transaction, task=task, newest=newest),
        "trigger": None if made_by is None else made_by.name,
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
    cause: Id | None = None,
    **data: Any,  # noqa: ANN401  JSON is any
) -> None:
    """Append an event of a trigger.

    Args:
        transaction: the one of the change that it tells of.
        actor: who did it.
        type: what happened.
        trigger: as it is after the change.
        cause: the firing that it tells of.
        **data: what else was true.
    """
    facts = {"name": trigger.name, "revision": trigger.revision, "state": trigger.state}
    transaction.events.append(
        NewEvent(
            type=type,
            subject=trigger.id,
            project=trigger.project,
            actor=actor.id,
            cause=cause,
            data=facts | data,
        )
    )


def announce_model(  # noqa: PLR0913  what was true in that moment has many parts
    transaction: Transaction,
    actor: Principal,
    *,
    type: EventType,  # noqa: A002  the event's own word
    model: ModelVersion,
    added: tuple[str, ...] = (),
    removed: tuple[str, ...] = (),
    cause: Id | None = None,
    **data: Any,  # noqa: ANN401  JSON is any
) -> None:
    """Append an event of a model version.

    Args:
        transaction: the one of the change that it tells of.
        actor: who did it.
        type: what happened.
        model: as it is after the change.
        added: tags that this change added.
        removed: tags that this change removed.
        cause: the firing that did it; the one that made the actor's task where it is not given.
        **data: what else was true.
    """
    facts = {
        "id": model.id,
        "project": model.project,
        "name": model.name,
        "version": model.version,
        "state": model.state,
        "tags": list(model.tags),
        "added": list(added),
        "removed": list(removed),
        "aliases": [each.alias for each in transaction.models.aliases([model.id])],
        "task_id": model.task_id,
        "datasets": list(model.datasets),
        "framework": model.framework,
        "size_bytes": model.size_bytes,
    }
    transaction.events.append(
        NewEvent(
            type=type,
            subject=model.id,
            project=model.project,
            actor=actor.id,
            cause=cause or _cause(transaction, actor),
            data=facts | data,
        )
    )


def _is_by_hand(transaction: Transaction, *, task: Task, newest: Attempt | None) -> bool:
    """Tell whether no agent ran the newest attempt; of a task that nobody ran it is not true."""
    if newest is not None:
        return newest.agent_id is None
    if task.attempt == 0 or (task.attempt == 1 and task.status is Status.QUEUED):
        return False
    # The number of one that waits belongs to an attempt that is still to come.
    attempts = transaction.tasks.attempts(task.id)
    return bool(attempts) and attempts[-1].agent_id is None


def _cause(transaction: Transaction, actor: Principal) -> str | None:
    return transaction.tasks.get(actor.task_id).firing if actor.task_id else None
