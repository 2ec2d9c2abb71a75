"""Dataset versions, their manifests and the blobs in them."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table, UniqueConstraint

from orchestrator.store.sql.columns import TEXT
from orchestrator.store.sql.tables.base import (
    json_column,
    key_column,
    metadata,
    moment_column,
    text_column,
    whole_column,
)

dataset_versions = Table(
    "dataset_versions",
    metadata,
    key_column("id"),
    text_column("project"),
    text_column("name"),
    text_column("version"),
    whole_column("major"),
    whole_column("minor"),
    whole_column("patch"),
    text_column("state"),
    json_column("parents"),
    text_column("base", null=True),
    json_column("tags"),
    text_column("description"),
    whole_column("file_count"),
    whole_column("size_bytes"),
    whole_column("added_count"),
    whole_column("modified_count"),
    whole_column("removed_count"),
    text_column("task", null=True),
    moment_column("created_at"),
    text_column("created_by"),
    moment_column("changed_at"),
    moment_column("finalized_at", null=True),
    Index(None, "project", "name", "major", "minor", "patch"),
    text_column("final_version", null=True),  # the version once it is final: unique then, and only then
    UniqueConstraint("project", "name", "final_version"),
)

dataset_tags = Table(
    "dataset_tags",
    metadata,
    key_column("owner", of="dataset_versions.id"),
    key_column("tag"),
    Index(None, "tag", "owner"),
)

dataset_heads = Table(
    "dataset_heads",
    metadata,
    key_column("project"),
    key_column("name"),
    Column("version_id", TEXT, ForeignKey("dataset_versions.id"), nullable=False),
)

manifest_entries = Table(
    "manifest_entries",
    metadata,
    key_column("version_id", of="dataset_versions.id"),
    key_column("path"),
    whole_column("size_bytes"),
    text_column("digest"),
    whole_column("mode"),
    sqlite_with_rowid=False,
)

blobs = Table(
    "blobs",
    metadata,
    key_column("digest"),
    whole_column("size_bytes"),
    text_column("store"),
    text_column("location"),
    whole_column("offset"),
)
