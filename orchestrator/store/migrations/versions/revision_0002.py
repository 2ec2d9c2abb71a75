"""Manifests in blocks, blobs in objects, and what dataset versions can do since.

What changes is carried over in temporary tables: SQLite cannot alter a table in place, and removing one removes the
rows that refer to it.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from alembic import op
from blake3 import blake3

from orchestrator.records.manifest import Entry, Kind, Manifest, named, order, raw
from orchestrator.records.manifest_changes import edit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

logger = logging.getLogger(__name__)

revision = "0002"
down_revision = "0001"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WHOLE = sa.BigInteger()
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
BYTES = sa.LargeBinary()

ROWS_AT_ONCE = 5000
EXECUTABLE_MODE = 0o755
STORAGE = "default"
CARRIED = ("blobs", "dataset_heads", "dataset_tags", "manifest_entries", "dataset_versions")
"""Tables that are made anew or gone, those that refer to another one before it."""


class _Version(NamedTuple):
    id: str
    parents: str
    state: str


def upgrade() -> None:
    """Carry the old tables over into the new ones."""
    for table in CARRIED:
        op.execute(f"CREATE TEMPORARY TABLE old_{table} AS SELECT * FROM {table}")  # noqa: S608  names from above
        op.drop_table(table)
    schema = "" if _on_postgres() else "temp."
    for table, column in (("blobs", "digest"), ("manifest_entries", "version_id")):
        op.execute(f"CREATE INDEX {schema}old_{table}_index ON old_{table} ({column})")
    _create_dataset_tables()
    _create_blob_tables()
    _carry_versions()
    _carry_blobs()
    for version in _versions():
        _carry_parents(version)
        _carry_manifest(version)
    for table in CARRIED:
        op.execute(f"DROP TABLE old_{table}")


def _create_dataset_tables() -> None:
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
        sa.Column("numbered", sa.Boolean(), nullable=False),
        sa.Column("parents", TEXT, nullable=False),
        sa.Column("base", TEXT, nullable=True),
        sa.Column("storage", TEXT, nullable=True),
        sa.Column("manifest", TEXT, nullable=True),
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
        sa.Column("published_at", MOMENT, nullable=True),
        sa.Column("archived_at", MOMENT, nullable=True),
        sa.Column("deleted_at", MOMENT, nullable=True),
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
        "dataset_heads",
        sa.Column("project", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("project", "name", name="pk_dataset_heads"),
        sa.ForeignKeyConstraint(["version_id"], ["dataset_versions.id"], name="fk_dataset_heads_version_id"),
    )
    op.create_table(
        "dataset_metadata",
        sa.Column("version_id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("filename", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("size_bytes", WHOLE, nullable=False),
        sa.Column("preview", TEXT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("version_id", "name", name="pk_dataset_metadata"),
        _of_version("dataset_metadata", "version_id"),
    )
    op.create_table(
        "dataset_parents",
        sa.Column("version_id", TEXT, nullable=False),
        sa.Column("parent_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("version_id", "parent_id", name="pk_dataset_parents"),
        _of_version("dataset_parents", "version_id"),
    )
    op.create_index("ix_dataset_parents_parent_id_version_id", "dataset_parents", ["parent_id", "version_id"])
    op.create_table(
        "dataset_profiles",
        sa.Column("version_id", TEXT, nullable=False),
        sa.Column("profile", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("version_id", name="pk_dataset_profiles"),
        _of_version("dataset_profiles", "version_id"),
    )
    op.create_table(
        "dataset_tags",
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("tag", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("owner", "tag", name="pk_dataset_tags"),
        _of_version("dataset_tags", "owner"),
    )
    op.create_index("ix_dataset_tags_tag_owner", "dataset_tags", ["tag", "owner"])
    op.create_table(
        "manifests",
        sa.Column("version_id", TEXT, nullable=False),
        sa.Column("data", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("version_id", name="pk_manifests"),
        _of_version("manifests", "version_id"),
    )
    op.create_table(
        "file_profiles",
        sa.Column("digest", BYTES, nullable=False),
        sa.Column("profile", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_file_profiles"),
    )
    op.create_table(
        "manifest_blocks",
        sa.Column("digest", BYTES, nullable=False),
        sa.Column("data", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_manifest_blocks"),
    )


def _of_version(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], ["dataset_versions.id"], name=f"fk_{table}_{column}", ondelete="CASCADE")


def _create_blob_tables() -> None:
    op.create_table(
        "blobs",
        sa.Column("digest", BYTES, nullable=False),
        sa.Column("object_id", SERIAL, autoincrement=False, nullable=False),
        sa.Column("offset", WHOLE, nullable=False),
        sa.Column("size_bytes", WHOLE, nullable=False),
        sa.Column("pinned_until", WHOLE, nullable=True),
        sa.Column("condemned_at", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("digest", name="pk_blobs"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_blobs_object_id", "blobs", ["object_id"])
    op.create_table(
        "lost_blobs",
        sa.Column("digest", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_lost_blobs"),
    )
    op.create_table(
        "objects",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("storage", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("size_bytes", WHOLE, nullable=False),
        sa.Column("part_bytes", WHOLE, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_objects"),
        sa.UniqueConstraint("storage", "path", name="uq_objects_storage_path"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_objects_size_bytes", "objects", ["size_bytes"])
    op.create_table(
        "storage_choices",
        sa.Column("project", TEXT, nullable=False),
        sa.Column("dataset", TEXT, nullable=False),
        sa.Column("storage", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("project", "dataset", name="pk_storage_choices"),
    )
    op.create_table(
        "storages",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("url", TEXT, nullable=False),
        sa.Column("identity", TEXT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_storages"),
    )


def _carry_versions() -> None:
    """Copy versions, their tags and heads. When one was published is known from the event, or nearly."""
    columns = (
        "id, project, name, version, major, minor, patch, state, parents, base, tags, description, file_count, "
        "size_bytes, added_count, modified_count, removed_count, task, created_at, created_by, changed_at, "
        "finalized_at, final_version"
    )
    op.execute(
        f"INSERT INTO dataset_versions ({columns}, numbered) SELECT {columns}, false FROM old_dataset_versions"  # noqa: S608  no input
    )
    op.execute(
        "UPDATE dataset_versions SET published_at = coalesce("
        "(SELECT max(at) FROM events WHERE type = 'dataset.published' AND subject = dataset_versions.id), changed_at) "
        "WHERE state = 'published'"
    )
    for table, names in (("dataset_tags", "owner, tag"), ("dataset_heads", "project, name, version_id")):
        op.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM old_{table}")  # noqa: S608  no input


def _carry_blobs() -> None:
    """Make an object of each place that blobs were in; there was one storage, the server's own."""
    connection = op.get_bind()
    connection.execute(
        sa.text(
            "INSERT INTO objects (storage, path, size_bytes, part_bytes, created_at) "
            'SELECT :storage, location, max("offset" + size_bytes), 0, CURRENT_TIMESTAMP '
            "FROM old_blobs GROUP BY location ORDER BY location"
        ),
        {"storage": STORAGE},
    )
    blobs = sa.table("blobs", *(sa.column(name, BYTES if name == "digest" else WHOLE) for name in _BLOB))
    query = sa.text(
        'SELECT digest, objects.id, "offset", old_blobs.size_bytes FROM old_blobs '
        "JOIN objects ON storage = :storage AND path = location WHERE digest > :after ORDER BY digest LIMIT :rows"
    )
    after = ""
    while rows := connection.execute(query, {"after": after, "rows": ROWS_AT_ONCE, "storage": STORAGE}).all():
        after = rows[-1][0]
        values = [dict(zip(_BLOB, (raw(digest), *place), strict=True)) for digest, *place in rows]
        connection.execute(sa.insert(blobs), values)


