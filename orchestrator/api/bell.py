"""Rings for every task that was queued, in a thread of its own, after the commit."""

from __future__ import annotations

import logging
import queue as waiting_line
import threading
from typing import TYPE_CHECKING

from orchestrator.records.event import EventType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.queues import Queue
    from orchestrator.records.event import Event
    from orchestrator.store.protocol import Store

logger = logging.getLogger(__name__)

_AT_ONCE = 500


class Bell:
    """Listens to the store's commits. A ring that fails is logged and left to the sweep.

    Args:
        store: tells of commits.
        queue: where to ring.
    """

    def __init__(self, store: Store, *, queue: Queue) -> None:
        self._queue = queue
        self._line: waiting_line.SimpleQueue[Event | None] = waiting_line.SimpleQueue()
        self._unsubscribe = store.subscribe(self._hear)
        self._thread = threading.Thread(target=self._run, name="bell", daemon=True)

    def start(self) -> None:
        """Begin to ring."""
        self._thread.start()

    def close(self) -> None:
        """Ring for what was heard so far, then end."""
        self._unsubscribe()
        self._line.put(None)
        self._thread.join()

    def _hear(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.type is EventType.TASK_QUEUED:
                self._line.put(event)

    def _run(self) -> None:
        try:
            self._queue.prepare()
        except Exception:
            logger.exception("the bell is not ready; it tries again", extra={"action": "bell_not_ready"})
        while (heard := self._heard()) is not None:
            for name, tickets in heard.items():
                self._ring(name, tickets)

    def _heard(self) -> dict[str, list[tuple[str, int]]] | None:
        """Wait, then return all that was heard by now as tickets by queue; None when there is no more to come.

        Many at once are one round to Redis, and take the writer's processor time for one.
        """
        first = self._line.get()
        if first is None:
            return None
        events = [first]
        while len(events) < _AT_ONCE and not self._line.empty():
            following = self._line.get()
            if following is None:
                self._line.put(None)  # the end, for the next time
                break
            events.append(following)
        tickets: dict[str, list[tuple[str, int]]] = {}
        for event in events:
            tickets.setdefault(event.data["queue"], []).append((event.subject, event.data["attempt"]))
        return tickets

    def _ring(self, name: str, tickets: list[tuple[str, int]]) -> None:
        try:
            self._queue.ring(name, tickets)
        except Exception as error:  # noqa: BLE001  whatever the line to Redis raises: the sweep rings again
            logger.warning(
                "the bell did not ring; the sweep will",
                extra={"action": "ring_failed", "queue": name, "tickets": len(tickets), "error": repr(error)},
            )
