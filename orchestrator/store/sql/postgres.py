"""The database for teams and several API processes: PostgreSQL."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import LargeBinary, any_, column, create_engine, func, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.types import TypeDecorator, UserDefinedType
from typing_extensions import override

from orchestrator.errors import Unavailable
from orchestrator.store.migrations import upgrade
from orchestrator.store.sql.columns import JsonText
from orchestrator.store.sql.failures import is_absence, is_retried
from orchestrator.store.sql.notifications import CHANNEL, Notifications
from orchestrator.store.sql.store import SqlStore
from orchestrator.store.sql.transaction import SqlTransaction
from orchestrator.store.sql.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import URL, ColumnElement, Connection, Table
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
    from sqlalchemy.types import TypeEngine

    from orchestrator.records.event import Event
    from orchestrator.store.protocol import Transaction
    from orchestrator.store.sql.listeners import Listener

T = TypeVar("T")

_PATIENCE_SECONDS = 5.0
"""How long a unit of work is tried again while the server is away, as it is while it restarts."""

_LONGEST_PAUSE_SECONDS = 0.5


_INSERT_EVENTS = text("""
    INSERT INTO events (type, subject, project, actor, cause, data, at)
    SELECT type, subject, project, actor, cause, data, at FROM ROWS FROM (
        json_to_recordset(CAST(:rows AS json)) AS (
            type text, subject text, project text, actor text, cause text, data text, at timestamptz
        )
    ) WITH ORDINALITY AS given (type, subject, project, actor, cause, data, at, place)
    ORDER BY place RETURNING id
