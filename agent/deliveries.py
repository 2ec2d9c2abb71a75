"""Writes of a script that need no answer: metrics and reports."""

from __future__ import annotations

import logging
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from agent.spool import Write
from agent.upstream import Answer, Upstream
from orchestrator.sdk.transport import BROKEN

if TYPE_CHECKING:
    from pathlib import Path

    from agent.spool import Spool

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
FAILURES = 6
"""So many answers 500 in a row are the fault of what is sent, if the server answers something else meanwhile."""
SET_ASIDE_LIMIT_BYTES = 256 << 20


class Deliveries:
    """Writes that the script does not wait for: straight to the server when it is there, else through the spool.

    A write at which the server fails again and again, though it answers other requests, is set aside: it must hold up
    neither those behind it nor the end of the run.

    Args:
        upstream: the server.
        spool: where they wait, in order.
        set_aside: file that takes, as lines of JSON, what the server failed at, for whoever looks for the reason.
    """

    def __init__(self, upstream: Upstream, spool: Spool, *, set_aside: Path) -> None:
        self._upstream = upstream
        self._spool = spool
        self._set_aside_file = set_aside
        self._failures = 0
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
            elif self._failures >= FAILURES and self._answers_else(write):
                self._set_aside(write)
                self._spool.delivered()
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
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self._failures += 1
            return None
        if answer.status > HTTPStatus.INTERNAL_SERVER_ERROR:  # somebody in between, or a server that says to wait
            return None
        self._failures = 0
        if answer.status >= HTTPStatus.BAD_REQUEST:
            logger.warning("the server refused a write: %s", answer.body[:500], extra={"action": "write_refused"})
        return answer

    def _answers_else(self, write: Write) -> bool:
        """Tell whether the server answers a question about the same task."""
        question = Write(method="GET", path=write.path.rpartition("/")[0], headers={}, body=b"")
        try:
            return self._upstream.answer(question).status < HTTPStatus.INTERNAL_SERVER_ERROR
        except BROKEN:
            return False

    def _set_aside(self, write: Write) -> None:
        logger.error(
            "the server fails at a write, which is set aside: %s",
            write.path,
            extra={"action": "write_set_aside", "bytes": len(write.body), "file": str(self._set_aside_file)},
        )
        try:
            with self._set_aside_file.open("ab") as file:
                if file.tell() + len(write.body) <= SET_ASIDE_LIMIT_BYTES:
                    file.write(write.encoded() + b"\n")
        except OSError as error:  # a full disk; what is behind it must get through all the same
            logger.warning("it could not be kept: %s", error, extra={"action": "write_lost"})
