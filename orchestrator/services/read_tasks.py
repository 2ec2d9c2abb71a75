"""Looking at tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict, Unpack

from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Permission
from orchestrator.wire import TaskDetail

if TYPE_CHECKING:
    from orchestrator.records.agent import Agent
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.store.protocol import Transaction


class TaskFilters(TypedDict, total=False):
    """What `Tasks.find` takes from whoever asks."""

    project: str | None
    name: str | None
    status: Status | None
    type: str | None
    tag: str | None
    parent: str | None
    queue: str | None
    archived: bool
    after: str | None
    limit: int


def get_task(transaction: Transaction, actor: Principal, *, task_id: Id) -> Task:
    """Return a task.

    Raises:
        NotFound: there is none of that id.
        Forbidden: the actor may not read in its project.
    """
    task = transaction.tasks.get(task_id)
    actor.require(Permission.READ, task.project)
    return task


def show_task(transaction: Transaction, actor: Principal, *, task_id: Id, seen_seconds: float) -> TaskDetail:
    """Return a task with what hangs on it and, so that a waiting one explains itself, who listens to its queue.

    Args:
        transaction: a reading one.
        actor: who asks.
        task_id: which task.
        seen_seconds: an agent that is silent for longer does not listen.

    Raises:
        NotFound: there is none of that id.
        Forbidden: the actor may not read in its project.
    """
    task = get_task(transaction, actor, task_id=task_id)
    listening = None
    if task.status is Status.QUEUED and task.queue is not None:
        listening = len(listeners(transaction, seen_seconds=seen_seconds).get(task.queue, ()))
    return TaskDetail(
        task=task,
        parameters=tuple(transaction.tasks.parameters(task_id)),
        artifacts=tuple(transaction.tasks.artifacts(task_id)),
        attempts=tuple(transaction.tasks.attempts(task_id)),
        listening_agents=listening,
    )


def list_tasks(transaction: Transaction, actor: Principal, **filters: Unpack[TaskFilters]) -> list[Task]:
    """Return tasks of projects that the actor may read, newest first.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    return transaction.tasks.find(**filters, projects_below=actor.project)


def listeners(transaction: Transaction, *, seen_seconds: float) -> dict[str, list[Agent]]:
    """Return for every queue that is served the agents that serve it and were seen within so many seconds."""
    since = transaction.now() - timedelta(seconds=seen_seconds)
    found: dict[str, list[Agent]] = {}
    for agent in transaction.agents.all():
        if agent.seen_at >= since:
            for queue in {queue for slot in agent.slots for queue in slot.queues}:
                found.setdefault(queue, []).append(agent)
    return found
