"""Waits for a task, woken by the server's log of events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from orchestrator.errors import TaskEnded
from orchestrator.sdk.session import session

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

POLL_SECONDS = 25.0
"""A request for events waits for so long at most; then the task is looked at in any case."""


def wait_for_status(
    ask: Callable[[], Mapping[str, Any]],
    *,
    wanted: Collection[str],
    refused: Collection[str],
    timeout_seconds: float | None,
) -> str:
    """Wait until a task has one of the wanted statuses, and return which.

    Args:
        ask: returns the task's record as it is now.
        wanted: what to wait for.
        refused: what ends the waiting with an error, unless it is wanted.
        timeout_seconds: how long to wait at most; None for as long as it takes.

    Raises:
        TaskEnded: it has a refused status; the message says why.
        TimeoutError: it has none of them in time.
    """
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    client = session.client()
    newest = client.get("/events/recent", limit=1)["items"]
    cursor = newest[0]["id"] if newest else 0
    task = ask()
    while (status := task["status"]) not in wanted:
        if status in refused:
            reason = task["status_message"] or task["status_reason"] or "no reason is known"
            raise TaskEnded(f"Task {task['name']!r} ({task['id']}) {status}: {reason}")
        wait = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
        if wait <= 0:
            raise TimeoutError(f"task {task['name']!r} ({task['id']}) is still {status} after {timeout_seconds} s")
        page = client.get("/events", after=cursor, wait=round(wait, 2))
        cursor = page["next"]
        if not page["items"] or any(event["subject"] == task["id"] for event in page["items"]):
            task = ask()
    return str(status)
