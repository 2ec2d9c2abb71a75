"""When the scheduler has to ask for what is due.

Times are the database's. What passes meanwhile is told by a clock that nobody sets: this machine's own may be wrong.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from orchestrator.wire import Due, FiringResult

LEAST_SECONDS = 1.0
"""From one question to the next where the first changed nothing: what is overdue may be for another scheduler."""
_FOR_SCHEDULERS = frozenset({"due", "gating"})
"""Outcomes after which there may be work to take."""


class Agenda:
    """Knows when to ask next: at the start, when told to, when a time has come, and every so often anyway.

    Times that this scheduler does not hear of are another one's, and are found after `polling_seconds` should that one
    die. Safe between threads.

    Args:
        polling_seconds: the longest time between two questions.
        monotonic: the clock, in seconds.
    """

    def __init__(self, *, polling_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._polling_seconds = polling_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: tuple[datetime, float] | None = None
        self._ask_at = monotonic()

    def ask_now(self) -> None:
        """Have it asked at once."""
        self._ask_at_latest(0.0)

    def asking(self) -> None:
        """Hear that the question is being sent: reasons to ask that come from here on are new ones."""
        with self._lock:
            self._ask_at = self._monotonic() + self._polling_seconds

    def answered(self, due: Due) -> None:
        """Learn from an answer what time it is and when the next thing is due."""
        # Counted from when the answer came, so that nothing is asked for a moment too early.
        self._known = (due.now, self._monotonic())
        if due.next_due_at is not None:
            changed = bool(due.results or due.work)
            self._ask_at_latest(
                max((due.next_due_at - due.now).total_seconds(), 0.0 if changed else LEAST_SECONDS),
            )

    def fired(self, results: Iterable[FiringResult]) -> None:
        """Learn from what became of matches when there is something to do about them."""
        for result in results:
            if result.outcome in _FOR_SCHEDULERS:
                self.ask_now()
            elif result.due_at is not None:
                now = self.now()
                self._ask_at_latest(0.0 if now is None else (result.due_at - now).total_seconds())

    def seconds_left(self) -> float:
        """Return how long there is nothing to ask; 0 when it is time."""
        return max(0.0, self._ask_at - self._monotonic())

    def now(self) -> datetime | None:
        """Return what time it is by the database's clock; None as long as that was never asked."""
        if self._known is None:
            return None
        then, at = self._known
        return then + timedelta(seconds=self._monotonic() - at)

    def _ask_at_latest(self, seconds: float) -> None:
        with self._lock:
            self._ask_at = min(self._ask_at, self._monotonic() + max(0.0, seconds))
