"""Queues."""

from __future__ import annotations

from sqlalchemy import select
from typing_extensions import override

from orchestrator.errors import AlreadyExists, NotFound
from orchestrator.records.queue import Queue
from orchestrator.store.protocol import Queues
from orchestrator.store.sql.rows import columns_of, to_row
from orchestrator.store.sql.tables import queues
from orchestrator.store.sql.unit import Noun

_QUEUES = select(*columns_of(Queue, queues))


class SqlQueues(Noun, Queues):
    """Queues by name."""

    @override
    def add(self, queue: Queue) -> None:
        if not self._unit.add_new(queues, to_row(queue, queues)):
            raise AlreadyExists(f"There is a queue {queue.name!r} already.")

    @override
    def get(self, name: str) -> Queue:
        queue = self._unit.record(Queue, _QUEUES.where(queues.c.name == name))
        if queue is None:
            raise NotFound(f"There is no queue {name!r}.")
        return queue

    @override
    def all(self) -> list[Queue]:
        return self._unit.records(Queue, _QUEUES.order_by(queues.c.name))