""")


class PostgresUnit(Unit):
    """A transaction of PostgreSQL, whose clock is the server's."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._held: set[tuple[str, bool]] = set()

    @override
    def read_clock(self) -> datetime:
        moment: datetime = self.scalar(select(func.now()))
        return moment.astimezone(UTC)

    @override
    def insert(self, table: Table) -> PostgresInsert:
        return insert(table)

    @override
    def insert_columns(self, statement: PostgresInsert | SqliteInsert, columns: Mapping[str, Sequence[Any]]) -> None:
        kinds = {name: _plain(statement.table.c[name].type) for name in columns}
        arrays = [literal(list(values), ARRAY(kinds[name])) for name, values in columns.items()]
        given = func.unnest(*arrays).table_valued(*(column(name, kinds[name]) for name in columns), name="given")
        rows = given.render_derived()
        self.execute(statement.from_select(list(columns), select(*rows.c)))

    @override
    def insert_events(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[int]:
        # One value, however many there are: psycopg reads a statement with a thousand of them anew each time.
        as_text = JsonText().process_bind_param
        dialect = self._connection.dialect
        given = [dict(row) | {"at": row["at"].isoformat(), "data": as_text(row["data"], dialect)} for row in rows]
        return sorted(self.execute(_INSERT_EVENTS, [{"rows": json.dumps(given)}]).scalars())

    @override
    def among(self, column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
        return column == any_(literal(list(values), ARRAY(_plain(column.type))))

    @override
    def lock(self, name: str, *, shared: bool = False) -> None:
        if (name, shared) in self._held:
            return
        take = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        self.execute(select(take(lock_number(f"lock {name}"))))
        self._held.add((name, shared))

    @override
    def savepoint(self, work: Callable[[], T]) -> T:
        held = set(self._held)
        try:
            return super().savepoint(work)
        except BaseException:
            self._held = held  # those taken since were given back
            raise

    @override
    def claim_duty(self, name: str) -> bool:
        return bool(self.scalar(select(func.pg_try_advisory_xact_lock(lock_number(f"duty {name}")))))


class PostgresStore(SqlStore):
    """A store on a server.

    Args:
        url: with the driver `postgresql+psycopg`.

    Raises:
        Unavailable: nobody answers there, or refuses.
        DatabaseTooNew: a later release wrote it.
    """

    def __init__(self, url: URL) -> None:
        super().__init__()
        self._where = url.render_as_string(hide_password=True)
        self._origin = uuid.uuid4().hex
        # As many as a server has threads may be open for a moment; few stay.
        self._engine = create_engine(url, pool_size=5, max_overflow=60, pool_use_lifo=True)
        self._holding = create_engine(url, pool_size=2, max_overflow=30, isolation_level="AUTOCOMMIT")
        self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._notifications = Notifications(self._engine, origin=self._origin, listeners=self._listeners)
        try:
            with self._engine.begin() as connection:
                connection.execute(select(func.pg_advisory_xact_lock(lock_number("schema"))))
                upgrade(connection)
        except OperationalError as error:
            self._engine.dispose()
            raise self._unavailable(error) from error
        except BaseException:
            self._engine.dispose()
            raise

    @override
    def write(self, work: Callable[[Transaction], T]) -> T:
        result, events = self._persistently(lambda: self._write_once(work))
        if events:
            self._listeners.tell(events)
        return result

    @override
    def read(self, work: Callable[[Transaction], T]) -> T:
        return self._persistently(lambda: self._read_once(work))

    @override
    def subscribe(self, listener: Listener) -> Callable[[], None]:
        end = super().subscribe(listener)
        self._notifications.start()
        return end

    @override
    @contextlib.contextmanager
    def hold(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        # On a connection of its own, with which it goes when this process dies.
        number = lock_number(f"lock {name}")
        take = func.pg_advisory_lock if wait else func.pg_try_advisory_lock

        def begin() -> tuple[Connection, bool]:
            connection = self._holding.connect()
            try:
                taken = connection.execute(select(take(number))).scalar()
            except BaseException:
                connection.close()
                raise
            return connection, wait or bool(taken)

        connection, taken = self._persistently(begin)
        with connection:
            try:
                yield taken
            finally:
                if taken:
                    _let_go(connection, number=number)

    @override
    def close(self) -> None:
        self._notifications.close()
        self._holding.dispose()
        self._engine.dispose()

    def _read_once(self, work: Callable[[Transaction], T]) -> T:
        with self._reading.begin() as connection:
            return work(SqlTransaction(PostgresUnit(connection)))

    def _write_once(self, work: Callable[[Transaction], T]) -> tuple[T, list[Event]]:
        with self._engine.connect() as connection, connection.begin() as transaction:
            unit = PostgresUnit(connection)
            result = work(SqlTransaction(unit))
            events = unit.write_events()
            if events:
                unit.execute(select(func.pg_notify(CHANNEL, literal(self._origin))))
            try:
                transaction.commit()
            except DBAPIError as error:
                if is_retried(error):
                    raise
                raise Unavailable(
                    "The database broke off during a commit; whether it was carried out is not known.",
                    hint="Look whether what you wanted is there; repeat it if not.",
                ) from error
        return result, events

    def _persistently(self, attempt: Callable[[], T]) -> T:
        """Run a transaction again when the database asks for it, or was away before the commit."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        pause = 0.005
        while True:
            try:
                return attempt()
            except DBAPIError as error:
                if not is_retried(error) and not is_absence(error):
                    raise
                if time.monotonic() > deadline:
                    raise self._unavailable(error) from error
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  so that two do not meet again
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _unavailable(self, error: DBAPIError) -> Unavailable:
        complaint = str(error.orig).strip().splitlines()[0]
        return Unavailable(
            f"The database at {self._where} cannot be used: {complaint}",
            hint="Check that it runs and that the URL, the user and the password are right.",
        )


def _let_go(connection: Connection, *, number: int) -> None:
    try:
        connection.execute(select(func.pg_advisory_unlock(number)))
    except BaseException as error:
        connection.invalidate()  # it is closed, and what it may hold still goes with it
        if not isinstance(error, DBAPIError):
            raise


class _Bytes(UserDefinedType[bytes]):
    """Bytes as the driver takes them, without SQLAlchemy's wrapping of each: many are sent at once."""

    cache_ok = True

    @override
    def get_col_spec(self, **_: Any) -> str:
        """Return the name that PostgreSQL has for it."""
        return "BYTEA"


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type that the database knows under one of ours: values are passed on as they are."""
    if isinstance(kind, LargeBinary):
        return _Bytes()
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def lock_number(name: str) -> int:
    """Return the number under which PostgreSQL knows an advisory lock of that name."""
    digest = hashlib.sha256(f"retrain {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
