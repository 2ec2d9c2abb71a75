"""The embedded database: SQLite, one process, one writer."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import LargeBinary, create_engine, event, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool, QueuePool
from typing_extensions import override

from orchestrator.errors import Unavailable
from orchestrator.store.migrations import upgrade
from orchestrator.store.sql.group_commit import GroupCommit
from orchestrator.store.sql.store import SqlStore
from orchestrator.store.sql.transaction import SqlTransaction
from orchestrator.store.sql.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from sqlite3 import Connection as RawConnection

    from sqlalchemy import URL, ColumnElement, Connection, Engine, Table
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

    from orchestrator.store.protocol import Transaction

T = TypeVar("T")

_BUSY_SECONDS = 30.0
"""How long to wait for another process, such as a backup, to release the database."""

_FOR_BULK = ("cache_size=-65536", "wal_autocheckpoint=16000", "journal_size_limit=67108864")
"""A pack of 30,000 blobs touches nearly every page of a large table of blobs, since digests lie everywhere. With 64 MiB
of cache and a log of 64 MiB before it is carried over, a million blobs take half of the time and two thirds of the
writes. The cache is only as large as what was read."""


class SqliteUnit(Unit):
    """A transaction of SQLite. Its clock is this host's: there is one process."""

    @override
    def read_clock(self) -> datetime:
        return datetime.now(UTC)

    @override
    def insert(self, table: Table) -> SqliteInsert:
        return insert(table)

    @override
    def insert_columns(self, statement: PostgresInsert | SqliteInsert, columns: Mapping[str, Sequence[Any]]) -> None:
        compiled = statement.compile(dialect=self._connection.dialect, column_keys=list(columns))
        rows = list(zip(*(columns[name] for name in compiled.positiontup or ()), strict=True))
        if rows:
            self.execute_raw(compiled.string, rows)

    @override
    def among(self, column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
        # One value, however many there are: SQLAlchemy takes 5 us for each bind, SQLite at most 32,766.
        if isinstance(column.type, LargeBinary):
            given = func.json_each(json.dumps([value.hex() for value in values])).table_valued("value")
            return column.in_(select(func.retrain_from_hex(given.c.value)))
        given = func.json_each(json.dumps(list(values))).table_valued("value")
        return column.in_(select(given.c.value))

    @override
    def lock(self, name: str, *, shared: bool = False) -> None:
        """Do nothing: there is one writer."""

    @override
    def claim_duty(self, name: str) -> bool:
        return True


class SqliteStore(SqlStore):
    """A store in a file.

    Args:
        url: `sqlite:///PATH`. The directory is made where it is missing; nobody else may look into either.

    Raises:
        Unavailable: the file cannot be opened.
        DatabaseTooNew: a later release wrote it.
    """

    def __init__(self, url: URL) -> None:
        super().__init__()
        self._held: set[str] = set()
        self._free = threading.Condition()
        path = Path(url.database or "").absolute()
        _make_private(path)
        url = url.set(database=str(path))
        writer = _engine(url, begin="BEGIN IMMEDIATE", pragmas=("journal_mode=WAL", "synchronous=FULL", *_FOR_BULK))
        try:
            with writer.begin() as connection:
                upgrade(connection)
            connection = writer.connect()
        except DatabaseError as error:
            raise Unavailable(f"{path} cannot be opened as a database: {error.orig}.") from error
        self._writer = GroupCommit(connection, unit=SqliteUnit, listeners=self._listeners)
        self._readers = _engine(url, begin="BEGIN", pragmas=("query_only=ON",), pooled=True)

    @override
    def write(self, work: Callable[[Transaction], T]) -> T:
        return self._writer.run(work)

    @override
    def read(self, work: Callable[[Transaction], T]) -> T:
        with self._readers.begin() as connection:
            return work(SqlTransaction(SqliteUnit(connection)))

    @override
    @contextlib.contextmanager
    def hold(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        # One process uses the database, but for backups; names of locks are few or short-lived, and are let go.
        with self._free:
            while name in self._held and wait:
                self._free.wait()
            taken = name not in self._held
            self._held.add(name)
        try:
            yield taken
        finally:
            if taken:
                with self._free:
                    self._held.discard(name)
                    self._free.notify_all()

    @override
    def close(self) -> None:
        self._writer.close()
        self._readers.dispose()


def _make_private(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise Unavailable(
            f"The database {path} cannot be opened: {error.strerror}.",
            hint="Name a place that can be written to with RETRAIN_HOME or the database's URL.",
        ) from error


def _engine(url: URL, *, begin: str, pragmas: tuple[str, ...], pooled: bool = False) -> Engine:
    """Make an engine of which every connection is set up alike and begins its transactions with these words."""
    arguments = {"timeout": _BUSY_SECONDS, "check_same_thread": False, "isolation_level": None}
    if pooled:
        # Few stay open: each has a cache of its own. As many as a server has threads may be open for a moment.
        pool: dict[str, Any] = {"poolclass": QueuePool, "pool_size": 4, "max_overflow": 60, "pool_use_lifo": True}
    else:
        pool = {"poolclass": NullPool}
    engine = create_engine(url, connect_args=arguments, **pool)

    @event.listens_for(engine, "connect")
    def set_up(connection: RawConnection, _record: object) -> None:
        try:
            connection.create_function("retrain_from_hex", 1, bytes.fromhex, deterministic=True)
            for pragma in ("foreign_keys=ON", *pragmas):
                connection.execute(f"PRAGMA {pragma}").close()
        except BaseException:
            connection.close()
            raise

    @event.listens_for(engine, "begin")
    def begin_explicitly(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
