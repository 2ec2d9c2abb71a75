"""Writes of a script that need no answer: metrics and reports."""

from __future__ import annotations

import logging
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from agent.upstream import Answer, Upstream
from orchestrator.sdk.transport import BROKEN

if TYPE_CHECKING:
    from agent.spool import Spool, Write

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


class Deliveries:
    """Writes that the script does not wait for: straight to the server when it is there, else through the spool.

    Args:
        upstream: the server.
        spool: where they wait, in order.
    """

    def __init__(self, upstream: Upstream, spool: Spool) -> None:
        self._upstream = upstream
        self._spool = spool
        self._in_order = threading.Lock()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def submit(self, write: Write) -> Answer:
        """Send a write or store it; the answer is the server's, or 202.

        Raises:
            NoSpace: it can be neither sent nor stored.
        """
        with self._in_order:
            if self._spool.empty:
                answer = self._try(write)
                if answer is not None:
                    return answer
            self._spool.append(write)
        self._wake.set()
        return Answer(HTTPStatus.ACCEPTED, {"Content-Type": "application/json"}, b'{"spooled": true}')

    def start(self) -> None:
        """Deliver in a thread what waits and what will; nothing happens when one does already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._deliver, name="deliveries", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Deliver no more."""
        self._stopped.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def wait(self, seconds: float) -> bool:
        """Wait until everything is delivered; tell whether that is so."""
        give_up = time.monotonic() + seconds
        while not self._spool.empty:
            if time.monotonic() >= give_up:
                return False
            time.sleep(0.02)
        return True

    def _deliver(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while not self._stopped.is_set():
            write = self._spool.first()
            if write is None:
                self._wake.wait()
                self._wake.clear()
            elif self._try(write) is not None:
                self._spool.delivered()
                pause_seconds = _FIRST_PAUSE_SECONDS
            else:
                self._stopped.wait(pause_seconds)
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _try(self, write: Write) -> Answer | None:
        """Return the server's answer, None where it gave none that stands."""
        try:
            answer = self._upstream.answer(write)
        except BROKEN as error:
            logger.info("a write waits: %s", error, extra={"action": "write_spooled"})
            return None
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return None
        if answer.status >= HTTPStatus.BAD_REQUEST:
            logger.warning("the server refused a write: %s", answer.body[:500], extra={"action": "write_refused"})
        return answer
