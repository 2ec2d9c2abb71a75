"""Who works here, and what the system keeps for itself."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary, Table, UniqueConstraint

from orchestrator.store.sql.tables.base import (
    json_column,
    key_column,
    metadata,
    moment_column,
    text_column,
    whole_column,
)

queues = Table(
    "queues",
    metadata,
    key_column("name"),
    text_column("description"),
    moment_column("created_at"),
    text_column("created_by"),
)

agents = Table(
    "agents",
    metadata,
    key_column("id"),
    text_column("name"),
    text_column("hostname"),
    text_column("version"),
    text_column("executor"),
    json_column("slots"),
    text_column("token_id"),
    moment_column("created_at"),
    moment_column("seen_at"),
    UniqueConstraint("name"),
)

principals = Table(
    "principals",
    metadata,
    key_column("id"),
    text_column("token_sha256"),
    text_column("name"),
    text_column("role"),
    text_column("project"),
    json_column("queues"),
    text_column("task_id", null=True),
    whole_column("attempt", null=True),
    text_column("lent_role", null=True),
    moment_column("created_at"),
    text_column("created_by", null=True),
    moment_column("expires_at", null=True),
    moment_column("revoked_at", null=True),
    UniqueConstraint("token_sha256"),
)

answers = Table(
    "answers",
    metadata,
    key_column("principal_id"),
    key_column("key"),
    text_column("fingerprint"),
    whole_column("status"),
    Column("body", LargeBinary, nullable=False),
    moment_column("created_at"),
)

settings = Table("settings", metadata, key_column("name"), json_column("value", null=True))
