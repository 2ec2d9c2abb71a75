"""No column in which a blob can be named is forgotten when blobs that nothing names are removed."""

from __future__ import annotations

from sqlalchemy import Text

from orchestrator.store.sql.columns import JsonText
from orchestrator.store.sql.named_digests import NAMING
from orchestrator.store.sql.tables import metadata

_CANNOT = {
    "agents": {"id", "name", "hostname", "version", "executor", "slots", "token_id"},
    "alias_moves": {  # numbers of a comparison
        *("id", "project", "name", "alias", "model_id", "actor", "actor_name", "firing", "undoes", "reason", "numbers"),
    },
    "answers": {"principal_id", "key", "fingerprint"},
    "artifacts": {"task_id", "name", "kind", "filename", "preview"},
    # `environment` is a key of an agent's own; messages are prose.
    "attempts": {
        *("task_id", "agent_id", "slot", "executor", "environment", "commit", "token_id", "exit_reason", "message"),
    },
    "console_chunks": {"task_id"},
    "cursors": {"name"},
    "dataset_heads": {"project", "name", "version_id"},
    "dataset_metadata": {"version_id", "name", "kind", "filename", "preview"},
    "dataset_parents": {"version_id", "parent_id"},
    "dataset_profiles": {"version_id", "profile"},  # what is in it is in it: thumbnails, too
    "dataset_tags": {"owner", "tag"},
    "dataset_versions": {  # `manifest` is a digest, though not of a blob
        *("id", "project", "name", "version", "state", "parents", "base", "storage", "manifest", "tags"),
        *("description", "task", "created_by", "final_version"),
    },
    "events": {"type", "subject", "project", "actor", "cause", "data"},  # they tell of what was
    "file_profiles": {"profile"},
    "firing_events": {"trigger_id", "event_key", "firing_id"},
    "firings": {  # a gate's report and an action's result are numbers and prose
        *("id", "trigger_id", "event_key", "events", "status", "step", "root", "replay_of", "task_id", "reason"),
        *("gate", "result", "claimed_by"),
    },
    "manifests": {"version_id"},
    "metric_watches": {"trigger_id", "title", "series", "sign"},
    "model_aliases": {"project", "name", "alias", "model_id"},
    "model_tags": {"owner", "tag"},
    "models": {
        *("id", "project", "name", "state", "framework", "comment", "tags", "task_id", "datasets", "created_by"),
    },
    "objects": {"storage", "path"},
    "parameters": {"task_id", "name", "type"},
    "principals": {"id", "token_sha256", "name", "role", "project", "queues", "task_id", "lent_role", "created_by"},
    "queues": {"name", "description", "created_by"},
    "reports": {"owner", "title", "series", "kind"},
    "series": {"task_id", "title", "series"},
    "series_batches": {"task_id", "writer"},
    "settings": {"name", "value"},  # of the system itself
    "storage_choices": {"project", "dataset", "storage"},
    "storages": {"name", "url", "identity", "created_by"},
    "task_tags": {"owner", "tag"},
    "tasks": {
        *("id", "project", "name", "type", "status", "status_reason", "status_message", "parent", "comment", "tags"),
        *("queue", "firing", "chain", "created_by", "queued_by"),
    },
    "trigger_revisions": {"trigger_id", "trigger"},  # the newest stands in `triggers`
    "triggers": {"id", "name", "state", "condition", "gates", "when_busy", "group", "created_by", "name_in_use"},
}
"""Columns in which no blob is named that somebody would read."""


def test_every_column_of_text_is_looked_at_or_cannot_name_a_blob() -> None:
    texts = {
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, (Text, JsonText))
    }
    looked_at = {(column.table.name, column.name) for column in NAMING}
    cannot = {(table, column) for table, columns in _CANNOT.items() for column in columns}
    assert texts - looked_at - cannot == set()
    assert looked_at & cannot == set()
    assert (looked_at | cannot) - texts == set(), "these are gone: take them off the lists"
