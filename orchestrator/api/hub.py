"""Wakes requests that wait for something to happen, as soon as it is committed."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.records.event import Event
    from orchestrator.store.protocol import Store


class Waiter:
    """One waiting request.

    Args:
        subject: what it waits for; None for anything.
    """

    def __init__(self, subject: str | None) -> None:
        self.subject = subject
        self._loop = asyncio.get_running_loop()
        self._heard = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Wait until something was heard since the last call; return False when the time is up first."""
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            return False
        self._heard.clear()
        return True

    def wake(self) -> None:
        """Wake the request, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._heard.set)


class Hub:
    """Who waits, and for what.

    Args:
        store: tells of every commit that appended events.
    """

    def __init__(self, store: Store) -> None:
        self._lock = threading.Lock()
        self._waiters: set[Waiter] = set()
        self.closing = False
        self._unsubscribe = store.subscribe(self._hear)

    @contextmanager
    def waiting(self, *, subject: str | None = None) -> Iterator[Waiter]:
        """Begin to listen; what happens from here on is not missed.

        Args:
            subject: a task; None for every event.
        """
        waiter = Waiter(subject)
        with self._lock:
            self._waiters.add(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def close(self) -> None:
        """Let everyone who waits go, and whoever comes not wait."""
        self.closing = True
        self._unsubscribe()
        self._wake(None)

    def _hear(self, events: Sequence[Event]) -> None:
        # Other processes' commits come without their events: anything may have happened.
        self._wake({event.subject for event in events} if events else None)

    def _wake(self, subjects: set[str] | None) -> None:
        with self._lock:
            waiters = [
                each for each in self._waiters if subjects is None or each.subject is None or each.subject in subjects
            ]
        for waiter in waiters:
            waiter.wake()
