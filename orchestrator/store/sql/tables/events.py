"""The event log, and the triggers and firings that follow it."""

from __future__ import annotations

from sqlalchemy import Column, Connection, ForeignKey, Index, Table, UniqueConstraint, text
from sqlalchemy.event import listens_for

from orchestrator.store.sql.columns import SERIAL, TEXT, WHOLE
from orchestrator.store.sql.tables.base import (
    json_column,
    key_column,
    metadata,
    moment_column,
    text_column,
    whole_column,
)

events = Table(
    "events",
    metadata,
    Column("id", SERIAL, primary_key=True),
    text_column("type"),
    text_column("subject"),
    text_column("project"),
    text_column("actor"),
    text_column("cause", null=True),
    json_column("data"),
    moment_column("at"),
    Index(None, "subject", "id"),
    Index(None, "type", "id"),
    sqlite_autoincrement=True,
)


@listens_for(events, "after_create")
def _order_events(_table: Table, connection: Connection, **_: object) -> None:
    """On PostgreSQL, let whoever writes events wait for the commit of whoever wrote before: no smaller id follows."""
    if connection.dialect.name != "postgresql":
        return
    connection.execute(
        text("""
            CREATE FUNCTION retrain_order_events() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_advisory_xact_lock(6080394271540519973);
                RETURN NULL;
            END
            $$
        """),
    )
    connection.execute(
        text("""
            CREATE TRIGGER retrain_order_events BEFORE INSERT ON events
            FOR EACH STATEMENT EXECUTE FUNCTION retrain_order_events()
        """),
    )


cursors = Table("cursors", metadata, key_column("name"), whole_column("event"))

triggers = Table(
    "triggers",
    metadata,
    key_column("id"),
    text_column("name"),
    whole_column("revision"),
    text_column("state"),
    json_column("condition"),
    json_column("action"),
    whole_column("max_active", null=True),
    whole_column("starts_after"),
    moment_column("created_at"),
    text_column("created_by"),
    moment_column("changed_at"),
    text_column("name_in_use", null=True),  # the name until it is removed: unique as long, and only as long
    UniqueConstraint("name_in_use"),
)

trigger_revisions = Table(
    "trigger_revisions",
    metadata,
    key_column("trigger_id", of="triggers.id"),
    Column("revision", WHOLE, primary_key=True, autoincrement=False),
    json_column("trigger"),
)

firings = Table(
    "firings",
    metadata,
    key_column("id"),
    Column("trigger_id", TEXT, ForeignKey("triggers.id", ondelete="CASCADE"), nullable=False),
    whole_column("revision"),
    text_column("event_key"),
    json_column("events"),
    text_column("status"),
    text_column("task_id", null=True),
    text_column("reason", null=True),
    whole_column("tries"),
    moment_column("next_try_at", null=True),
    moment_column("created_at"),
    moment_column("changed_at"),
    Index(None, "trigger_id", "id"),
    Index(None, "status", "next_try_at"),
)

firing_events = Table(
    "firing_events",
    metadata,
    key_column("trigger_id", of="triggers.id"),
    key_column("event_key"),
    text_column("firing_id"),
)
