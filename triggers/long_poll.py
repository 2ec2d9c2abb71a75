"""A question that the server holds until there is something, asked in a thread: what is due does not wait for it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from triggers.remote import Batch


class LongPoll:
    """One question after events at a time. To be used from one thread.

    Args:
        ask: asks for what follows an event, and may be answered after so many seconds; called in a thread of its own.
        on_answer: called when there is an answer, in that thread.
    """

    def __init__(self, ask: Callable[[int, float], Batch], *, on_answer: Callable[[], object]) -> None:
        self._ask = ask
        self._on_answer = on_answer
        self._thread: threading.Thread | None = None
        self._answer: Batch | BaseException | None = None
        self._wait_seconds = 0.0
        self._asked_at = 0.0
        self._answered_at = 0.0

    @property
    def was_held(self) -> bool:
        """Whether the last answer took the time that it may take where there is nothing."""
        return self._answered_at - self._asked_at >= self._wait_seconds / 2

    def take(self, *, after: int, wait_seconds: float) -> Batch | None:
        """Return the answer; None while there is none, and then see to it that it is asked for.

        Args:
            after: id of the last event that was read.
            wait_seconds: how long the server may hold the question.

        Raises:
            Exception: what asking raised.
        """
        if self._thread is None:
            self._wait_seconds = wait_seconds
            self._asked_at = time.monotonic()
            # A daemon: the process does not wait for an answer when it ends.
            self._thread = threading.Thread(target=self._run, args=(after, wait_seconds), name="events", daemon=True)
            self._thread.start()
            return None
        if self._answer is None:
            return None
        answer, self._answer, self._thread = self._answer, None, None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _run(self, after: int, wait_seconds: float) -> None:
        try:
            answer: Batch | BaseException = self._ask(after, wait_seconds)
        except BaseException as error:  # noqa: BLE001  carried over to whoever takes the answer
            answer = error
        self._answered_at = time.monotonic()
        self._answer = answer
        self._on_answer()
