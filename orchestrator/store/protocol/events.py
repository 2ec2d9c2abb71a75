"""The event log, and the triggers that follow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.records.event import Event, EventType, NewEvent
    from orchestrator.records.trigger import Firing, Trigger


class Events(Protocol):
    """The log. Ids become visible in order: a reader that asks for what is after its cursor misses nothing."""

    def append(self, event: NewEvent) -> None:
        """Collect an event; it is numbered, and written last, when the transaction commits."""

    def after(self, cursor: int, *, limit: int = 500, projects_below: str = "") -> list[Event]:
        """Return events with larger ids, in order."""

    def recent(
        self,
        *,
        types: Sequence[EventType] = (),
        subject: str | None = None,
        before: int | None = None,
        limit: int = 100,
        projects_below: str = "",
    ) -> list[Event]:
        """Return events, newest first."""

    def get(self, event_id: int) -> Event:
        """Return one event."""

    def last_id(self) -> int:
        """Return the id of the newest visible event, 0 when there is none."""

    def cursor(self, name: str) -> int:
        """Return a named reader's position, 0 when it has none."""

    def advance(self, name: str, to: int) -> int:
        """Move a named reader's position forward, never back, and return it."""


class Triggers(Protocol):
    """Triggers by id and name, their revisions and firings."""

    def add(self, trigger: Trigger) -> None:
        """Store a new trigger and its first revision; `AlreadyExists` when the name is taken by one not removed."""

    def get(self, trigger_id: str, *, lock: bool = False) -> Trigger:
        """Return the trigger as it is now; with `lock` no other transaction locks it until this one ends."""

    def by_name(self, name: str) -> Trigger | None:
        """Return the trigger of that name that is not removed, or None."""

    def find(self, *, after: str | None = None, limit: int = 500, removed: bool = False) -> list[Trigger]:
        """Return triggers, oldest first; removed ones only when asked for."""

    def replace(self, trigger: Trigger, *, expected: Trigger) -> None:
        """Write the trigger, and its revision where new; `StaleRevision` unless revision and state are as expected."""

    def add_firing(self, firing: Firing) -> bool:
        """Store a firing; return False, changing nothing, when the trigger has one with this event key."""

    def firing(self, firing_id: str) -> Firing:
        """Return a firing."""

    def firing_of(self, trigger_id: str, event_key: str) -> Firing | None:
        """Return the trigger's firing with that event key, or None."""

    def replace_firing(self, firing: Firing, *, expected: Firing) -> None:
        """Write the firing where its row still has the status and tries of `expected`, else `Conflict`."""

    def firings(
        self,
        *,
        trigger_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> list[Firing]:
        """Return firings, newest first."""

    def firings_due(self, *, now: datetime, limit: int = 100) -> list[Firing]:
        """Return failed firings whose next try is due, oldest first."""
