"""Lengths of time as people write them: `90`, `"10m"`, `"1h30m"`, a `timedelta`. The standard library alone."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from orchestrator.errors import InvalidRequest

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*")
_HINT = "Write seconds, or such as 45s, 10m, 1h30m, 2d, 1w."


def seconds_of(value: object, *, field: str) -> float:
    """Return a length of time in seconds.

    Args:
        value: a number of seconds, a `timedelta`, or text such as `10m`, `1h30m`, `2 d`.
        field: what it is of, for the error.

    Raises:
        InvalidRequest: it is none of these, or not more than nothing.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str):
        seconds = _read(value.strip().lower(), field=field)
    else:
        raise InvalidRequest(f"{field} is no length of time: {value!r}.", hint=_HINT)
    if not 0 < seconds < math.inf:
        raise InvalidRequest(f"{field} must be more than 0, not {value!r}.", hint=_HINT)
    return seconds


def _read(text: str, *, field: str) -> float:
    total, place = 0.0, 0
    while place < len(text):
        part = _PART.match(text, place)
        # A number without a unit means seconds where it stands alone; within a longer text it would be a slip.
        unit = "" if part is None else part[2] or ("s" if part[0] == text else "")
        if part is None or unit not in _SECONDS:
            raise InvalidRequest(f"{field} is no length of time: {text!r}.", hint=_HINT)
        total += float(part[1]) * _SECONDS[unit]
        place = part.end()
    return total


def in_words(seconds: float) -> str:
    """Return a length of time as `seconds_of` reads it, the largest units first: `1h30m`."""
    if seconds != int(seconds):
        return f"{seconds:g}s"
    left, words = int(seconds), ""
    for unit in ("w", "d", "h", "m", "s"):
        count, left = divmod(left, _SECONDS[unit])
        words += f"{count}{unit}" if count else ""
    return words or "0s"
