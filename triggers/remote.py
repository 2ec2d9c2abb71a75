"""What the scheduler asks of the server, in its own words."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.records.event import Event
from orchestrator.records.trigger import Trigger
from orchestrator.sdk.typed import get_as, pages_as, post_as, put_as
from orchestrator.wire import Cursor, FiringResult, Page, PostFirings
from triggers.conditions import DATASET_EVENTS, TRIGGER_EVENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.sdk.client import Client
    from orchestrator.wire import NewFiring

READER = "scheduler"
"""The name of the place in the log that schedulers share. Those that see a part of the log alone share one apart."""


ANSWER_SECONDS = 15.0
"""How long the server may take to answer once it does not wait any more."""


class Batch(NamedTuple):
    """A stretch of the log."""

    events: tuple[Event, ...]
    """Those in it that a scheduler acts on; a type of a later release is passed over."""
    next: int
    """Ask for what is after this one again."""


class Remote:
    """The server as a scheduler sees it. Every method raises what `Client` raises.

    Args:
        client: speaks for the scheduler.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reader = ""

    def triggers(self) -> list[Trigger]:
        """Return every trigger that there is."""
        return list(pages_as(self._client, Trigger, "/triggers"))

    def events(self, *, after: int, wait_seconds: float, limit: int) -> Batch:
        """Return what follows an event in the log, as soon as there is something.

        Args:
            after: id of the last event that was read.
            wait_seconds: how long the server may hold the question while there is nothing, at most 25.
            limit: most events.
        """
        answer = self._client.get(
            "/events", timeout_seconds=wait_seconds + ANSWER_SECONDS, after=after, wait=wait_seconds, limit=limit
        )
        wanted = (item for item in answer["items"] if item["type"] in DATASET_EVENTS | TRIGGER_EVENTS)
        return Batch(events=tuple(Event.from_wire(item) for item in wanted), next=int(answer["next"]))

    def newest_event(self) -> int:
        """Return the id of the last event in the log, 0 when it is empty."""
        items = self._client.get("/events/recent", limit=1)["items"]
        return int(items[0]["id"]) if items else 0

    def fire(self, firings: Sequence[NewFiring]) -> list[FiringResult]:
        """Have the server act on matches, at most 500; a match that it has acted on before is a duplicate."""
        body = PostFirings(firings=tuple(firings))
        return list(post_as(self._client, Page[FiringResult], "/firings", body, repeatable=True).items)

    def place(self) -> int:
        """Return how far schedulers have come in the log, 0 where none ever ran."""
        return get_as(self._client, Cursor, self._place_path()).event

    def keep_place(self, event: int) -> None:
        """Remember that everything up to this event was acted on; the place never moves back."""
        put_as(self._client, Cursor, self._place_path(), Cursor(event=event))

    def _place_path(self) -> str:
        if not self._reader:
            project = self._client.get("/tokens/self")["project"]
            # A digest, for a project's path has slashes in it.
            self._reader = f"{READER}-{hashlib.sha256(project.encode()).hexdigest()[:16]}" if project else READER
        return f"/events/cursors/{self._reader}"
