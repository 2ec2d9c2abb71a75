"""What the scheduler asks of the server, in its own words."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.records.dataset import DatasetVersion
from orchestrator.records.drift import ProfileComparison
from orchestrator.records.event import Event, EventType
from orchestrator.records.profile import DatasetProfile
from orchestrator.records.trigger import Trigger
from orchestrator.sdk.typed import get_as, pages_as, post_as, put_as, wire_form
from orchestrator.wire import Cursor, Due, ExtendClaim, FiringResult, Page, PostFirings, TakeDue
from triggers.conditions import ENDED_TASKS, MATCHED, TRIGGER_EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.sdk.client import Client
    from orchestrator.wire import FinishWork, NewFiring

READER = "scheduler"
"""The name of the place in the log that schedulers share. Those that see a part of the log alone share one apart."""
ANSWER_SECONDS = 15.0
"""How long the server may take to answer once it does not wait any more."""
IDS_AT_ONCE = 100
"""Triggers that are asked for by id in one question, at most."""
WANTED = MATCHED | TRIGGER_EVENTS | ENDED_TASKS | {EventType.TRIGGER_WAITING}
"""Types of the events that a scheduler acts on."""


class Batch(NamedTuple):
    """A stretch of the log."""

    events: tuple[Event, ...]
    """Those in it that a scheduler acts on."""
    next: int
    """Ask for what is after this one again."""


class Remote:
    """The server as a scheduler sees it. Every method raises what `Client` raises. Safe between threads.

    Args:
        client: speaks for the scheduler.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reader = ""

    def close(self) -> None:
        """Close the connections that no question uses; it can be used again."""
        self._client.close()

    def triggers(self) -> list[Trigger]:
        """Return every trigger that there is."""
        return list(pages_as(self._client, Trigger, "/triggers"))

    def triggers_by_id(self, ids: Sequence[str]) -> list[Trigger]:
        """Return those of these triggers that there are."""
        return [
            trigger
            for some in _batched(ids, IDS_AT_ONCE)
            for trigger in pages_as(self._client, Trigger, "/triggers", id=some)
        ]

    def events(self, *, after: int, wait_seconds: float, limit: int) -> Batch:
        """Return what follows an event in the log, as soon as there is something that a scheduler acts on.

        Args:
            after: id of the last event that was read.
            wait_seconds: how long the server may hold the question while there is nothing, at most 25.
            limit: most events.
        """
        answer = self._client.get(
            "/events",
            timeout_seconds=wait_seconds + ANSWER_SECONDS,
            after=after,
            wait=wait_seconds,
            limit=limit,
            type=sorted(WANTED),
        )
        # A server of another release may send more than was asked for, of types that are not known here.
        wanted = (Event.from_wire(item) for item in answer["items"] if item["type"] in WANTED)
        return Batch(events=tuple(wanted), next=int(answer["next"]))

    def newest_event(self) -> int:
        """Return the id of the last event in the log, 0 when it is empty."""
        items = self._client.get("/events/recent", limit=1)["items"]
        return int(items[0]["id"]) if items else 0

    def fire(self, firings: Sequence[NewFiring], *, ended: Sequence[int] = ()) -> list[FiringResult]:
        """Have the server act on matches and on ends of tasks that firings made.

        What it has acted on before is a duplicate.

        Args:
            firings: the matches, at most 500.
            ended: ids of the events that tell of the ends, at most 500.
        """
        body = PostFirings(firings=tuple(firings), ended=tuple(ended))
        return list(post_as(self._client, Page[FiringResult], "/firings", body, repeatable=True).items)

    def take_due(self, *, scheduler: str, functions: Sequence[str], limit: int) -> Due:
        """Have the server do what its clock asks for, and take work that only a scheduler can do.

        Args:
            scheduler: whoever takes it.
            functions: names of those that it can call.
            limit: most pieces of work.
        """
        body = TakeDue(scheduler=scheduler, functions=tuple(functions), limit=limit)
        # Work whose answer is lost on the way is claimed for a minute, then somebody else takes it.
        return post_as(self._client, Due, "/firings/due", body, repeatable=True)

    def extend(self, firing_id: str, *, scheduler: str) -> None:
        """Say that a piece of work is still being done.

        Raises:
            StaleClaim: another scheduler has it by now, or it ended.
        """
        body = wire_form(ExtendClaim(scheduler=scheduler))
        self._client.post(f"/firings/{firing_id}/extend", body, repeatable=True)

    def finish(self, firing_id: str, outcome: FinishWork) -> None:
        """Say what came of a piece of work; sent twice does no harm.

        Raises:
            StaleClaim: another scheduler has it by now, or it ended.
        """
        self._client.post(f"/firings/{firing_id}/result", wire_form(outcome), repeatable=True)

    def dataset(self, version_id: str) -> DatasetVersion:
        """Return a dataset version."""
        return get_as(self._client, DatasetVersion, f"/datasets/{version_id}")

    def profile(self, version_id: str) -> DatasetProfile:
        """Return what is known of a version's files.

        Raises:
            NotFound: it is not made yet, or there is no such version; the hint says which.
        """
        return get_as(self._client, DatasetProfile, f"/datasets/{version_id}/profile")

    def comparison(self, version_id: str, *, against: str) -> ProfileComparison:
        """Return how a version's statistics differ from another's.

        Raises:
            NotFound: see `profile`, of either of them.
        """
        return get_as(self._client, ProfileComparison, f"/datasets/{version_id}/profile/compare", against=against)

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


def _batched(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
