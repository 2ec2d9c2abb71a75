"""Triggers and their revisions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update
from typing_extensions import override

from orchestrator.errors import AlreadyExists, NotFound, StaleRevision
from orchestrator.records.trigger import Trigger, TriggerState
from orchestrator.store.protocol import Triggers
from orchestrator.store.sql.firings import FiringRows
from orchestrator.store.sql.rows import columns_of, to_row
from orchestrator.store.sql.tables import trigger_revisions, triggers

_TRIGGERS = select(*columns_of(Trigger, triggers))
_THERE = triggers.c.state != TriggerState.REMOVED.value


class SqlTriggers(FiringRows, Triggers):
    """Triggers and their firings."""

    @override
    def add(self, trigger: Trigger) -> None:
        if not self._unit.add_new(triggers, _row(trigger)):
            raise AlreadyExists(f"There is a trigger {trigger.name!r} already.")
        self._keep_revision(trigger)

    @override
    def get(self, trigger_id: str, *, lock: bool = False) -> Trigger:
        statement = _TRIGGERS.where(triggers.c.id == trigger_id)
        trigger = self._unit.record(Trigger, statement.with_for_update() if lock else statement)
        if trigger is None:
            raise NotFound(f"There is no trigger {trigger_id}.")
        return trigger

    @override
    def by_name(self, name: str) -> Trigger | None:
        return self._unit.record(Trigger, _TRIGGERS.where(triggers.c.name == name, _THERE))

    @override
    def find(self, *, after: str | None = None, limit: int = 500, removed: bool = False) -> list[Trigger]:
        statement = _TRIGGERS.order_by(triggers.c.id).limit(limit)
        if after is not None:
            statement = statement.where(triggers.c.id > after)
        return self._unit.records(Trigger, statement if removed else statement.where(_THERE))

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

    def _keep_revision(self, trigger: Trigger) -> None:
        row = {"trigger_id": trigger.id, "revision": trigger.revision, "trigger": trigger}
        self._unit.add(trigger_revisions, [row])


def _row(trigger: Trigger) -> dict[str, Any]:
    used = trigger.state is not TriggerState.REMOVED
    return to_row(trigger, triggers) | {"name_in_use": trigger.name if used else None}
