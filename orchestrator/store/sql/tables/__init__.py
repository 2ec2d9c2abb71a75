"""The tables. Columns carry the names of the records' fields; nested parts and lists are JSON.

Tags stand twice: as a list in the row, which is what is read and compared, and one a row beside it, for filters; so do
a dataset version's parents.
A change here needs a migration: `tests/contract/test_store_migrations.py` compares the two.
"""

from __future__ import annotations

from orchestrator.store.sql.tables.base import metadata, schema_version
from orchestrator.store.sql.tables.blobs import blobs, lost_blobs, objects, storage_choices, storages
from orchestrator.store.sql.tables.datasets import (
    dataset_heads,
    dataset_metadata,
    dataset_parents,
    dataset_profiles,
    dataset_tags,
    dataset_versions,
    file_profiles,
    manifest_blocks,
    manifests,
)
from orchestrator.store.sql.tables.events import (
    cursors,
    events,
    firing_events,
    firings,
    metric_watches,
    trigger_revisions,
    triggers,
)
from orchestrator.store.sql.tables.models import alias_moves, model_aliases, model_tags, models
from orchestrator.store.sql.tables.reports import (
    console_chunks,
    reports,
    series,
    series_attempts,
    series_batches,
    series_chunks,
)
from orchestrator.store.sql.tables.system import agents, answers, principals, queues, settings
from orchestrator.store.sql.tables.tasks import artifacts, attempts, parameters, task_tags, tasks

__all__ = [
    "agents",
    "alias_moves",
    "answers",
    "artifacts",
    "attempts",
    "blobs",
    "console_chunks",
    "cursors",
    "dataset_heads",
    "dataset_metadata",
    "dataset_parents",
    "dataset_profiles",
    "dataset_tags",
    "dataset_versions",
    "events",
    "file_profiles",
    "firing_events",
    "firings",
    "lost_blobs",
    "manifest_blocks",
    "manifests",
    "metadata",
    "metric_watches",
    "model_aliases",
    "model_tags",
    "models",
    "objects",
    "parameters",
    "principals",
    "queues",
    "reports",
    "schema_version",
    "series",
    "series_attempts",
    "series_batches",
    "series_chunks",
    "settings",
    "storage_choices",
    "storages",
    "task_tags",
    "tasks",
    "trigger_revisions",
    "triggers",
]
