"""Tasks and what hangs on them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Table, UniqueConstraint

from orchestrator.store.sql.columns import WHOLE
from orchestrator.store.sql.tables.base import (
    json_column,
    key_column,
    metadata,
    moment_column,
    text_column,
    whole_column,
)

tasks = Table(
    "tasks",
    metadata,
    key_column("id"),
    text_column("project"),
    text_column("name"),
    text_column("type"),
    text_column("status"),
    text_column("status_reason", null=True),
    text_column("status_message", null=True),
    text_column("parent", null=True),
    text_column("comment"),
    json_column("tags"),
    whole_column("attempt"),
    whole_column("lost_attempts"),
    text_column("queue", null=True),
    whole_column("priority"),
    whole_column("position"),
    moment_column("not_before", null=True),
    json_column("script", null=True),
    json_column("source", null=True),
    json_column("packages", null=True),
    json_column("container", null=True),
    text_column("firing", null=True),
    json_column("chain"),
    moment_column("stop_requested_at", null=True),
    moment_column("created_at"),
    text_column("created_by"),
    moment_column("changed_at"),
    moment_column("queued_at", null=True),
    text_column("queued_by", null=True),
    moment_column("started_at", null=True),
    moment_column("ended_at", null=True),
    moment_column("archived_at", null=True),
    UniqueConstraint("firing"),
    Index(None, "status", "queue", "priority", "position", "queued_at"),
    Index(None, "project", "id"),
    Index(None, "name", "id"),
    Index(None, "parent"),
)

task_tags = Table(
    "task_tags",
    metadata,
    key_column("owner", of="tasks.id"),
    key_column("tag"),
    Index(None, "tag", "owner"),
)

parameters = Table(
    "parameters",
    metadata,
    key_column("task_id", of="tasks.id"),
    key_column("name"),
    text_column("type"),
    text_column("value"),
)

attempts = Table(
    "attempts",
    metadata,
    key_column("task_id", of="tasks.id"),
    Column("number", WHOLE, primary_key=True, autoincrement=False),
    text_column("agent_id", null=True),
    text_column("slot", null=True),
    text_column("executor", null=True),
    text_column("environment", null=True),
    Column("environment_reused", Boolean, nullable=True),
    text_column("token_id"),
    moment_column("lease_expires_at"),
    moment_column("claimed_at"),
    moment_column("started_at", null=True),
    moment_column("ended_at", null=True),
    whole_column("exit_code", null=True),
    text_column("exit_reason", null=True),
    text_column("message", null=True),
    text_column("commit", null=True),
    Index(None, "ended_at", "lease_expires_at"),
)

artifacts = Table(
    "artifacts",
    metadata,
    key_column("task_id", of="tasks.id"),
    key_column("name"),
    whole_column("attempt"),
    text_column("kind"),
    text_column("filename"),
    text_column("digest"),
    whole_column("size_bytes"),
    text_column("preview"),
    moment_column("created_at"),
)
