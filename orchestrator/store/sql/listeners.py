"""Whoever wants to hear of commits."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.records.event import Event

    Listener: TypeAlias = Callable[[Sequence[Event]], None]

logger = logging.getLogger(__name__)


class Listeners:
    """The listeners of one store, called in the thread that committed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()

    def add(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` from now on; the function that is returned ends it."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def remove() -> None:
            with self._lock:
                self._listeners = tuple(each for each in self._listeners if each is not listener)

        return remove

    def tell(self, events: Sequence[Event]) -> None:
        """Call every listener. What one raises is logged: the commit is done, and the thread has others to serve."""
        for listener in self._listeners:
            try:
                listener(events)
            except Exception:
                logger.exception("a listener failed", extra={"action": "listener_failed", "events": len(events)})
