"""The days that the demo hands in: files of the user's, or simulated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cli.demo.room import simulate_days
from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

FIRST = 4
"""Days in version 1.0.0: two to learn from would do, four make the second version differ less."""


def collect_days(data: Path | None, *, following: int) -> dict[str, bytes]:
    """Return `FIRST + following` days as file name to CSV, sorted by name.

    Args:
        data: folder of CSV files, one a day, whose names sort by date; None simulates a room.
        following: how many days are handed in one by one after the first version.

    Raises:
        InvalidRequest: the folder is none, or holds too few days; the message says how many.
    """
    wanted = FIRST + following
    if data is None:
        return simulate_days(wanted)
    if not data.is_dir():
        raise InvalidRequest(f"{data} is no folder.", hint="--data wants a folder with one CSV file a day.")
    files = sorted(data.glob("*.csv"))
    if len(files) < wanted:
        raise InvalidRequest(
            f"{data} holds {len(files)} CSV file{'' if len(files) == 1 else 's'}; {FIRST} days make the first version "
            f"and {following} {'is' if following == 1 else 'are'} to follow.",
            hint=f"{_fewer(len(files) - FIRST)} or leave --data out to simulate a room.",
        )
    return {file.name: file.read_bytes() for file in files[:wanted]}


def _fewer(days: int) -> str:
    return f"Ask for fewer: --days {days}," if days > 0 else f"Put {FIRST + 1} files there at least,"
