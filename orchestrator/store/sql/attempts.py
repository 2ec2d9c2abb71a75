"""Attempts and their leases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from orchestrator.errors import AlreadyExists, NotFound, StaleAttempt
from orchestrator.records.task import Attempt
from orchestrator.store.sql.rows import columns_of, to_row
from orchestrator.store.sql.tables import attempts
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from datetime import datetime, timedelta

_ATTEMPTS = select(*columns_of(Attempt, attempts))


class AttemptRows(Noun):
    """The part of `Tasks` that is about attempts."""

    def add_attempt(self, attempt: Attempt) -> None:
        """Store a new attempt."""
        if not self._unit.add_new(attempts, to_row(attempt, attempts)):
            raise AlreadyExists(f"Task {attempt.task_id} has an attempt {attempt.number} already.")

    def attempt(self, task_id: str, number: int) -> Attempt:
        """Return one attempt."""
        found = self._unit.record(Attempt, _ATTEMPTS.where(attempts.c.task_id == task_id, attempts.c.number == number))
        if found is None:
            raise NotFound(f"Task {task_id} has no attempt {number}.")
        return found

    def attempts(self, task_id: str) -> list[Attempt]:
        """Return a task's attempts, oldest first."""
        return self._unit.records(Attempt, _ATTEMPTS.where(attempts.c.task_id == task_id).order_by(attempts.c.number))

    def replace_attempt(self, attempt: Attempt) -> None:
        """Write an attempt; `StaleAttempt` when its row has ended already."""
        running = (
            attempts.c.task_id == attempt.task_id,
            attempts.c.number == attempt.number,
            attempts.c.ended_at.is_(None),
        )
        if self._unit.execute(update(attempts).where(*running).values(to_row(attempt, attempts))).rowcount == 0:
            ended = self.attempt(attempt.task_id, attempt.number)
            raise StaleAttempt(
                f"Attempt {ended.number} of task {ended.task_id} has ended: {ended.exit_reason or 'superseded'}.",
                hint="What it still writes counts no more.",
            )

    def expired_attempts(self, *, now: datetime, limit: int = 100) -> list[Attempt]:
        """Return attempts that have not ended and whose lease has, oldest lease first."""
        expired = _ATTEMPTS.where(attempts.c.ended_at.is_(None), attempts.c.lease_expires_at < now)
        oldest_first = expired.order_by(attempts.c.lease_expires_at, attempts.c.task_id, attempts.c.number)
        return self._unit.records(Attempt, oldest_first.limit(limit))

    def extend_leases(self, *, by: timedelta, until: datetime) -> int:
        """Move every running attempt's lease end by so much, but not beyond a moment; return how many were moved."""
        sooner = (attempts.c.ended_at.is_(None), attempts.c.lease_expires_at < until)
        ends = self._unit.execute(select(attempts.c.lease_expires_at).where(*sooner).distinct()).scalars().all()
        # One statement for each end, the last first, that none is moved twice: databases add times in different ways.
        return sum(
            self._unit.execute(
                update(attempts)
                .where(*sooner, attempts.c.lease_expires_at == end)
                .values(lease_expires_at=min(end + by, until))
            ).rowcount
            for end in sorted(ends, reverse=True)
        )
