"""A server that is none: for crashes and moments that the real one does not offer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from orchestrator.errors import StaleClaim
from orchestrator.records.action import FunctionAction
from orchestrator.records.event import Event, EventType
from orchestrator.records.firing import Firing
from orchestrator.wire import Due, FiringResult, FiringWork
from triggers.remote import Batch
from triggers.testing import DATASET, NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.records.trigger import Trigger
    from orchestrator.wire import FinishWork, NewFiring

CLAIM = timedelta(seconds=60)


class ServerInMemory:
    """Answers a scheduler as a server does, and can be told to fail in moments that the real one does not offer."""

    def __init__(self) -> None:
        self.now = NOW
        self.claim = CLAIM
        self.log: list[Event] = []
        self.known: dict[str, Trigger] = {}
        self.fired: dict[tuple[str, int], int] = {}
        self.line: dict[str, FiringWork] = {}
        self.done: list[tuple[str, FinishWork]] = []
        self.ended: list[int] = []
        self.kept = 0
        self.failures: list[Exception] = []
        self.before_firing: Callable[[], None] | None = None
        self.answer_with: dict[str, object] = {}
        self.next_due_at: datetime | None = None
        self.due_asked: list[dict[str, object]] = []
        self.due_failures: list[Exception] = []
        self.finish_failures: list[Exception] = []
        self.posts: list[tuple[list[int], list[int]]] = []
        self.read_from: list[int] = []
        self.read_ids: list[list[str]] = []
        self.kept_calls = 0
        self.extended: list[str] = []

    def happen(
        self,
        kind: EventType = EventType.DATASET_TAGGED,
        *,
        tags: Sequence[str] = ("Production",),
        subject: str = DATASET,
        cause: str | None = None,
    ) -> int:
        """Append an event, of a dataset version that is tagged unless something else is said; return its id."""
        data = {"name": "sensors", "version": "1.0.0", "tags": [*tags], "added": [*tags]}
        event = Event(
            id=len(self.log) + 1,
            at=NOW,
            type=kind,
            subject=subject,
            project="p",
            actor="a" * 32,
            cause=cause,
            data=data,
        )
        self.log.append(event)
        return event.id

    def register(self, registered: Trigger) -> None:
        """Keep a trigger, new or changed, and tell of it in the log."""
        self.known[registered.id] = registered.changed(starts_after=len(self.log))
        self.happen(EventType.TRIGGER_REGISTERED, subject=registered.id)

    def triggers(self) -> list[Trigger]:
        """Return every trigger."""
        return list(self.known.values())

    def triggers_by_id(self, ids: Sequence[str]) -> list[Trigger]:
        """Return some."""
        self.read_ids.append(list(ids))
        return [self.known[each] for each in ids if each in self.known]

    def events(self, *, after: int, wait_seconds: float, limit: int) -> Batch:  # noqa: ARG002  it never waits
        """Return what follows an event, at once."""
        if self.failures:
            raise self.failures.pop(0)
        self.read_from.append(after)
        found = self.log[after : after + limit]
        return Batch(events=tuple(found), next=found[-1].id if found else after)

    def close(self) -> None:
        """Close nothing."""

    def newest_event(self) -> int:
        """Return the id of the last event."""
        return len(self.log)

    def fire(self, firings: Sequence[NewFiring], *, ended: Sequence[int] = ()) -> list[FiringResult]:
        """Fire each match once."""
        if self.before_firing is not None:
            self.before_firing()
        self.posts.append(([firing.event for firing in firings], [*ended]))
        self.ended += ended
        return [self._fire(firing) for firing in firings]

    def take_due(self, *, scheduler: str, functions: Sequence[str], limit: int) -> Due:
        """Hand out what stands in line and is not claimed."""
        if self.due_failures:
            raise self.due_failures.pop(0)
        self.due_asked.append({"functions": tuple(functions), "limit": limit})
        work: list[FiringWork] = []
        for work_id, waiting in self.line.items():
            until = waiting.firing.claimed_until
            if len(work) < limit and (until is None or until <= self.now):
                claimed = waiting.firing.changed(claimed_by=scheduler, claimed_until=self.now + self.claim)
                self.line[work_id] = waiting.changed(firing=claimed)
                work.append(self.line[work_id])
        return Due(now=self.now, next_due_at=self.next_due_at, work=tuple(work))

    def extend(self, firing_id: str, *, scheduler: str) -> None:
        """Extend a claim."""
        self._claimed(firing_id, scheduler=scheduler)
        self.extended.append(firing_id)

    def finish(self, firing_id: str, outcome: FinishWork) -> None:
        """Take a report."""
        if self.finish_failures:
            raise self.finish_failures.pop(0)
        self._claimed(firing_id, scheduler=outcome.scheduler)
        del self.line[firing_id]
        self.done.append((firing_id, outcome))

    def place(self) -> int:
        """Return the place in the log."""
        return self.kept

    def keep_place(self, event: int) -> None:
        """Keep a place in the log."""
        self.kept = max(self.kept, event)
        self.kept_calls += 1

    def _claimed(self, firing_id: str, *, scheduler: str) -> None:
        if firing_id not in self.line or self.line[firing_id].firing.claimed_by != scheduler:
            raise StaleClaim

    def _fire(self, firing: NewFiring) -> FiringResult:
        key = (firing.trigger_id, firing.event)
        current = self.known.get(firing.trigger_id)
        if current is None or current.revision != firing.revision:
            return FiringResult(trigger_id=key[0], event=key[1], outcome="stale_revision")
        if key in self.fired:
            return FiringResult(trigger_id=key[0], event=key[1], outcome="duplicate")
        self.fired[key] = firing.revision
        if isinstance(current.action, FunctionAction):
            return self._stand_in_line(current, event=self.log[firing.event - 1])
        values = {"outcome": "launched", "task_id": "e" * 32} | self.answer_with
        return FiringResult.model_validate({"trigger_id": key[0], "event": key[1]} | values)

    def _stand_in_line(self, current: Trigger, *, event: Event) -> FiringResult:
        firing = Firing(
            id=f"{len(self.fired):032x}",
            trigger_id=current.id,
            revision=current.revision,
            event_key=str(event.id),
            events=(event.id,),
            created_at=self.now,
            changed_at=self.now,
        )
        self.line[firing.id] = FiringWork(kind="action", firing=firing, trigger=current, events=(event,))
        return FiringResult(trigger_id=current.id, event=event.id, outcome="due", firing_id=firing.id)
