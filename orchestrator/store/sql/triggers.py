"""Triggers and their revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update
from typing_extensions import override

from orchestrator.errors import AlreadyExists, NotFound, StaleRevision
from orchestrator.records.condition import MetricBound, TaskCondition
from orchestrator.records.trigger import Trigger, TriggerState
from orchestrator.store.protocol import Triggers
from orchestrator.store.sql.rows import chunks, columns_of, to_row
from orchestrator.store.sql.tables import metric_watches, trigger_revisions, triggers
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_TRIGGERS = select(*columns_of(Trigger, triggers))
_PRESENT = ("state", "starts_after", "scheduled_at", "last_occurrence_at", "next_occurrence_at", "last_launch_at")
"""Fields of a trigger that no revision changes."""
_THERE = triggers.c.state != TriggerState.REMOVED.value


class SqlTriggers(Noun, Triggers):
    """Triggers, their revisions, and the series that they watch."""

    @override
    def add(self, trigger: Trigger) -> None:
        if not self._unit.add_new(triggers, _row(trigger)):
            raise AlreadyExists(f"There is a trigger {trigger.name!r} already.")
        self._keep_revision(trigger)
        self._keep_watch(trigger)

    @override
    def get(self, trigger_id: str, *, lock: bool = False) -> Trigger:
        statement = _TRIGGERS.where(triggers.c.id == trigger_id)
        trigger = self._unit.record(Trigger, statement.with_for_update() if lock else statement)
        if trigger is None:
            raise NotFound(f"There is no trigger {trigger_id}.")
        return trigger

    @override
    def lock_names(self) -> None:
        self._unit.lock("trigger names")

    @override
    def lock_all(self, trigger_ids: Sequence[str]) -> dict[str, Trigger]:
        # In one order: two transactions that lock the same ones wait for each other, and never in a ring.
        wanted = sorted(set(trigger_ids))
        statement = _TRIGGERS.order_by(triggers.c.id).with_for_update()
        found = [
            trigger
            for some in chunks(wanted)
            for trigger in self._unit.records(Trigger, statement.where(triggers.c.id.in_(some)))
        ]
        return {trigger.id: trigger for trigger in found}

    @override
    def revision(self, trigger_id: str, number: int) -> Trigger:
        its_own = (trigger_revisions.c.trigger_id == trigger_id, trigger_revisions.c.revision == number)
        fields = self._unit.scalar(select(trigger_revisions.c.trigger).where(*its_own))
        if fields is None:
            raise NotFound(f"Trigger {trigger_id} has no revision {number}.")
        present = self.get(trigger_id)
        return Trigger.model_validate(fields).changed(**{name: getattr(present, name) for name in _PRESENT})

    @override
    def by_name(self, name: str) -> Trigger | None:
        return self._unit.record(Trigger, _TRIGGERS.where(triggers.c.name == name, _THERE))

    @override
    def find(
        self,
        *,
        after: str | None = None,
        limit: int = 500,
        removed: bool = False,
        ids: Sequence[str] | None = None,
        group: str | None = None,
    ) -> list[Trigger]:
        statement = _TRIGGERS.order_by(triggers.c.id).limit(limit)
        if after is not None:
            statement = statement.where(triggers.c.id > after)
        if ids is not None:
            statement = statement.where(triggers.c.id.in_(ids))
        if group is not None:
            statement = statement.where(triggers.c.group == group)
        return self._unit.records(Trigger, statement if removed else statement.where(_THERE))

    @override
    def due(self, *, now: datetime, limit: int = 100) -> list[Trigger]:
        at = triggers.c.next_occurrence_at
        return self._unit.records(Trigger, _TRIGGERS.where(at <= now, _THERE).order_by(at, triggers.c.id).limit(limit))

    @override
    def next_due_at(self) -> datetime | None:
        at: datetime | None = self._unit.scalar(select(func.min(triggers.c.next_occurrence_at)).where(_THERE))
        return at

    @override
    def watched_metrics(self, names: Sequence[tuple[str, str]]) -> list[MetricBound]:
        # Title and series each by themselves: SQLite uses no index for pairs.
        bounds, wanted = select(*columns_of(MetricBound, metric_watches)).distinct(), set(names)
        found = []
        for some in chunks(names):
            titles, series = {title for title, _ in some}, {name for _, name in some}
            either = (metric_watches.c.title.in_(titles), metric_watches.c.series.in_(series))
            found.extend(self._unit.records(MetricBound, bounds.where(*either)))
        return list(dict.fromkeys(bound for bound in found if (bound.title, bound.series) in wanted))

    @override
    def replace(self, trigger: Trigger, *, expected: Trigger) -> None:
        unchanged = (
            triggers.c.id == trigger.id,
            triggers.c.revision == expected.revision,
            triggers.c.state == expected.state.value,
        )
        statement = update(triggers).where(*unchanged).values(_row(trigger))
        if self._unit.execute(statement).rowcount == 0:
            now = self.get(trigger.id)
            raise StaleRevision(
                f"Trigger {now.name!r} is at revision {now.revision} and {now.state} by now.",
                hint="Look at it again, then repeat what you wanted.",
            )
        if trigger.revision != expected.revision:
            self._keep_revision(trigger)
        if (trigger.condition, trigger.state) != (expected.condition, expected.state):
            self._keep_watch(trigger)

    def _keep_revision(self, trigger: Trigger) -> None:
        row = {"trigger_id": trigger.id, "revision": trigger.revision, "trigger": trigger}
        self._unit.add(trigger_revisions, [row])

    def _keep_watch(self, trigger: Trigger) -> None:
        self._unit.execute(delete(metric_watches).where(metric_watches.c.trigger_id == trigger.id))
        bound = trigger.condition.metric if isinstance(trigger.condition, TaskCondition) else None
        if bound is not None and trigger.state is not TriggerState.REMOVED:
            self._unit.add(metric_watches, [{"trigger_id": trigger.id} | bound.model_dump()])


def _row(trigger: Trigger) -> dict[str, Any]:
    used = trigger.state is not TriggerState.REMOVED
    return to_row(trigger, triggers) | {"name_in_use": trigger.name if used else None}
