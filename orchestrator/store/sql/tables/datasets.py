"""Dataset versions, their manifests, and what is known of them and their files."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, LargeBinary, Table, UniqueConstraint

from orchestrator.store.sql.columns import TEXT
from orchestrator.store.sql.tables.base import (
    digest_column,
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
    Column("numbered", Boolean, nullable=False),
    json_column("parents"),
    text_column("base", null=True),
    text_column("storage", null=True),
    text_column("manifest", null=True),
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
    moment_column("published_at", null=True),
    moment_column("archived_at", null=True),
    moment_column("deleted_at", null=True),
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

dataset_parents = Table(
    "dataset_parents",
    metadata,
    key_column("version_id", of="dataset_versions.id"),
    key_column("parent_id"),
    Index(None, "parent_id", "version_id"),
)

dataset_heads = Table(
    "dataset_heads",
    metadata,
    key_column("project"),
    key_column("name"),
    Column("version_id", TEXT, ForeignKey("dataset_versions.id"), nullable=False),
)

manifests = Table(
    "manifests",
    metadata,
    key_column("version_id", of="dataset_versions.id"),
    Column("data", LargeBinary, nullable=False),
)

manifest_blocks = Table("manifest_blocks", metadata, digest_column(), Column("data", LargeBinary, nullable=False))

dataset_metadata = Table(
    "dataset_metadata",
    metadata,
    key_column("version_id", of="dataset_versions.id"),
    key_column("name"),
    text_column("kind"),
    text_column("filename"),
    text_column("digest"),
    whole_column("size_bytes"),
    text_column("preview"),
    moment_column("changed_at"),
)

dataset_profiles = Table(
    "dataset_profiles",
    metadata,
    key_column("version_id", of="dataset_versions.id"),
    json_column("profile"),
)

file_profiles = Table("file_profiles", metadata, digest_column(), json_column("profile"))
