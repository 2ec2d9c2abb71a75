"""The console of an attempt on its way to the server: from a stored offset, so that nothing is lost or doubled."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from agent.console import ConsoleReader
from agent.heart import REFUSALS
from orchestrator.errors import Conflict, OrchestratorError, StaleAttempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.runs import RunDirectory

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


class ConsoleShipper:
    """Ships one console from a thread of its own.

    Args:
        run: whose console, and where the offset is kept.
        put: sends bytes that begin at an offset and returns how many the server has then.
    """

    def __init__(self, run: RunDirectory, *, put: Callable[[bytes, int], int]) -> None:
        self._run = run
        self._put = put
        self._reader = ConsoleReader(run.console, offset=run.console_offset())
        self._ended = threading.Event()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Ship what there is and what will come; nothing happens when it does already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._ship, name="console", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Say that nothing more will be written to the console."""
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Wait until all is shipped, or will never be; tell whether that is so."""
        return self._done.wait(seconds)

    def _ship(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            ended = self._ended.is_set()
            offset = self._reader.offset
            data = self._reader.read(ended=ended)
            if not data:
                if ended:
                    break
                self._reader.free()
                self._ended.wait(_LOOK_SECONDS)
                continue
            try:
                self._reader.offset = self._put(data, offset)
            except StaleAttempt:
                break
            except Conflict:
                # The server has less than it said: it was restored from an older state. What it has stays as it is.
                self._reader.offset = 0
            except REFUSALS as error:
                logger.warning("the console is not wanted: %s", error, extra={"action": "console_refused"})
                break
            except OrchestratorError as error:
                logger.info("the console waits: %s", error, extra={"action": "console_waits"})
                self._reader.offset = offset
                self._ended.wait(pause_seconds)
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
                continue
            pause_seconds = _FIRST_PAUSE_SECONDS
            try:
                self._run.save_console_offset(self._reader.offset)
            except OSError as error:  # a full disk; a successor sends again what the server has
                logger.warning("the offset was not saved: %s", error, extra={"action": "offset_not_saved"})
        self._done.set()
