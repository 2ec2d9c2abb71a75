"""Extending a lease."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.wire import HeartbeatAnswer

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import Heartbeat

_TOLD = ("executor", "environment", "environment_reused", "started_at", "commit")


def extend_lease(
    transaction: Transaction, actor: Principal, *, task_id: Id, body: Heartbeat, settings: Settings
) -> HeartbeatAnswer:
    """Move the lease's end by the database's clock and keep what the attempt tells of itself.

    The fence has been checked: see `services.unit_of_work`.
    """
    task = transaction.tasks.get(task_id)
    attempt = transaction.tasks.attempt(task_id, actor.attempt or 0)
    told = {name: value for name in _TOLD if (value := getattr(body, name)) is not None}
    until = transaction.now() + timedelta(seconds=settings.lease_seconds)
    transaction.tasks.replace_attempt(attempt.changed(**told, lease_expires_at=until))
    return HeartbeatAnswer(stop_requested=task.stop_requested_at is not None, lease_expires_at=until)


def read_lease(transaction: Transaction, actor: Principal, *, task_id: Id) -> HeartbeatAnswer:
    """Return what the sender of a heartbeat must know, changing nothing."""
    task = transaction.tasks.get(task_id)
    attempt = transaction.tasks.attempt(task_id, actor.attempt or 0)
    return HeartbeatAnswer(stop_requested=task.stop_requested_at is not None, lease_expires_at=attempt.lease_expires_at)
