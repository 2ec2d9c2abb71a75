"""Firings. Which events they stand for is one row an event, unique by trigger: no event fires a trigger twice."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select, true, tuple_, update
from typing_extensions import override

from orchestrator.errors import Conflict, NotFound
from orchestrator.records.firing import Firing, FiringStatus
from orchestrator.records.lifecycle import Status
from orchestrator.store.protocol import Firings
from orchestrator.store.sql import tables
from orchestrator.store.sql.rows import chunks, columns_of, to_row
from orchestrator.store.sql.tables import firing_events, tasks, triggers
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement


_ROWS = tables.firings.c
_FIRINGS = select(*columns_of(Firing, tables.firings))
_ACTIVE = (Status.QUEUED.value, Status.IN_PROGRESS.value)
_IN_LINE = (FiringStatus.DUE.value, FiringStatus.GATING.value)


class SqlFirings(Noun, Firings):
    """Firings and their events."""

    @override
    def add(self, firing: Firing) -> bool:
        # Of two transactions at once the second waits here until the first has ended.
        if not self._unit.add_new(firing_events, _key(firing, event_key=firing.event_key)):
            return False
        self._unit.add(tables.firings, [to_row(firing, tables.firings)])
        return True

    @override
    def add_all(self, firings: Sequence[Firing]) -> None:
        self._unit.add(firing_events, [_key(firing, event_key=firing.event_key) for firing in firings])
        self._unit.add(tables.firings, [to_row(firing, tables.firings) for firing in firings])

    @override
    def join(self, firing: Firing, event_key: str) -> bool:
        return self._unit.add_new(firing_events, _key(firing, event_key=event_key))

    @override
    def get(self, firing_id: str) -> Firing:
        firing = self._unit.record(Firing, _FIRINGS.where(_ROWS.id == firing_id))
        if firing is None:
            raise NotFound(f"There is no firing {firing_id}.")
        return firing

    @override
    def of_event(self, trigger_id: str, event_key: str) -> Firing | None:
        joined = _FIRINGS.join(firing_events, firing_events.c.firing_id == _ROWS.id)
        same = (firing_events.c.trigger_id == trigger_id, firing_events.c.event_key == event_key)
        return self._unit.record(Firing, joined.where(*same))

    @override
    def of_events(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Firing]:
        found: dict[tuple[str, str], Firing] = {}
        columns = (firing_events.c.trigger_id, firing_events.c.event_key)
        joined = select(*columns_of(Firing, tables.firings), *(column.label(f"by_{column.name}") for column in columns))
        joined = joined.join(firing_events, firing_events.c.firing_id == _ROWS.id)
        for some in chunks(keys):
            for row in self._unit.execute(joined.where(tuple_(*columns).in_(some))).mappings():
                fields = dict(row)
                key = (fields.pop("by_trigger_id"), fields.pop("by_event_key"))
                found[key] = Firing.model_validate(fields)
        return found

    @override
    def with_event(self, event_key: str) -> list[Firing]:
        joined = _FIRINGS.join(firing_events, firing_events.c.firing_id == _ROWS.id)
        return self._unit.records(Firing, joined.where(firing_events.c.event_key == event_key).order_by(_ROWS.id))

    @override
    def replace(self, firing: Firing, *, expected: Firing) -> None:
        unchanged = (
            _ROWS.id == firing.id,
            _ROWS.status == expected.status.value,
            _ROWS.tries == expected.tries,
            _ROWS.claimed_by.is_not_distinct_from(expected.claimed_by),
        )
        values = to_row(firing, tables.firings)
        if self._unit.execute(update(tables.firings).where(*unchanged).values(values)).rowcount == 0:
            now = self.get(firing.id)
            raise Conflict(f"Firing {now.id} is {now.status} after {now.tries} tries by now.")

    @override
    def find(
        self,
        *,
        trigger_id: str | None = None,
        statuses: Sequence[str] = (),
        after: str | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> list[Firing]:
        statement = _FIRINGS.order_by(_ROWS.id if oldest_first else _ROWS.id.desc()).limit(limit)
        if trigger_id is not None:
            statement = statement.where(_ROWS.trigger_id == trigger_id)
        if statuses:
            statement = statement.where(_ROWS.status.in_([str(status) for status in statuses]))
        if after is not None:
            statement = statement.where(_ROWS.id > after if oldest_first else _ROWS.id < after)
        return self._unit.records(Firing, statement)

    @override
    def collecting(self, trigger_id: str) -> Firing | None:
        is_open = (_ROWS.trigger_id == trigger_id, _ROWS.status == FiringStatus.COLLECTING.value)
        return self._unit.record(Firing, _FIRINGS.where(*is_open).order_by(_ROWS.id))

    @override
    def owners(self, *, due_at: datetime | None = None) -> list[str]:
        wanted = _ROWS.status.in_(_IN_LINE) if due_at is None else _asked_for(due_at)
        return list(self._unit.execute(select(_ROWS.trigger_id).where(wanted).distinct()).scalars())

    @override
    def due(self, *, now: datetime, among: Sequence[str] | None = None, limit: int = 100) -> list[Firing]:
        statement = _FIRINGS.where(_asked_for(now))
        if among is not None:
            statement = statement.where(self._unit.among(_ROWS.trigger_id, among))
        earliest = func.coalesce(_ROWS.next_try_at, _ROWS.due_at)
        return self._unit.records(Firing, statement.order_by(earliest, _ROWS.id).limit(limit))

    @override
    def next_due_at(self) -> datetime | None:
        closing = select(func.min(_ROWS.due_at)).where(_ROWS.status == FiringStatus.COLLECTING.value)
        retried = select(func.min(_ROWS.next_try_at)).where(_ROWS.status == FiringStatus.FAILED.value)
        claimed = select(func.min(_ROWS.claimed_until)).where(_ROWS.status.in_(_IN_LINE))
        return min((at for at in map(self._unit.scalar, (closing, retried, claimed)) if at is not None), default=None)

    @override
    def waiting(self, *, among: Sequence[str] | None = None, of_each: int = 20, limit: int = 10_000) -> list[Firing]:
        place = func.row_number().over(partition_by=_ROWS.trigger_id, order_by=_ROWS.id)
        in_line = select(_ROWS.id, place.label("place")).where(_ROWS.status.in_(_IN_LINE))
        if among is not None:
            in_line = in_line.where(self._unit.among(_ROWS.trigger_id, among))
        line = in_line.subquery()
        first = _FIRINGS.join(line, line.c.id == _ROWS.id).where(line.c.place <= of_each)
        return self._unit.records(Firing, first.order_by(_ROWS.id).limit(limit))

    @override
    def at_work(self, trigger_id: str) -> int:
        mine = _ROWS.trigger_id == trigger_id
        # From the active tasks to their firings: the other way would look at every firing that ever was.
        root = select(func.coalesce(_ROWS.root, _ROWS.id)).where(_ROWS.id == tasks.c.firing, mine).scalar_subquery()
        launched = select(root.label("id")).where(tasks.c.status.in_(_ACTIVE)).subquery()
        busy = (
            select(launched.c.id)
            .where(launched.c.id.is_not(None))
            .union(
                select(_ROWS.id).where(mine, _ROWS.chain_open == true()),
                select(_ROWS.id).where(mine, _ROWS.status == FiringStatus.GATING.value),
                select(_ROWS.id).where(mine, _ROWS.status == FiringStatus.DUE.value, _ROWS.claimed_by.is_not(None)),
            )
        )
        return int(self._unit.scalar(select(func.count()).select_from(busy.subquery())))

    @override
    def open_chains(self, trigger_id: str) -> list[Firing]:
        is_open = (_ROWS.trigger_id == trigger_id, _ROWS.chain_open == true())
        return self._unit.records(Firing, _FIRINGS.where(*is_open).order_by(_ROWS.id))

    @override
    def overdue_tasks(self, *, now: datetime, limit: int = 100) -> list[str]:
        return [task_id for ends_at, task_id in self._ends() if ends_at <= now][:limit]

    @override
    def next_overdue_at(self) -> datetime | None:
        return min((ends_at for ends_at, _ in self._ends()), default=None)

    def _ends(self) -> list[tuple[datetime, str]]:
        """Return when tasks that run have run for as long as they may, the earliest first."""
        limit = triggers.c.limit_execution_seconds
        joined = select(tasks.c.started_at, limit, tasks.c.id).join(tables.firings, _ROWS.id == tasks.c.firing)
        joined = joined.join(triggers, triggers.c.id == _ROWS.trigger_id).where(
            limit.is_not(None),
            tasks.c.status == Status.IN_PROGRESS.value,
            tasks.c.stop_requested_at.is_(None),
        )
        return sorted((at + timedelta(seconds=seconds), task_id) for at, seconds, task_id in self._unit.execute(joined))

    @override
    def active_tasks(self, trigger_id: str) -> list[str]:
        its_own = select(_ROWS.id).where(_ROWS.id == tasks.c.firing, _ROWS.trigger_id == trigger_id)
        active = select(tasks.c.id).where(tasks.c.status.in_(_ACTIVE), its_own.exists())
        return list(self._unit.execute(active.order_by(tasks.c.id)).scalars())


def _asked_for(now: datetime) -> ColumnElement[bool]:
    """Match windows that close and failures that are to be tried again."""
    closing = and_(_ROWS.status == FiringStatus.COLLECTING.value, _ROWS.due_at <= now)
    retried = and_(_ROWS.status == FiringStatus.FAILED.value, _ROWS.next_try_at <= now)
    return or_(closing, retried)


def _key(firing: Firing, *, event_key: str) -> dict[str, str]:
    return {"trigger_id": firing.trigger_id, "event_key": event_key, "firing_id": firing.id}
