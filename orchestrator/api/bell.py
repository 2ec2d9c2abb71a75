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
        while (event := self._line.get()) is not None:
            try:
                self._queue.ring(event.data["queue"], task_id=event.subject, attempt=event.data["attempt"])
            except Exception as error:  # noqa: BLE001  whatever the line to Redis raises: the sweep rings again
                logger.warning(
                    "the bell did not ring; the sweep will",
                    extra={"action": "ring_failed", "task_id": event.subject, "error": repr(error)},
                )
