"""Queues: making them, and what stands in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.principal import Permission
from orchestrator.records.queue import Queue
from orchestrator.services.ids import SYSTEM
from orchestrator.services.read_tasks import listeners
from orchestrator.wire import CreateQueue, QueueSummary

if TYPE_CHECKING:
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction

FROM_THE_START = {
    "default": "Where tasks go when nobody says otherwise.",
    "services": "Schedulers and others that never end.",
}


def create_queue(transaction: Transaction, actor: Principal, *, body: CreateQueue) -> Queue:
    """Make a queue; queues belong to no project.

    Raises:
        Forbidden: the actor is no administrator of everything.
        AlreadyExists: the name is taken.
    """
    actor.require(Permission.ADMIN, "")
    queue = Queue(name=body.name, description=body.description, created_at=transaction.now(), created_by=actor.id)
    transaction.queues.add(queue)
    return queue


def create_missing_queues(transaction: Transaction) -> None:
    """Make the queues that are there from the start."""
    present = {queue.name for queue in transaction.queues.all()}
    for name, description in FROM_THE_START.items():
        if name not in present:
            create_queue(transaction, SYSTEM, body=CreateQueue(name=name, description=description))


def list_queues(transaction: Transaction, actor: Principal, *, seen_seconds: float) -> list[QueueSummary]:
    """Return every queue with how many tasks wait and run, and the agents that serve it and were seen lately.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    counts = transaction.tasks.queue_counts()
    listening = listeners(transaction, seen_seconds=seen_seconds)
    return [
        QueueSummary(
            name=queue.name,
            description=queue.description,
            waiting=counts.get(queue.name, (0, 0))[0],
            running=counts.get(queue.name, (0, 0))[1],
            agents=tuple(agent.name for agent in listening.get(queue.name, ())),
        )
        for queue in transaction.queues.all()
    ]
