"""Windows, schedules, chains and gates of triggers, model versions, archived tasks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WHOLE = sa.BigInteger()
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add what is new; nothing that there is changes."""
    op.add_column("tasks", sa.Column("archived_at", MOMENT, nullable=True))
    op.add_column("attempts", sa.Column("commit", TEXT, nullable=True))
    for column in (
        sa.Column("gates", TEXT, nullable=True),
        sa.Column("when_busy", TEXT, nullable=False, server_default="skip"),
        sa.Column("debounce_seconds", sa.Double(), nullable=True),
        sa.Column("debounce_max_seconds", sa.Double(), nullable=True),
        sa.Column("cooldown_seconds", sa.Double(), nullable=True),
        sa.Column("limit_execution_seconds", sa.Double(), nullable=True),
        sa.Column("dry_run", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("group", TEXT, nullable=True),
        sa.Column("revised_after", WHOLE, nullable=False, server_default="0"),
        sa.Column("scheduled_at", MOMENT, nullable=True),
        sa.Column("last_occurrence_at", MOMENT, nullable=True),
        sa.Column("next_occurrence_at", MOMENT, nullable=True),
        sa.Column("last_launch_at", MOMENT, nullable=True),
    ):
        op.add_column("triggers", column)
    # What was edited was held against all that came after it was registered, as long as nobody had read it.
    op.execute("UPDATE triggers SET revised_after = starts_after")
    op.create_index("ix_triggers_next_occurrence_at", "triggers", ["next_occurrence_at"])
    op.create_index("ix_triggers_group", "triggers", ["group"])
    for column in (
        sa.Column("occurrence_at", MOMENT, nullable=True),
        sa.Column("step", TEXT, nullable=True),
        sa.Column("root", TEXT, nullable=True),
        sa.Column("chain_open", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("replay_of", TEXT, nullable=True),
        sa.Column("gate", TEXT, nullable=True),
        sa.Column("result", TEXT, nullable=True),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.Column("claimed_by", TEXT, nullable=True),
        sa.Column("claimed_until", MOMENT, nullable=True),
    ):
        op.add_column("firings", column)
    op.create_index("ix_firings_trigger_id_status_id", "firings", ["trigger_id", "status", "id"])
    op.create_index("ix_firings_trigger_id_chain_open", "firings", ["trigger_id", "chain_open"])
    op.create_index("ix_firings_status_due_at", "firings", ["status", "due_at"])
    op.create_index("ix_firing_events_event_key", "firing_events", ["event_key"])
    op.create_table(
        "metric_watches",
        sa.Column("trigger_id", TEXT, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("series", TEXT, nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("sign", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("trigger_id", name="pk_metric_watches"),
        sa.ForeignKeyConstraint(
            ["trigger_id"], ["triggers.id"], name="fk_metric_watches_trigger_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_metric_watches_title_series", "metric_watches", ["title", "series"])
    _create_models()


def _create_models() -> None:
    op.create_table(
        "models",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version", WHOLE, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("framework", TEXT, nullable=True),
        sa.Column("comment", TEXT, nullable=False),
        sa.Column("tags", TEXT, nullable=False),
        sa.Column("metadata", TEXT, nullable=False),
        sa.Column("files", TEXT, nullable=False),
        sa.Column("folder", sa.Boolean(), nullable=False),
        sa.Column("size_bytes", WHOLE, nullable=False),
        sa.Column("task_id", TEXT, nullable=True),
        sa.Column("attempt", WHOLE, nullable=True),
        sa.Column("datasets", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("published_at", MOMENT, nullable=True),
        sa.Column("archived_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("project", "name", "version", name="uq_models_project_name_version"),
    )
    op.create_index("ix_models_name_id", "models", ["name", "id"])
    op.create_index("ix_models_task_id", "models", ["task_id"])
    op.create_table(
        "model_tags",
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("tag", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("owner", "tag", name="pk_model_tags"),
        sa.ForeignKeyConstraint(["owner"], ["models.id"], name="fk_model_tags_owner", ondelete="CASCADE"),
    )
    op.create_index("ix_model_tags_tag_owner", "model_tags", ["tag", "owner"])
    op.create_table(
        "model_aliases",
        sa.Column("project", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("alias", TEXT, nullable=False),
        sa.Column("model_id", TEXT, nullable=False),
        sa.Column("version", WHOLE, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "name", "alias", name="pk_model_aliases"),
    )
    op.create_index("ix_model_aliases_model_id", "model_aliases", ["model_id"])
    op.create_table(
        "alias_moves",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("alias", TEXT, nullable=False),
        sa.Column("from_version", WHOLE, nullable=True),
        sa.Column("to_version", WHOLE, nullable=True),
        sa.Column("model_id", TEXT, nullable=True),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("actor_name", TEXT, nullable=False),
        sa.Column("firing", TEXT, nullable=True),
        sa.Column("undoes", TEXT, nullable=True),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("numbers", TEXT, nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alias_moves"),
    )
    op.create_index("ix_alias_moves_project_name_id", "alias_moves", ["project", "name", "id"])
