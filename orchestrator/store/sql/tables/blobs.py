"""Storages, the objects in them and the blobs in these."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, UniqueConstraint

from orchestrator.store.sql.columns import SERIAL, ShortUtc
from orchestrator.store.sql.tables.base import (
    digest_column,
    key_column,
    metadata,
    moment_column,
    text_column,
    whole_column,
)

storages = Table(
    "storages",
    metadata,
    key_column("name"),
    text_column("url"),
    text_column("identity"),
    moment_column("created_at"),
    text_column("created_by"),
)

storage_choices = Table(
    "storage_choices",
    metadata,
    key_column("project"),
    key_column("dataset"),
    text_column("storage"),
)

objects = Table(
    "objects",
    metadata,
    Column("id", SERIAL, primary_key=True),
    text_column("storage"),
    text_column("path"),
    whole_column("size_bytes"),
    whole_column("part_bytes"),
    moment_column("created_at"),
    UniqueConstraint("storage", "path"),
    Index(None, "size_bytes"),
    sqlite_autoincrement=True,  # a number that is given again would let a late `move` or `drop_object` hit another one
)

# There are millions: rows are short, and on SQLite they lie in the tree of the key. No foreign key to the objects:
# checking it costs more than writing the row. `SqlBlobPlaces` locks the object instead.
blobs = Table(
    "blobs",
    metadata,
    digest_column(),
    Column("object_id", SERIAL, nullable=False, autoincrement=False),
    whole_column("offset"),
    whole_column("size_bytes"),
    Column("pinned_until", ShortUtc, nullable=True),
    Column("condemned_at", ShortUtc, nullable=True),
    Index(None, "object_id"),
    sqlite_with_rowid=False,
)

# Digests whose bytes turned out to be damaged and that were not stored again.
lost_blobs = Table("lost_blobs", metadata, digest_column())
