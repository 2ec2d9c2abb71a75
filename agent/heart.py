"""Keeping the lease of an attempt, and hearing what the server has to say about it.

Silence of the server is no reason to end a run; a refusal is.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from orchestrator.errors import Conflict, Forbidden, NotFound, OrchestratorError, Unauthenticated
from orchestrator.wire import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.wire import HeartbeatAnswer

logger = logging.getLogger(__name__)

REFUSALS = (Conflict, Unauthenticated, Forbidden, NotFound)
"""The attempt is superseded, ended or deleted, and with it its token."""

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0


class Heart:
    """Extends the lease from a thread of its own until `stop`.

    Args:
        beat: sends one heartbeat; it waits at the server for as long as the heartbeat asks.
        interval_seconds: how long one waits there, and so how often the lease is extended.
        orphan_timeout_seconds: how long the server may be silent.
        on_stop: called once when someone wants the attempt to end.
        on_refusal: called once with the error when the attempt owns its task no more; the heart has stopped then.
        on_silence: called once when the server was silent for too long; the heart has stopped then.
    """

    def __init__(  # noqa: PLR0913  three things can be heard, each has its own listener
        self,
        beat: Callable[[Heartbeat], HeartbeatAnswer],
        *,
        interval_seconds: float,
        orphan_timeout_seconds: float,
        on_stop: Callable[[], None],
        on_refusal: Callable[[OrchestratorError], None],
        on_silence: Callable[[], None],
    ) -> None:
        self._beat = beat
        self._interval_seconds = interval_seconds
        self._orphan_timeout_seconds = orphan_timeout_seconds
        self._on_stop = on_stop
        self._on_refusal = on_refusal
        self._on_silence = on_silence
        self._news: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to beat; nothing happens when it beats already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Beat no more; a heartbeat that waits at the server is left to itself."""
        self._stopped.set()

    def tell(self, **news: Any) -> None:  # noqa: ANN401  fields of Heartbeat, which checks them
        """Have the next heartbeat carry this; where the heart beats already, a further one goes at once."""
        with self._lock:
            self._news |= news
        if self._thread is not None:
            self.flush()

    def flush(self) -> None:
        """Send what was not yet told; when the server is away it stays for the next heartbeat."""
        with self._lock:
            untold = bool(self._news)
        if untold:
            try:
                self._send(wait_seconds=0)
            except OrchestratorError as error:
                logger.info("heartbeat not delivered: %s", error, extra={"action": "heartbeat_failed"})

    def _send(self, *, wait_seconds: float) -> HeartbeatAnswer:
        with self._lock:
            news = dict(self._news)
        answer = self._beat(Heartbeat(wait_seconds=0 if news else wait_seconds, **news))
        with self._lock:
            self._news = {name: value for name, value in self._news.items() if news.get(name) != value}
        return answer

    def _run(self) -> None:
        heard_at = time.monotonic()
        pause_seconds = _FIRST_PAUSE_SECONDS
        asked_to_stop = False
        while not self._stopped.is_set():
            try:
                # Once a stop was asked for, the server would answer each heartbeat at once.
                answer = self._send(wait_seconds=0 if asked_to_stop else self._interval_seconds)
            except REFUSALS as error:
                if not self._stopped.is_set():
                    logger.warning("the attempt was refused: %s", error, extra={"action": "attempt_refused"})
                    self._on_refusal(error)
                return
            except OrchestratorError as error:
                if time.monotonic() - heard_at > self._orphan_timeout_seconds:
                    logger.warning("the server was silent for too long", extra={"action": "attempt_orphaned"})
                    self._on_silence()
                    return
                logger.info("heartbeat failed: %s", error, extra={"action": "heartbeat_failed"})
                self._stopped.wait(pause_seconds)
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
                continue
            heard_at = time.monotonic()
            pause_seconds = _FIRST_PAUSE_SECONDS
            if answer.stop_requested and not asked_to_stop:
                asked_to_stop = True
                self._on_stop()
            if asked_to_stop:
                self._stopped.wait(self._interval_seconds)
