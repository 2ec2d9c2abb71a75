"""How the programs that run on and on write their log: a line an event, with what it was about."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""What every log record has, and uvicorn's second copy of the message; anything else was given as `extra`."""


class _WithExtras(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802  logging's
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        first, newline, rest = super().format(record).partition("\n")
        extras = (f"{name}={value}" for name, value in vars(record).items() if name not in _OWN and value is not None)
        return " ".join([first, *extras]) + newline + rest


def log_to_stderr(level: int = logging.INFO) -> None:
    """Write the log of this process to stderr, times in UTC."""
    handler = logging.StreamHandler()
    handler.setFormatter(_WithExtras("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
