"""Queues."""

from __future__ import annotations

from orchestrator.records.base import Id, Moment, Name, Record


class Queue(Record):
    """A named line of tasks with an order."""

    name: Name
    description: str = ""
    created_at: Moment
    created_by: Id
