"""The event log."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update
from typing_extensions import override

from orchestrator.errors import NotFound
from orchestrator.records.event import Event
from orchestrator.store.protocol import Events
from orchestrator.store.sql.rows import below, chunks, clamped, columns_of
from orchestrator.store.sql.tables import cursors, events
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.records.event import EventType, NewEvent

_EVENTS = select(*columns_of(Event, events))


class SqlEvents(Noun, Events):
    """Events and the cursors of their readers."""

    @override
    def append(self, event: NewEvent) -> None:
        self._unit.pending.append(event)

    @override
    def after(
        self, cursor: int, *, limit: int = 500, types: Sequence[EventType] = (), projects_below: str = ""
    ) -> list[Event]:
        statement = _EVENTS.where(events.c.id > clamped(cursor)).order_by(events.c.id).limit(limit)
        if types:
            statement = statement.where(events.c.type.in_([kind.value for kind in types]))
        if projects_below:
            statement = statement.where(below(events.c.project, projects_below))
        return self._unit.records(Event, statement)

    @override
    def first_since(self, moment: datetime) -> int | None:
        # Ids and times grow together but for a clock that stepped back: the first in the order of ids counts.
        first: int | None = self._unit.scalar(select(func.min(events.c.id)).where(events.c.at >= moment))
        return first

    @override
    def recent(
        self,
        *,
        types: Sequence[EventType] = (),
        subject: str | None = None,
        before: int | None = None,
        limit: int = 100,
        projects_below: str = "",
    ) -> list[Event]:
        statement = _EVENTS.order_by(events.c.id.desc()).limit(limit)
        if types:
            statement = statement.where(events.c.type.in_([kind.value for kind in types]))
        if subject is not None:
            statement = statement.where(events.c.subject == subject)
        if before is not None:
            statement = statement.where(events.c.id < clamped(before))
        if projects_below:
            statement = statement.where(below(events.c.project, projects_below))
        return self._unit.records(Event, statement)

    @override
    def get(self, event_id: int) -> Event:
        event = self._unit.record(Event, _EVENTS.where(events.c.id == clamped(event_id)))
        if event is None:
            raise NotFound(f"There is no event {event_id}.")
        return event

    @override
    def subjects(self, among: Sequence[str], *, types: Sequence[EventType]) -> set[str]:
        statement = select(events.c.subject).where(events.c.type.in_([kind.value for kind in types])).distinct()
        found = (self._unit.execute(statement.where(events.c.subject.in_(some))).scalars() for some in chunks(among))
        return set(chain.from_iterable(found))

    @override
    def many(self, event_ids: Sequence[int]) -> dict[int, Event]:
        wanted = sorted({clamped(number) for number in event_ids})
        found = (self._unit.records(Event, _EVENTS.where(events.c.id.in_(some))) for some in chunks(wanted))
        return {event.id: event for event in sorted(chain.from_iterable(found), key=lambda event: event.id)}

    @override
    def last_id(self) -> int:
        return int(self._unit.scalar(select(func.max(events.c.id))) or 0)

    @override
    def cursor(self, name: str) -> int:
        return int(self._unit.scalar(select(cursors.c.event).where(cursors.c.name == name)) or 0)

    @override
    def advance(self, name: str, to: int) -> int:
        position = clamped(to)
        if not self._unit.add_new(cursors, {"name": name, "event": position}):
            forward = update(cursors).where(cursors.c.name == name, cursors.c.event < position)
            self._unit.execute(forward.values(event=position))
        return self.cursor(name)