_BLOB = ("digest", "object_id", "offset", "size_bytes")


def _on_postgres() -> bool:
    return op.get_context().dialect.name == "postgresql"


def _versions() -> list[_Version]:
    query = sa.text("SELECT id, parents, state FROM old_dataset_versions ORDER BY id")
    return [_Version(*row) for row in op.get_bind().execute(query)]


def _carry_parents(version: _Version) -> None:
    statement = sa.text("INSERT INTO dataset_parents (version_id, parent_id) VALUES (:version, :parent)")
    for parent in dict.fromkeys(json.loads(version.parents)):
        op.get_bind().execute(statement, {"version": version.id, "parent": parent})


def _carry_manifest(version: _Version) -> None:
    """Write a version's files as blocks; those that its parent has, too, are there already."""
    connection = op.get_bind()
    manifest = edit(Manifest(), _entries(version.id), load=_nothing_to_load, save=_save)
    final = version.state != "open"
    if not manifest.blocks and not final:
        return
    data = manifest.encode()
    statement = sa.text("INSERT INTO manifests (version_id, data) VALUES (:version, :data)")
    connection.execute(statement.bindparams(sa.bindparam("data", type_=BYTES)), {"version": version.id, "data": data})
    if final:
        digest = named(blake3(data).digest())
        statement = sa.text("UPDATE dataset_versions SET manifest = :digest WHERE id = :version")
        connection.execute(statement, {"version": version.id, "digest": digest})


def _entries(version_id: str) -> Iterator[tuple[str, Entry]]:
    """Yield a version's entries in the order of a manifest: part by part."""
    connection = op.get_bind()
    if _on_postgres():
        in_order = "string_to_array(path, '/')"
    else:
        sqlite: Any = connection.connection.driver_connection
        sqlite.create_function("walk_order", 1, _walk_order, deterministic=True)
        in_order = "walk_order(path)"
    query = (
        f"SELECT path, size_bytes, digest, mode FROM old_manifest_entries WHERE version_id = :id ORDER BY {in_order}"  # noqa: S608  one of two expressions
    )
    statement = sa.text(query).execution_options(yield_per=ROWS_AT_ONCE)
    for path, size_bytes, digest, mode in connection.execute(statement, {"id": version_id}):
        kind = Kind.EXECUTABLE if mode == EXECUTABLE_MODE else Kind.FILE
        yield path, Entry(path, kind, size_bytes, raw(digest))


def _walk_order(path: str) -> bytes:
    return order(path).encode()


def _nothing_to_load(digests: Sequence[bytes]) -> list[bytes]:
    raise LookupError(f"a new manifest has no blocks to read, yet {len(digests)} were asked for")


def _save(data: bytes) -> bytes:
    digest = blake3(data).digest()
    statement = sa.text("INSERT INTO manifest_blocks (digest, data) VALUES (:digest, :data) ON CONFLICT DO NOTHING")
    typed = statement.bindparams(sa.bindparam("digest", type_=BYTES), sa.bindparam("data", type_=BYTES))
    op.get_bind().execute(typed, {"digest": digest, "data": data})
    return digest
