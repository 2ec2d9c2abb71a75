"""What databases complain about, in the words of `orchestrator.errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DataError, OperationalError

from orchestrator.errors import AlreadyExists, InvalidRequest, NoSpace, NotFound, Unavailable

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

_MISSING = {"23503", 787}  # foreign_key_violation, SQLITE_CONSTRAINT_FOREIGNKEY
_TAKEN = {"23505", 2067, 1555}  # unique_violation, SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY
_FULL = {"53100", 13}  # disk_full, SQLITE_FULL
_LOCKED = {5}  # SQLITE_BUSY
_RETRIED = {"40001", "40P01"}  # serialization_failure, deadlock_detected
_AWAY = ("08", "57P0")  # connection_exception; admin_shutdown, crash_shutdown, cannot_connect_now
_UNFIT = ("22", "54")  # classes data_exception, program_limit_exceeded


def _code(error: DBAPIError) -> str | int | None:
    """Return PostgreSQL's SQLSTATE or SQLite's extended result code."""
    state = getattr(error.orig, "sqlstate", None)
    return state if isinstance(state, str) else getattr(error.orig, "sqlite_errorcode", None)


def is_retried(error: DBAPIError) -> bool:
    """Tell whether the database asks for the whole transaction again."""
    return _code(error) in _RETRIED


def is_absence(error: DBAPIError) -> bool:
    """Tell whether the server cannot be reached, goes away or is not ready yet."""
    if error.connection_invalidated:
        return True
    code = _code(error)
    return isinstance(error, OperationalError) and (code is None or str(code).startswith(_AWAY))


def translated(error: DBAPIError) -> Exception:
    """Return the error that a person can act on, or the same error where nothing better is known."""
    code = _code(error)
    if code in _MISSING:
        return NotFound("It refers to something that does not exist.", hint="Was it deleted in between?")
    if code in _TAKEN:
        return AlreadyExists()
    if code in _FULL:
        return NoSpace("The disk that the database lies on is full.", hint="Free some space; nothing was written.")
    if code in _LOCKED:
        return Unavailable("Another process keeps the database locked.", hint="Is a second server running on it?")
    if isinstance(error, DataError) or (isinstance(code, str) and code.startswith(_UNFIT)):
        return InvalidRequest(f"The database cannot keep this: {str(error.orig).splitlines()[0]}.")
    return error
