"""Trying again what a server, a remote or an engine did not answer."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from orchestrator.errors import OrchestratorError, ServerFailed, ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

T = TypeVar("T")

SERVER_AWAY = (ServerUnreachable, ServerFailed)
"""The server does not answer, or something between it and us does in its place."""

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0


def patiently(
    work: Callable[[], T],
    *,
    seconds: float,
    errors: tuple[type[OrchestratorError], ...] = SERVER_AWAY,
    pause: Callable[[float], object] = time.sleep,
) -> T:
    """Return what `work` returns; after one of these errors try again, with growing pauses.

    Args:
        work: what to do. Doing it twice must be harmless.
        seconds: how long to try; the error of the last try is raised then.
        errors: those that a later try may not meet.
        pause: waits for so many seconds; what it raises ends the tries.
    """
    give_up = time.monotonic() + seconds
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return work()
        except errors as error:
            if time.monotonic() + pause_seconds > give_up:
                raise
            logger.info("trying again in %.2f s: %s", pause_seconds, error, extra={"action": "retry"})
            pause(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
