"""The event log, and the triggers and firings that follow it."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Table,
    UniqueConstraint,
    false,
    text,
)
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
    json_column("gates", null=True),
    Column("when_busy", TEXT, nullable=False, server_default="skip"),
    Column("debounce_seconds", Double, nullable=True),
    Column("debounce_max_seconds", Double, nullable=True),
    Column("cooldown_seconds", Double, nullable=True),
    Column("limit_execution_seconds", Double, nullable=True),
    Column("dry_run", Boolean, nullable=False, server_default=false()),
    text_column("group", null=True),
    Column("revised_after", WHOLE, nullable=False, server_default="0"),
    moment_column("scheduled_at", null=True),
    moment_column("last_occurrence_at", null=True),
    moment_column("next_occurrence_at", null=True),
    moment_column("last_launch_at", null=True),
    UniqueConstraint("name_in_use"),
    Index(None, "next_occurrence_at"),
    Index(None, "group"),
)

metric_watches = Table(
    "metric_watches",
    metadata,
    key_column("trigger_id", of="triggers.id"),
    text_column("title"),
    text_column("series"),
    Column("threshold", Double, nullable=False),
    text_column("sign"),
    Index(None, "title", "series"),
)
"""Which series triggers that are not removed wait for: looked up with every batch of points."""

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
    moment_column("occurrence_at", null=True),
    text_column("step", null=True),
    text_column("root", null=True),
    Column("chain_open", Boolean, nullable=False, server_default=false()),
    text_column("replay_of", null=True),
    json_column("gate", null=True),
    json_column("result", null=True),
    moment_column("due_at", null=True),
    text_column("claimed_by", null=True),
    moment_column("claimed_until", null=True),
    Index(None, "trigger_id", "id"),
    Index(None, "trigger_id", "status", "id"),
    Index(None, "trigger_id", "chain_open"),
    Index(None, "status", "next_try_at"),
    Index(None, "status", "due_at"),
)

firing_events = Table(
    "firing_events",
    metadata,
    key_column("trigger_id", of="triggers.id"),
    key_column("event_key"),
    text_column("firing_id"),
    Index(None, "event_key"),
)
