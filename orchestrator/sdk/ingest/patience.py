"""Requests that are sent again while the server is away: long work is not lost to a short cut."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from orchestrator.errors import ServerFailed, ServerUnreachable, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Between tries: a minute in all."""
PASSING = (ServerUnreachable, ServerFailed, Unavailable)
"""What may go by."""


class Patience:
    """Tries again until it is told to give up. Safe between threads."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def end(self) -> None:
        """Let nobody wait any longer: the work has failed elsewhere."""
        self._ended.set()

    def wait(self, tries: int, error: Exception) -> None:
        """Wait before the next try.

        Args:
            tries: how many failed in a row.
            error: of the last one.

        Raises:
            Exception: these were enough; it is `error`.
        """
        if tries > len(PAUSES_SECONDS) or self._ended.wait(PAUSES_SECONDS[tries - 1]):
            raise error

    def rest(self, seconds: float) -> bool:
        """Wait for something that goes on elsewhere; return False where the work has failed meanwhile."""
        return not self._ended.wait(seconds)

    def during(self, call: Callable[[], T]) -> T:
        """Return what a call returns that may be made twice.

        Raises:
            ServerUnreachable, ServerFailed, Unavailable: the last try failed, too.
        """
        tries = 0
        while True:
            try:
                return call()
            except PASSING as error:
                tries += 1
                self.wait(tries, error)
