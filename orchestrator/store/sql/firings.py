"""Firings. Which events they stand for is one row an event, unique by trigger: no event fires a trigger twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from orchestrator.errors import Conflict, NotFound
from orchestrator.records.trigger import Firing, FiringStatus
from orchestrator.store.sql import tables
from orchestrator.store.sql.rows import columns_of, to_row
from orchestrator.store.sql.tables import firing_events
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from datetime import datetime

_ROWS = tables.firings.c
_FIRINGS = select(*columns_of(Firing, tables.firings))


class FiringRows(Noun):
    """The part of `Triggers` that is about firings."""

    def add_firing(self, firing: Firing) -> bool:
        """Store a firing; return False, changing nothing, when the trigger has one with this event key."""
        key = {"trigger_id": firing.trigger_id, "event_key": firing.event_key}
        # Of two transactions at once the second waits here until the first has ended.
        if not self._unit.add_new(firing_events, key | {"firing_id": firing.id}):
            return False
        self._unit.add(tables.firings, [to_row(firing, tables.firings)])
        return True

    def firing(self, firing_id: str) -> Firing:
        """Return a firing."""
        firing = self._unit.record(Firing, _FIRINGS.where(_ROWS.id == firing_id))
        if firing is None:
            raise NotFound(f"There is no firing {firing_id}.")
        return firing

    def firing_of(self, trigger_id: str, event_key: str) -> Firing | None:
        """Return the trigger's firing with that event key, or None."""
        joined = _FIRINGS.join(firing_events, firing_events.c.firing_id == _ROWS.id)
        same = (firing_events.c.trigger_id == trigger_id, firing_events.c.event_key == event_key)
        return self._unit.record(Firing, joined.where(*same))

    def replace_firing(self, firing: Firing, *, expected: Firing) -> None:
        """Write the firing where its row still has the status and tries of `expected`, else `Conflict`."""
        unchanged = (
            _ROWS.id == firing.id,
            _ROWS.status == expected.status.value,
            _ROWS.tries == expected.tries,
        )
        values = to_row(firing, tables.firings)
        if self._unit.execute(update(tables.firings).where(*unchanged).values(values)).rowcount == 0:
            now = self.firing(firing.id)
            raise Conflict(f"Firing {now.id} is {now.status} after {now.tries} tries by now.")

    def firings(self, *, trigger_id: str | None = None, after: str | None = None, limit: int = 100) -> list[Firing]:
        """Return firings, newest first."""
        statement = _FIRINGS.order_by(_ROWS.id.desc()).limit(limit)
        if trigger_id is not None:
            statement = statement.where(_ROWS.trigger_id == trigger_id)
        if after is not None:
            statement = statement.where(_ROWS.id < after)
        return self._unit.records(Firing, statement)

    def firings_due(self, *, now: datetime, limit: int = 100) -> list[Firing]:
        """Return failed firings whose next try is due, oldest first."""
        due = _FIRINGS.where(_ROWS.status == FiringStatus.FAILED.value, _ROWS.next_try_at <= now)
        return self._unit.records(Firing, due.order_by(_ROWS.next_try_at, _ROWS.id).limit(limit))
