"""What runs report: series, console text, plots."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Index, LargeBinary, Table, UniqueConstraint

from orchestrator.store.sql.columns import SERIAL, TEXT, WHOLE, Number
from orchestrator.store.sql.tables.base import (
    json_column,
    key_column,
    metadata,
    moment_column,
    text_column,
    whole_column,
)

series = Table(
    "series",
    metadata,
    Column("id", SERIAL, primary_key=True),
    Column("task_id", TEXT, ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    text_column("title"),
    text_column("series"),
    whole_column("count"),
    whole_column("last_step"),
    Column("last_time", Number, nullable=True),
    Column("last", Number, nullable=True),
    Column("minimum", Double, nullable=True),
    Column("maximum", Double, nullable=True),
    moment_column("changed_at"),
    UniqueConstraint("task_id", "title", "series"),
)

series_attempts = Table(
    "series_attempts",
    metadata,
    Column("series_id", SERIAL, ForeignKey("series.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("attempt", WHOLE, primary_key=True, autoincrement=False),
    whole_column("first_step"),  # older attempts are hidden from here on
)

series_chunks = Table(
    "series_chunks",
    metadata,
    Column("id", SERIAL, primary_key=True),
    Column("series_id", SERIAL, ForeignKey("series.id", ondelete="CASCADE"), nullable=False),
    whole_column("attempt"),
    whole_column("level"),
    whole_column("count"),
    whole_column("first_step"),
    whole_column("last_step"),
    Column("last_time", Number, nullable=True),
    Column("last", Number, nullable=True),
    Column("minimum", Double, nullable=True),
    Column("maximum", Double, nullable=True),
    Column("data", LargeBinary, nullable=False),
    Index(None, "series_id", "attempt", "level"),
)

series_batches = Table(
    "series_batches",
    metadata,
    key_column("task_id", of="tasks.id"),
    Column("attempt", WHOLE, primary_key=True, autoincrement=False),
    key_column("writer"),
    Column("sequence", WHOLE, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

console_chunks = Table(
    "console_chunks",
    metadata,
    key_column("task_id", of="tasks.id"),
    Column("attempt", WHOLE, primary_key=True, autoincrement=False),
    Column("offset", WHOLE, primary_key=True, autoincrement=False),
    whole_column("length"),
    Column("data", LargeBinary, nullable=False),
)

reports = Table(
    "reports",
    metadata,
    key_column("owner"),
    key_column("title"),
    key_column("series"),
    Column("iteration", WHOLE, primary_key=True, autoincrement=False),
    text_column("kind"),
    json_column("data", null=True),
    moment_column("created_at"),
)
