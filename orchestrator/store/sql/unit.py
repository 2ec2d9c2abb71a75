"""One open transaction: what every noun's SQL runs through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError

from orchestrator.records.event import Event
from orchestrator.store.sql.failures import translated
from orchestrator.store.sql.rows import to_row
from orchestrator.store.sql.tables import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, CursorResult, Executable, Table
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

    from orchestrator.records.base import Record
    from orchestrator.records.event import NewEvent

R = TypeVar("R", bound="Record")
T = TypeVar("T")


class Unit(ABC):
    """A connection in a transaction, and the events that wait for its end.

    Args:
        connection: with a transaction begun.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._now: datetime | None = None
        self.pending: list[NewEvent] = []

    @abstractmethod
    def read_clock(self) -> datetime:
        """Return the database's time, aware, in UTC."""

    @abstractmethod
    def insert(self, table: Table) -> PostgresInsert | SqliteInsert:
        """Begin an INSERT that can say what happens on a conflict."""

    @abstractmethod
    def insert_columns(self, statement: PostgresInsert | SqliteInsert, columns: Mapping[str, Sequence[Any]]) -> None:
        """Run an INSERT with very many rows, as fast as the database takes them.

        Args:
            statement: begun with `insert`, without values.
            columns: the values of each column, as the database keeps them: they are not converted.
        """

    @abstractmethod
    def among(self, column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
        """Match rows whose column has one of these values, texts or bytes; some thousands at once are fastest."""

    @abstractmethod
    def lock(self, name: str, *, shared: bool = False) -> None:
        """Wait until no other transaction holds this lock, or none but shared ones; it is held until the end."""

    @abstractmethod
    def claim_duty(self, name: str) -> bool:
        """Take a duty until the transaction ends; False when another process has it."""

    def now(self) -> datetime:
        """Return the database's time, the same throughout the transaction."""
        if self._now is None:
            self._now = self.read_clock()
        return self._now

    def execute(
        self, statement: Executable, parameters: Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """Run a statement; complaints of the database become errors of ours."""
        return _translating(lambda: self._connection.execute(statement, parameters))

    def execute_raw(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement in the driver's own words with every row, past all conversions."""
        _translating(lambda: self._connection.exec_driver_sql(statement, list(rows)))

    def scalar(self, statement: Executable) -> Any:  # noqa: ANN401  whatever the column holds
        """Return the first column of the first row, or None."""
        return self.execute(statement).scalar()

    def records(self, kind: type[R], statement: Executable) -> list[R]:
        """Return a record of every row; the statement selects `columns_of` that kind."""
        return [kind.model_validate(dict(row)) for row in self.execute(statement).mappings()]

    def record(self, kind: type[R], statement: Executable) -> R | None:
        """Return a record of the first row, or None."""
        row = self.execute(statement).mappings().first()
        return None if row is None else kind.model_validate(dict(row))

    def add(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert rows, all of the same columns."""
        if values := list(rows):
            self.execute(insert(table), values)

    def add_new(self, table: Table, row: Mapping[str, Any]) -> bool:
        """Insert a row; return False, changing nothing, where one with such a key is there.

        Unlike a refused INSERT this leaves a PostgreSQL transaction usable.
        """
        statement = self.insert(table).values(row).on_conflict_do_nothing()
        return self.execute(statement.execution_options(preserve_rowcount=True)).rowcount == 1

    def put(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert rows, or overwrite those of the same primary key; of two with one key the later stands."""
        keys = [column.name for column in table.primary_key]
        # In the order of their keys: two transactions that put the same rows wait for each other, and never in a ring.
        values = sorted(rows, key=lambda row: [row[key] for key in keys])
        if not values:
            return
        statement = self.insert(table)
        changes = {name: statement.excluded[name] for name in values[0] if name not in keys}
        self.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes), values)

    def savepoint(self, work: Callable[[], T]) -> T:
        """Run a part; when it raises, only what it wrote and appended is undone and the error goes on."""
        appended = len(self.pending)
        try:
            with self._connection.begin_nested():
                return work()
        except BaseException:
            del self.pending[appended:]
            raise

    def insert_events(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[int]:
        """Insert events, at least one, and return their ids in order."""
        statement = insert(events).returning(events.c.id, sort_by_parameter_order=True)
        return list(self.execute(statement, rows).scalars())

    def write_events(self) -> list[Event]:
        """Insert the collected events, as the last thing before the commit, and return them numbered."""
        if not self.pending:
            return []
        now = self.now()
        numbers = self.insert_events([to_row(event, events) | {"at": now} for event in self.pending])
        return [
            Event.model_validate({**dict(event), "id": number, "at": now})
            for event, number in zip(self.pending, numbers, strict=True)
        ]


def _translating(run: Callable[[], T]) -> T:
    try:
        return run()
    except DBAPIError as error:
        better = translated(error)
        if better is error:
            raise
        raise better from error


class Noun:
    """The rows of one noun, within a unit of work.

    Args:
        unit: the transaction.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
