"""Runs the sweep over and over, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from orchestrator.services.reconcile import reconcile

if TYPE_CHECKING:
    from orchestrator.queues import Queue
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Store

logger = logging.getLogger(__name__)


class Sweeper:
    """Sweeps every `sweep_seconds`, the first time at once.

    Args:
        store: the database.
        queue: where to ring again.
        settings: how often, and what a sweep goes by.
    """

    def __init__(self, store: Store, *, queue: Queue, settings: Settings) -> None:
        self._store = store
        self._queue = queue
        self._settings = settings
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._failing = False

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def close(self) -> None:
        """End after the sweep that is going on."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        self._sweep()
        while not self._end.wait(self._settings.sweep_seconds):
            self._sweep()

    def _sweep(self) -> None:
        try:
            reconcile(self._store, queue=self._queue, settings=self._settings)
        except Exception as error:
            if not self._failing:
                logger.warning(
                    "the sweep failed; trying again",
                    exc_info=True,
                    extra={"action": "sweep_failed", "error": repr(error)},
                )
            self._failing = True
        else:
            if self._failing:
                logger.info("the sweep works again", extra={"action": "sweep_recovered"})
            self._failing = False
