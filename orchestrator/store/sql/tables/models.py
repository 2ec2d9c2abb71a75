"""Model versions, and the aliases by which they are found."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Table, UniqueConstraint

from orchestrator.store.sql.tables.base import (
    json_column,
    key_column,
    metadata,
    moment_column,
    text_column,
    whole_column,
)

models = Table(
    "models",
    metadata,
    key_column("id"),
    text_column("project"),
    text_column("name"),
    whole_column("version"),
    text_column("state"),
    text_column("framework", null=True),
    text_column("comment"),
    json_column("tags"),
    json_column("metadata"),
    json_column("files"),
    Column("folder", Boolean, nullable=False),
    whole_column("size_bytes"),
    text_column("task_id", null=True),
    whole_column("attempt", null=True),
    json_column("datasets"),
    moment_column("created_at"),
    text_column("created_by"),
    moment_column("changed_at"),
    moment_column("published_at", null=True),
    moment_column("archived_at", null=True),
    UniqueConstraint("project", "name", "version"),
    Index(None, "name", "id"),
    Index(None, "task_id"),
)

model_tags = Table(
    "model_tags",
    metadata,
    key_column("owner", of="models.id"),
    key_column("tag"),
    Index(None, "tag", "owner"),
)

model_aliases = Table(
    "model_aliases",
    metadata,
    key_column("project"),
    key_column("name"),
    key_column("alias"),
    text_column("model_id"),
    whole_column("version"),
    moment_column("changed_at"),
    Index(None, "model_id"),
)

alias_moves = Table(
    "alias_moves",
    metadata,
    key_column("id"),
    text_column("project"),
    text_column("name"),
    text_column("alias"),
    whole_column("from_version", null=True),
    whole_column("to_version", null=True),
    text_column("model_id", null=True),
    text_column("actor"),
    text_column("actor_name"),
    text_column("firing", null=True),
    text_column("undoes", null=True),
    text_column("reason"),
    json_column("numbers", null=True),
    moment_column("at"),
    Index(None, "project", "name", "id"),
)
