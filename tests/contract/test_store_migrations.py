"""The schema: made at once or step by step it is the same, and a database is only ever moved forward."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, make_url, text, update

from orchestrator.errors import DatabaseTooNew
from orchestrator.store import migrations
from orchestrator.store.migrations import upgrading
from orchestrator.store.sql import open_store
from orchestrator.store.sql.tables import metadata, schema_version
from orchestrator.store.testing.records import a_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

_NEXT_REVISION = """
from alembic import op
import sqlalchemy as sa

revision = "{revision}"
down_revision = "{before}"


def upgrade():
    op.add_column("tasks", sa.Column("colour", sa.Text(), server_default="red"))
    {last_line}
"""

_NEXT = f"{int(migrations.HEAD) + 1:04d}"


def _next_revision(last_line: str = "") -> str:
    return _NEXT_REVISION.format(revision=_NEXT, before=migrations.HEAD, last_line=last_line)


def _connected(url: str) -> Iterator[Connection]:
    driver = make_url(url)
    if driver.get_backend_name() == "postgresql":
        driver = driver.set(drivername="postgresql+psycopg")
    engine = create_engine(driver)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@pytest.fixture
def empty(empty_url: str) -> Iterator[Connection]:
    """A connection to a database without tables."""
    yield from _connected(empty_url)


@pytest.fixture
def later_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file for a revision that the next release brings."""
    versions = tmp_path / "100% later"
    versions.mkdir()
    monkeypatch.setattr(upgrading, "VERSIONS", [*upgrading.VERSIONS, versions])
    return versions / f"revision_{_NEXT}.py"


def test_the_migrations_lead_to_what_the_tables_say(empty: Connection) -> None:
    upgrading.run(empty, target=migrations.HEAD)
    context = MigrationContext.configure(empty, opts={"compare_server_default": True})
    assert compare_metadata(context, metadata) == []


def test_an_empty_database_is_made_as_the_migrations_would(empty: Connection) -> None:
    def definitions() -> list[object]:
        if empty.dialect.name == "sqlite":
            made = text("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name <> 'alembic_version'")
        else:
            made = text("""
                SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
                FROM information_schema.columns
                WHERE table_schema = 'public' AND table_name <> 'alembic_version'
                UNION ALL SELECT tablename, indexname, indexdef, '', '', '' FROM pg_indexes
                WHERE schemaname = 'public' AND tablename <> 'alembic_version'
                UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', ''
                FROM pg_constraint WHERE contype = 'f'
                UNION ALL SELECT '', tgname, pg_get_triggerdef(oid), '', '', '' FROM pg_trigger WHERE NOT tgisinternal
                UNION ALL SELECT '', proname, regexp_replace(prosrc, '\\s+', ' ', 'g'), '', '', ''
                FROM pg_proc WHERE proname LIKE 'retrain%'
            """)
        rows = [tuple(row) for row in empty.execute(made)]
        if empty.dialect.name == "sqlite":  # a column that is added later stands behind the constraints
            rows = [(*row[:3], _parts(row[0], row[3])) for row in rows]
        return sorted(map(str, rows))

    migrations.upgrade(empty)
    at_once = definitions()
    metadata.drop_all(empty)
    schema_version.drop(empty)
    if empty.dialect.name == "postgresql":
        empty.execute(text("DROP FUNCTION retrain_order_events"))
    upgrading.run(empty, target=migrations.HEAD)
    assert len(at_once) > 20
    assert at_once == definitions()


def _parts(kind: str, definition: str | None) -> object:
    """Return a statement without its line breaks; of a table columns and constraints without their order, too."""
    words = " ".join((definition or "").split())
    if kind != "table":
        return words
    head, _, rest = words.partition("(")
    body, _, tail = rest.rpartition(")")
    depth, parts = 0, [""]
    for character in body:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return head.strip(), sorted(part.strip() for part in parts), tail.strip()


def test_an_old_database_is_upgraded_when_it_is_opened(
    store_url: str, later_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = a_task()
    with closing(open_store(store_url)) as store:
        store.write(lambda tx: tx.tasks.add(task))
    later_release.write_text(_next_revision())
    monkeypatch.setattr(migrations, "HEAD", _NEXT)
    with closing(open_store(store_url)) as store:
        assert store.read(lambda tx: tx.tasks.get(task.id)) == task
    for connection in _connected(store_url):
        assert connection.execute(schema_version.select()).scalars().all() == [_NEXT]
        assert connection.execute(text("SELECT colour FROM tasks")).scalar() == "red"


def test_an_upgrade_that_fails_changes_nothing(
    store_url: str, later_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later_release.write_text(_next_revision("raise OSError('the disk is on fire')"))
    with monkeypatch.context() as release:
        release.setattr(migrations, "HEAD", _NEXT)
        with pytest.raises(OSError, match="on fire"):
            open_store(store_url)
    for connection in _connected(store_url):
        assert "colour" not in {column["name"] for column in inspect(connection).get_columns("tasks")}
    open_store(store_url).close()


def test_a_newer_database_is_refused_with_both_revisions(store_url: str) -> None:
    for connection in _connected(store_url):
        connection.execute(update(schema_version).values(version_num="9999"))
    with pytest.raises(DatabaseTooNew, match=f"9999.*{migrations.HEAD}.*pip install"):
        open_store(store_url)


def test_two_that_open_an_empty_database_at_once_both_can(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(open_store, [empty_url] * 4))
    for store in stores:
        store.write(lambda tx: tx.tasks.add(a_task()))
        store.close()


def test_alembic_is_not_imported_where_nothing_is_to_be_upgraded(tmp_path: Path) -> None:
    program = """
import sys
from orchestrator.store.sql import open_store
for _ in range(2):
    open_store(sys.argv[1]).close()
heavy = {"alembic", "mako", "psycopg", "sqlalchemy.orm", "sqlalchemy.dialects.postgresql"} & sys.modules.keys()
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program, f"sqlite:///{tmp_path}/new/database.sqlite"], check=True, timeout=60)
