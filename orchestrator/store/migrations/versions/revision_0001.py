"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WHOLE = sa.BigInteger()
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
DOUBLE: sa.Double[float] = sa.Double()
BYTES = sa.LargeBinary()

ORDER_EVENTS_FUNCTION = """
    CREATE FUNCTION retrain_order_events() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(6080394271540519973);
        RETURN NULL;
    END
    $$
"""
ORDER_EVENTS_TRIGGER = """
    CREATE TRIGGER retrain_order_events BEFORE INSERT ON events
    FOR EACH STATEMENT EXECUTE FUNCTION retrain_order_events()
"""


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "agents",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("hostname", TEXT, nullable=False),
        sa.Column("version", TEXT, nullable=False),
        sa.Column("executor", TEXT, nullable=False),
        sa.Column("slots", TEXT, nullable=False),
        sa.Column("token_id", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agents"),
        sa.UniqueConstraint("name", name="uq_agents_name"),
    )
    op.create_table(
        "answers",
        sa.Column("principal_id", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.Column("status", WHOLE, nullable=False),
        sa.Column("body", BYTES, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("principal_id", "key", name="pk_answers"),
    )
    op.create_table(
        "blobs",
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("size_bytes", WHOLE, nullable=False),
        sa.Column("store", TEXT, nullable=False),
        sa.Column("location", TEXT, nullable=False),
        sa.Column("offset", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_blobs"),
    )
    op.create_table(
        "cursors",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("event", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cursors"),
    )
    op.create_table(
        "dataset_versions",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version", TEXT, nullable=False),
        sa.Column("major", WHOLE, nullable=False),
        sa.Column("minor", WHOLE, nullable=False),
        sa.Column("patch", WHOLE, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("parents", TEXT, nullable=False),
        sa.Column("base", TEXT, nullable=True),
        sa.Column("tags", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("file_count", WHOLE, nullable=False),
        sa.Column("size_bytes", WHOLE, nullable=False),
        sa.Column("added_count", WHOLE, nullable=False),
        sa.Column("modified_count", WHOLE, nullable=False),
        sa.Column("removed_count", WHOLE, nullable=False),
        sa.Column("task", TEXT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("finalized_at", MOMENT, nullable=True),
        sa.Column("final_version", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_dataset_versions"),
        sa.UniqueConstraint("project", "name", "final_version", name="uq_dataset_versions_project_name_final_version"),
    )
    op.create_index(
        "ix_dataset_versions_project_name_major_minor_patch",
        "dataset_versions",
        ["project", "name", "major", "minor", "patch"],
    )
    op.create_table(
        "events",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("cause", TEXT, nullable=True),
        sa.Column("data", TEXT, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_subject_id", "events", ["subject", "id"])
    op.create_index("ix_events_type_id", "events", ["type", "id"])
    if op.get_context().dialect.name == "postgresql":
        op.execute(ORDER_EVENTS_FUNCTION)
        op.execute(ORDER_EVENTS_TRIGGER)
    op.create_table(
        "principals",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("token_sha256", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("queues", TEXT, nullable=False),
        sa.Column("task_id", TEXT, nullable=True),
        sa.Column("attempt", WHOLE, nullable=True),
        sa.Column("lent_role", TEXT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", TEXT, nullable=True),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_principals"),
        sa.UniqueConstraint("token_sha256", name="uq_principals_token_sha256"),
    )
    op.create_table(
        "queues",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_queues"),
    )
    op.create_table(
        "reports",
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("series", TEXT, nullable=False),
        sa.Column("iteration", WHOLE, autoincrement=False, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("data", TEXT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("owner", "title", "series", "iteration", name="pk_reports"),
    )
    op.create_table(
        "settings",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )
    op.create_table(
        "tasks",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("status_reason", TEXT, nullable=True),
        sa.Column("status_message", TEXT, nullable=True),
        sa.Column("parent", TEXT, nullable=True),
        sa.Column("comment", TEXT, nullable=False),
        sa.Column("tags", TEXT, nullable=False),
        sa.Column("attempt", WHOLE, nullable=False),
        sa.Column("lost_attempts", WHOLE, nullable=False),
        sa.Column("queue", TEXT, nullable=True),
        sa.Column("priority", WHOLE, nullable=False),
        sa.Column("position", WHOLE, nullable=False),
        sa.Column("not_before", MOMENT, nullable=True),
        sa.Column("script", TEXT, nullable=True),
        sa.Column("source", TEXT, nullable=True),
        sa.Column("packages", TEXT, nullable=True),
        sa.Column("container", TEXT, nullable=True),
        sa.Column("firing", TEXT, nullable=True),
        sa.Column("chain", TEXT, nullable=False),
        sa.Column("stop_requested_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("queued_at", MOMENT, nullable=True),
        sa.Column("queued_by", TEXT, nullable=True),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
        sa.UniqueConstraint("firing", name="uq_tasks_firing"),
    )
    op.create_index("ix_tasks_name_id", "tasks", ["name", "id"])
    op.create_index("ix_tasks_parent", "tasks", ["parent"])
    op.create_index("ix_tasks_project_id", "tasks", ["project", "id"])
    op.create_index(
        "ix_tasks_status_queue_priority_position_queued_at",
        "tasks",
        ["status", "queue", "priority", "position", "queued_at"],
    )
    op.create_table(
        "triggers",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("revision", WHOLE, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("condition", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("max_active", WHOLE, nullable=True),
        sa.Column("starts_after", WHOLE, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("name_in_use", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_triggers"),
        sa.UniqueConstraint("name_in_use", name="uq_triggers_name_in_use"),
    )
    op.create_table(
        "artifacts",
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("attempt", WHOLE, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("filename", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("size_bytes", WHOLE, nullable=False),
        sa.Column("preview", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("task_id", "name", name="pk_artifacts"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_artifacts_task_id", ondelete="CASCADE"),
    )
    op.create_table(
        "attempts",
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("number", WHOLE, autoincrement=False, nullable=False),
        sa.Column("agent_id", TEXT, nullable=True),
        sa.Column("slot", TEXT, nullable=True),
        sa.Column("executor", TEXT, nullable=True),
        sa.Column("environment", TEXT, nullable=True),
        sa.Column("environment_reused", sa.Boolean(), nullable=True),
        sa.Column("token_id", TEXT, nullable=False),
        sa.Column("lease_expires_at", MOMENT, nullable=False),
        sa.Column("claimed_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("exit_code", WHOLE, nullable=True),
        sa.Column("exit_reason", TEXT, nullable=True),
        sa.Column("message", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("task_id", "number", name="pk_attempts"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_attempts_task_id", ondelete="CASCADE"),
    )
    op.create_index("ix_attempts_ended_at_lease_expires_at", "attempts", ["ended_at", "lease_expires_at"])
    op.create_table(
        "console_chunks",
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("attempt", WHOLE, autoincrement=False, nullable=False),
        sa.Column("offset", WHOLE, autoincrement=False, nullable=False),
        sa.Column("length", WHOLE, nullable=False),
        sa.Column("data", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("task_id", "attempt", "offset", name="pk_console_chunks"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_console_chunks_task_id", ondelete="CASCADE"),
    )
    op.create_table(
        "dataset_heads",
        sa.Column("project", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("project", "name", name="pk_dataset_heads"),
        sa.ForeignKeyConstraint(["version_id"], ["dataset_versions.id"], name="fk_dataset_heads_version_id"),
    )
    op.create_table(
        "dataset_tags",
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("tag", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("owner", "tag", name="pk_dataset_tags"),
        sa.ForeignKeyConstraint(["owner"], ["dataset_versions.id"], name="fk_dataset_tags_owner", ondelete="CASCADE"),
    )
    op.create_index("ix_dataset_tags_tag_owner", "dataset_tags", ["tag", "owner"])
    op.create_table(
        "firing_events",
        sa.Column("trigger_id", TEXT, nullable=False),
        sa.Column("event_key", TEXT, nullable=False),
        sa.Column("firing_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("trigger_id", "event_key", name="pk_firing_events"),
        sa.ForeignKeyConstraint(
            ["trigger_id"], ["triggers.id"], name="fk_firing_events_trigger_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "firings",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("trigger_id", TEXT, nullable=False),
        sa.Column("revision", WHOLE, nullable=False),
        sa.Column("event_key", TEXT, nullable=False),
        sa.Column("events", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("task_id", TEXT, nullable=True),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("tries", WHOLE, nullable=False),
        sa.Column("next_try_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_firings"),
        sa.ForeignKeyConstraint(["trigger_id"], ["triggers.id"], name="fk_firings_trigger_id", ondelete="CASCADE"),
    )
    op.create_index("ix_firings_status_next_try_at", "firings", ["status", "next_try_at"])
    op.create_index("ix_firings_trigger_id_id", "firings", ["trigger_id", "id"])
    op.create_table(
        "manifest_entries",
        sa.Column("version_id", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("size_bytes", WHOLE, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("mode", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("version_id", "path", name="pk_manifest_entries"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["dataset_versions.id"], name="fk_manifest_entries_version_id", ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "parameters",
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("task_id", "name", name="pk_parameters"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_parameters_task_id", ondelete="CASCADE"),
    )
    op.create_table(
        "series",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("series", TEXT, nullable=False),
        sa.Column("count", WHOLE, nullable=False),
        sa.Column("last_step", WHOLE, nullable=False),
        sa.Column("last_time", DOUBLE, nullable=True),
        sa.Column("last", DOUBLE, nullable=True),
        sa.Column("minimum", DOUBLE, nullable=True),
        sa.Column("maximum", DOUBLE, nullable=True),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
        sa.UniqueConstraint("task_id", "title", "series", name="uq_series_task_id_title_series"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_series_task_id", ondelete="CASCADE"),
    )
    op.create_table(
        "series_batches",
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("attempt", WHOLE, autoincrement=False, nullable=False),
        sa.Column("writer", TEXT, nullable=False),
        sa.Column("sequence", WHOLE, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("task_id", "attempt", "writer", "sequence", name="pk_series_batches"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_series_batches_task_id", ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "task_tags",
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("tag", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("owner", "tag", name="pk_task_tags"),
        sa.ForeignKeyConstraint(["owner"], ["tasks.id"], name="fk_task_tags_owner", ondelete="CASCADE"),
    )
    op.create_index("ix_task_tags_tag_owner", "task_tags", ["tag", "owner"])
    op.create_table(
        "trigger_revisions",
        sa.Column("trigger_id", TEXT, nullable=False),
        sa.Column("revision", WHOLE, autoincrement=False, nullable=False),
        sa.Column("trigger", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("trigger_id", "revision", name="pk_trigger_revisions"),
        sa.ForeignKeyConstraint(
            ["trigger_id"], ["triggers.id"], name="fk_trigger_revisions_trigger_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "series_attempts",
        sa.Column("series_id", SERIAL, autoincrement=False, nullable=False),
        sa.Column("attempt", WHOLE, autoincrement=False, nullable=False),
        sa.Column("first_step", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("series_id", "attempt", name="pk_series_attempts"),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name="fk_series_attempts_series_id", ondelete="CASCADE"),
    )
    op.create_table(
        "series_chunks",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("series_id", SERIAL, nullable=False),
        sa.Column("attempt", WHOLE, nullable=False),
        sa.Column("level", WHOLE, nullable=False),
        sa.Column("count", WHOLE, nullable=False),
        sa.Column("first_step", WHOLE, nullable=False),
        sa.Column("last_step", WHOLE, nullable=False),
        sa.Column("last_time", DOUBLE, nullable=True),
        sa.Column("last", DOUBLE, nullable=True),
        sa.Column("minimum", DOUBLE, nullable=True),
        sa.Column("maximum", DOUBLE, nullable=True),
        sa.Column("data", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_series_chunks"),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name="fk_series_chunks_series_id", ondelete="CASCADE"),
    )
    op.create_index("ix_series_chunks_series_id_attempt_level", "series_chunks", ["series_id", "attempt", "level"])
