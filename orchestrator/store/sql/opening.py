"""From a URL to a store; only the database that it names is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from orchestrator.store.sql.store import SqlStore

_EXAMPLES = "Write sqlite:////var/lib/retrain/database.sqlite or postgresql://user:password@host/database."


def open_store(url: str) -> SqlStore:
    """Open a database, making or upgrading its tables.

    Args:
        url: `sqlite:///PATH` or `postgresql://…`; the path may be absolute (four slashes).

    Raises:
        InvalidRequest: the URL is none, or names another database.
        Unavailable: the database cannot be opened or reached.
        DatabaseTooNew: a later release wrote it.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidRequest("The database's URL cannot be read.", hint=_EXAMPLES) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if parsed.database in {None, "", ":memory:"}:
            raise InvalidRequest("The database's URL names no file.", hint=_EXAMPLES)
        from orchestrator.store.sql.sqlite import SqliteStore  # noqa: PLC0415  each driver costs memory

        return SqliteStore(parsed)
    if backend in {"postgresql", "postgres"}:
        from orchestrator.store.sql.postgres import PostgresStore  # noqa: PLC0415  each driver costs memory

        return PostgresStore(parsed.set(drivername="postgresql+psycopg"))
    raise InvalidRequest(f"{backend} is no database that can be used here.", hint=_EXAMPLES)
