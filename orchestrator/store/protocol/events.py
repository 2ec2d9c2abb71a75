"""The event log, and the triggers and firings that follow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.records.condition import MetricBound
    from orchestrator.records.event import Event, EventType, NewEvent
    from orchestrator.records.firing import Firing
    from orchestrator.records.trigger import Trigger


class Events(Protocol):
    """The log. Ids become visible in order: a reader that asks for what is after its cursor misses nothing."""

    def append(self, event: NewEvent) -> None:
        """Collect an event; it is numbered, and written last, when the transaction commits."""

    def after(
        self, cursor: int, *, limit: int = 500, types: Sequence[EventType] = (), projects_below: str = ""
    ) -> list[Event]:
        """Return events with larger ids, in order, of these types where some are named."""

    def first_since(self, moment: datetime) -> int | None:
        """Return the id of the first event at or after a moment, or None where there is none."""

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

    def subjects(self, among: Sequence[str], *, types: Sequence[EventType]) -> set[str]:
        """Return those subjects to which an event of these types ever happened."""

    def many(self, event_ids: Sequence[int]) -> dict[int, Event]:
        """Return those that there are of these, by id, in order."""

    def last_id(self) -> int:
        """Return the id of the newest visible event, 0 when there is none."""

    def cursor(self, name: str) -> int:
        """Return a named reader's position, 0 when it has none."""

    def advance(self, name: str, to: int) -> int:
        """Move a named reader's position forward, never back, and return it."""


class Triggers(Protocol):
    """Triggers by id and name, and their revisions."""

    def add(self, trigger: Trigger) -> None:
        """Store a new trigger and its first revision; `AlreadyExists` when the name is taken by one not removed."""

    def get(self, trigger_id: str, *, lock: bool = False) -> Trigger:
        """Return the trigger as it is now; with `lock` no other transaction locks it until this one ends."""

    def lock_names(self) -> None:
        """Let no other transaction that calls this go on until this one ends: whoever adds by name looks first."""

    def lock_all(self, trigger_ids: Sequence[str]) -> dict[str, Trigger]:
        """Lock triggers in the order of their ids and return those that there are, by id."""

    def revision(self, trigger_id: str, number: int) -> Trigger:
        """Return the trigger as that revision was registered, with its present state and times."""

    def by_name(self, name: str) -> Trigger | None:
        """Return the trigger of that name that is not removed, or None."""

    def find(
        self,
        *,
        after: str | None = None,
        limit: int = 500,
        removed: bool = False,
        ids: Sequence[str] | None = None,
        group: str | None = None,
    ) -> list[Trigger]:
        """Return triggers, oldest first: removed ones only when asked for, of these ids or this group where given."""

    def due(self, *, now: datetime, limit: int = 100) -> list[Trigger]:
        """Return active and paused triggers whose `next_occurrence_at` is not after `now`, the earliest first."""

    def next_due_at(self) -> datetime | None:
        """Return the earliest `next_occurrence_at` of those that are not removed, or None."""

    def watched_metrics(self, names: Sequence[tuple[str, str]]) -> list[MetricBound]:
        """Return the bounds of triggers that are not removed, on any of these series, each once.

        Args:
            names: title and series of each.
        """

    def replace(self, trigger: Trigger, *, expected: Trigger) -> None:
        """Write the trigger, and its revision where new; `StaleRevision` unless revision and state are as expected."""


class Firings(Protocol):
    """Firings, and which events they stand for: an event key is with one firing of a trigger at most."""

    def add(self, firing: Firing) -> bool:
        """Store a firing under its event key; return False, changing nothing, when the trigger has that key already."""

    def add_all(self, firings: Sequence[Firing]) -> None:
        """Store many; `Conflict`, changing nothing, when one has a key that its trigger has already."""

    def join(self, firing: Firing, event_key: str) -> bool:
        """Put one more event key with a firing; return False, changing nothing, when the trigger has it already."""

    def get(self, firing_id: str) -> Firing:
        """Return a firing."""

    def of_event(self, trigger_id: str, event_key: str) -> Firing | None:
        """Return the trigger's firing with that event key, or None."""

    def of_events(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Firing]:
        """Return those that there are of many (trigger id, event key)."""

    def with_event(self, event_key: str) -> list[Firing]:
        """Return every trigger's firing with that event key."""

    def replace(self, firing: Firing, *, expected: Firing) -> None:
        """Write the firing where its row still has status, tries and claim of `expected`, else `Conflict`."""

    def find(
        self,
        *,
        trigger_id: str | None = None,
        statuses: Sequence[str] = (),
        after: str | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> list[Firing]:
        """Return firings, newest first unless asked otherwise; `after` is the id at which the page before ended."""

    def collecting(self, trigger_id: str) -> Firing | None:
        """Return the firing of this trigger whose window is open, or None."""

    def owners(self, *, due_at: datetime | None = None) -> list[str]:
        """Return ids of triggers with firings that `due` returns at that time, or `waiting` where none is given."""

    def due(self, *, now: datetime, among: Sequence[str] | None = None, limit: int = 100) -> list[Firing]:
        """Return those that the clock asks for, the earliest first: windows that close and failures to try again.

        Args:
            now: the database's time.
            among: ids of triggers; of all where it is not given.
            limit: most rows.
        """

    def next_due_at(self) -> datetime | None:
        """Return when `due` has the next one, or a claim of one that is due or gating ends; None where none does."""

    def waiting(self, *, among: Sequence[str] | None = None, of_each: int = 20, limit: int = 10_000) -> list[Firing]:
        """Return those that are due or gating, oldest first, the oldest of each trigger: a long line hides no other."""

    def at_work(self, trigger_id: str) -> int:
        """Return how many firings of a trigger are at work.

        A chain counts once, from its first step to its last. Counted are: launched ones whose task is queued or in
        progress, chains with steps to come, those that are gating, and those that are due and claimed.
        """

    def open_chains(self, trigger_id: str) -> list[Firing]:
        """Return the first firings of a trigger's chains that have steps to come, oldest first."""

    def overdue_tasks(self, *, now: datetime, limit: int = 100) -> list[str]:
        """Return ids of tasks that run, longer than the trigger that made them lets them, and are not told to stop."""

    def next_overdue_at(self) -> datetime | None:
        """Return when the next one of them will have run for too long, or None."""

    def active_tasks(self, trigger_id: str) -> list[str]:
        """Return ids of the tasks of its firings that are queued or in progress, oldest first."""
