"""Records as rows, rows as records, and the filters that several tables share."""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import ColumnElement, and_, or_

from orchestrator.errors import InvalidRequest
from orchestrator.records.series import INT64_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Column, Table

    from orchestrator.records.base import Record

T = TypeVar("T")

_AT_ONCE = 5000


@cache
def columns_of(record: type[Record], table: Table) -> tuple[Column[Any], ...]:
    """Return the columns that make up a record, in the order of its fields."""
    return tuple(table.c[name] for name in record.model_fields)


def to_row(record: Record, table: Table) -> dict[str, Any]:
    """Return a record's fields as values of the table's columns.

    Raises:
        InvalidRequest: a text holds NUL or a number does not fit in 64 bits: no database keeps that.
    """
    return {name: _plain(name, value=getattr(record, name)) for name in type(record).model_fields if name in table.c}


def differences(record: Record, *, expected: Record, table: Table) -> dict[str, Any]:
    """Return those values of a row in which two records differ: large parts that stay are not written again."""
    before = to_row(expected, table)
    return {name: value for name, value in to_row(record, table).items() if value != before[name]}


def below(column: ColumnElement[str], root: str) -> ColumnElement[bool]:
    """Match the project `root` and those below it, by comparing bytes: LIKE would fold case on SQLite."""
    after_slash = chr(ord("/") + 1)
    return or_(column == root, and_(column >= f"{root}/", column < f"{root}{after_slash}"))


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a long list so that a statement can take each part: SQLite takes 32,766 values, PostgreSQL 65,535."""
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def clamped(number: int) -> int:
    """Return the number, or the nearest that fits in 64 bits, for comparing with a column."""
    return max(-INT64_MAX - 1, min(INT64_MAX, number))


def _plain(name: str, *, value: Any) -> Any:  # noqa: ANN401  a field of any type
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str) and "\0" in value:
        raise InvalidRequest(f"{name} holds a NUL character, which a database cannot keep.", hint="Remove it.")
    if isinstance(value, int) and clamped(value) != value:
        raise InvalidRequest(f"{name} is {value}, which does not fit in 64 bits.")
    return value
