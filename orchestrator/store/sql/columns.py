"""Column types that mean the same on every database."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, DateTime, Double, Integer, Text
from sqlalchemy.types import TypeDecorator
from typing_extensions import override

from orchestrator.records.base import Record

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is compared and sorted by its bytes, as SQLite does by itself."""

WHOLE = BigInteger()
"""A signed number of 64 bits."""

SERIAL = BigInteger().with_variant(Integer(), "sqlite")
"""A number that the database counts up; SQLite counts only columns of exactly this type."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Utc(TypeDecorator[datetime]):
    """A moment: aware in Python, with a time zone on PostgreSQL, in UTC as sortable text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ShortUtc(TypeDecorator[datetime]):
    """A moment as whole microseconds since 1970: 8 bytes at most, where SQLite's text would be longer than the row."""

    impl = BigInteger
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else microseconds(value)

    @override
    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class JsonText(TypeDecorator[Any]):
    """JSON kept as text: unlike PostgreSQL's own type it gives NaN, NUL and the order of keys back."""

    impl = TEXT
    cache_ok = True

    @override
    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value, separators=(",", ":"), default=_plain)

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class Number(TypeDecorator[float]):
    """A float of 64 bits of which NaN is stored as NULL, since SQLite knows no NaN."""

    impl = Double
    cache_ok = True

    @override
    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None or math.isnan(value) else value

    @override
    def process_result_value(self, value: float | None, dialect: Dialect) -> float:
        return math.nan if value is None else value


def microseconds(moment: datetime) -> int:
    """Return a moment as `ShortUtc` keeps it."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _plain(value: Any) -> Any:  # noqa: ANN401  what json.dumps cannot write itself
    if isinstance(value, Record):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not JSON")
