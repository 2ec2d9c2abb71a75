"""The sweep: what was lost is found and goes on. Each step is a transaction of its own."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.records.lifecycle import Status
from orchestrator.services.fire import retry_firing
from orchestrator.services.ids import SYSTEM
from orchestrator.services.lose import lose_attempt

if TYPE_CHECKING:
    from orchestrator.queues import Queue
    from orchestrator.records.task import Task
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Store, Transaction

logger = logging.getLogger(__name__)

_DUTY = "reconcile"
_LAST_SWEEP = "last_sweep_at"
_ANSWERS_KEPT = timedelta(days=1)
"""How long a request may be sent again under its `Idempotency-Key`."""


def reconcile(store: Store, *, queue: Queue, settings: Settings) -> None:
    """Take care of expired leases, failed firings that are due, and queues that have too few tickets.

    One process at a time does it; in the others nothing happens.

    Raises:
        Exception: whatever database or Redis raise; the next sweep does what this one could not.
    """
    if not store.write(lambda transaction: begin_sweep(transaction, settings=settings)):
        return
    expired = store.read(lambda transaction: transaction.tasks.expired_attempts(now=transaction.now()))
    for attempt in expired:
        store.write(partial(expire, task_id=attempt.task_id, number=attempt.number, settings=settings))
    due = store.read(lambda transaction: transaction.triggers.firings_due(now=transaction.now()))
    for firing in due:
        store.write(partial(retry_firing, actor=SYSTEM, firing_id=firing.id, settings=settings))
    ring_short_queues(store, queue=queue)


def begin_sweep(transaction: Transaction, *, settings: Settings) -> bool:
    """Take the duty and note the time; return False where another process has it.

    After a gap in which nobody swept (a laptop that slept, a server that was down) no attempt could extend its lease:
    all get another period before any is taken for lost.
    """
    if not transaction.claim_duty(_DUTY):
        return False
    now = transaction.now()
    lease = timedelta(seconds=settings.lease_seconds)
    noted = transaction.setting(_LAST_SWEEP)
    last = datetime.fromisoformat(noted) if noted is not None else now
    if now - last > lease:
        moved = transaction.tasks.extend_leases(until=now + lease)
        logger.warning("the sweep was away", extra={"action": "leases_extended", "since": noted, "attempts": moved})
    if now.date() != last.date():
        transaction.answers.forget(before=now - _ANSWERS_KEPT)
    transaction.put_setting(_LAST_SWEEP, now.isoformat())
    return True


def expire(transaction: Transaction, *, task_id: str, number: int, settings: Settings) -> None:
    """Give an attempt up for lost, unless its lease was extended or it ended since it was looked at."""
    task = transaction.tasks.get(task_id, lock=True)
    attempt = transaction.tasks.attempt(task_id, number)
    if attempt.ended_at is not None or attempt.lease_expires_at > transaction.now():
        return
    moved = lose_attempt(transaction, SYSTEM, task=task, attempt=attempt, settings=settings)
    logger.warning(
        "attempt lost",
        extra={"action": "attempt_lost", "task_id": task_id, "attempt": number, "status": moved.status},
    )


def ring_short_queues(store: Store, *, queue: Queue) -> None:
    """Ring for queues in which fewer tickets stand than tasks: Redis forgot some, or a ring failed."""
    counts = store.read(lambda transaction: transaction.tasks.queue_counts())
    for name, (queued, _) in counts.items():
        missing = queued - queue.waiting(name) if queued else 0
        if missing <= 0:
            continue
        tasks = store.read(partial(_queued, name=name, limit=missing))
        for task in tasks:
            queue.ring(name, task_id=task.id, attempt=task.attempt)
        logger.info("rang again", extra={"action": "rang_again", "queue": name, "tickets": len(tasks)})


def _queued(transaction: Transaction, *, name: str, limit: int) -> list[Task]:
    return transaction.tasks.find(status=Status.QUEUED, queue=name, limit=limit)
