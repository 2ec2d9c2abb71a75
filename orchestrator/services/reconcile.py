"""The sweep: what was lost is found and goes on. Each step is a transaction of its own."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.records.lifecycle import Status
from orchestrator.services.ids import SYSTEM
from orchestrator.services.lose import lose_attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.queues import Queue
    from orchestrator.records.task import Task
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Store, Transaction

logger = logging.getLogger(__name__)

_DUTY = "reconcile"
_LAST_SWEEP = "last_sweep_at"
_ANSWERS_KEPT = timedelta(days=1)
"""How long a request may be sent again under its `Idempotency-Key`."""
_ATTEMPTS_KEPT = timedelta(days=30)
"""How long it is known who an attempt was that ended; the longest that one may be cut off and report is a day."""
_EARLY = 0.9
"""Of a period: a sweep that comes sooner after the last is another process's. Clocks differ a little."""


def reconcile(store: Store, *, queue: Queue, settings: Settings) -> None:
    """Take care of expired leases, and of queues that have too few tickets. Triggers are the schedulers' business.

    One process at a time does it; in the others nothing happens. A step that raises is logged and stops no other.

    Raises:
        Exception: whatever the database raises at the beginning, or Redis at the end; the next sweep does what this one
            could not.
    """
    if not store.write(lambda transaction: begin_sweep(transaction, settings=settings)):
        return
    _take(lambda: _expire_leases(store, settings=settings), step="find expired leases")
    ring_short_queues(store, queue=queue)


def begin_sweep(transaction: Transaction, *, settings: Settings) -> bool:
    """Take the duty and note the time; return False where another process has it, or swept within the last period.

    While nobody sweeps (a laptop that sleeps, a server that is down) no attempt can extend its lease either: that time
    does not count. Every lease gets back what the gap took beyond one period, so that a live attempt has as long to be
    heard again as it had when the server went. One period of each gap always counts, and no lease ever ends later than
    one that begins now: a server that falls and rises does not keep the lease of a dead agent for ever.
    """
    if not transaction.claim_duty(_DUTY):
        return False
    now = transaction.now()
    period = timedelta(seconds=settings.sweep_seconds)
    noted = transaction.setting(_LAST_SWEEP)
    last = datetime.fromisoformat(noted) if noted is not None else None
    if last is not None and timedelta() <= now - last < _EARLY * period:
        return False
    late = now - last - period if last is not None else timedelta()
    if late > lateness(settings):
        until = now + timedelta(seconds=settings.lease_seconds)
        moved = transaction.tasks.extend_leases(by=late, until=until)
        logger.warning("the sweep was away", extra={"action": "leases_extended", "since": noted, "attempts": moved})
    if last is None or now.date() != last.date():
        transaction.answers.forget(before=now - _ANSWERS_KEPT)
        transaction.principals.forget_attempts(ended_before=now - _ATTEMPTS_KEPT)
    transaction.put_setting(_LAST_SWEEP, now.isoformat())
    return True


def lateness(settings: Settings) -> timedelta:
    """Return how late a sweep may come before leases are given the time back.

    A period, for a sweep that takes long is none that was away; less where leases are so short that an attempt could
    not make up for a period.
    """
    spare = settings.lease_seconds - settings.heartbeat_seconds
    return timedelta(seconds=min(settings.sweep_seconds, spare / 4))


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
        if tasks:
            queue.ring(name, [(task.id, task.attempt) for task in tasks])
        logger.info("rang again", extra={"action": "rang_again", "queue": name, "tickets": len(tasks)})


def _expire_leases(store: Store, *, settings: Settings) -> None:
    for attempt in store.read(lambda transaction: transaction.tasks.expired_attempts(now=transaction.now())):
        work = partial(expire, task_id=attempt.task_id, number=attempt.number, settings=settings)
        _take(partial(store.write, work), step="expire a lease", task_id=attempt.task_id, attempt=attempt.number)


def _take(work: Callable[[], object], *, step: str, **subject: object) -> None:
    try:
        work()
    except Exception:
        logger.exception("a step of the sweep failed: %s", step, extra={"action": "sweep_step_failed"} | subject)


def _queued(transaction: Transaction, *, name: str, limit: int) -> list[Task]:
    return transaction.tasks.find(status=Status.QUEUED, queue=name, archived=True, limit=limit)
