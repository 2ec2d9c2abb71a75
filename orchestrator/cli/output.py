"""How commands print values: JSON for programs, words for people."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    Item = dict[str, Any]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

STYLES = {
    "queued": "yellow",
    "in_progress": "blue",
    "completed": "green",
    "published": "green",
    "final": "green",
    "launched": "green",
    "active": "green",
    "listening": "green",
    "failed": "red",
    "stopped": "magenta",
    "skipped": "magenta",
    "paused": "magenta",
    "open": "yellow",
}
"""Colours of words that tell a state, on a terminal."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print the REST records as they are.")


def print_json(value: object) -> None:
    """Print a value as JSON, for people to read and programs to parse."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values of one record, a line each; those without a value are left out."""
    shown = [(name, cell(value)) for name, value in fields]
    shown = [(name, text) for name, text in shown if text]
    width = max((len(name) for name, _ in shown), default=0)
    for name, text in shown:
        click.echo(f"{name.ljust(width)}  {coloured(text, by=text)}")


def when(moment: str | None) -> str:
    """Return a moment of the API as the local time of whoever reads it."""
    if not moment:
        return ""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(moment: str | None) -> str:
    """Return how long ago a moment of the API was, roughly."""
    if not moment:
        return ""
    return f"{span(max(0.0, seconds_since(moment)))} ago"


def expiry(moment: str | None) -> str:
    """Return how long until a moment of the API, roughly; "never" where there is none."""
    if not moment:
        return "never"
    seconds = seconds_since(moment)
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def size(count: int) -> str:
    """Return a number of bytes in the unit that fits it."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004  bytes in a KiB
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def coloured(text: str, *, by: str) -> str:
    """Return a text in the colour of a word that tells a state."""
    return click.style(text, fg=STYLES[by]) if by in STYLES else text


def cell(value: object) -> str:
    """Return what is printed of a value: one line, without control characters."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(item) for item in value)
    # What others typed must not move this terminal's cursor or break a line of the table.
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], str(value))


def seconds_since(moment: str) -> float:
    """Return how many seconds ago a moment of the API was, by this machine's clock; negative where it is to come."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def span(seconds: float) -> str:
    """Return a length of time in the unit that fits it."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
