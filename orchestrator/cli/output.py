"""How commands print: JSON for programs, columns for people."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Item = dict[str, Any]

DEFAULT_LIMIT = 50
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SHORT_ID = 16
"""Digits of an id that a table shows: its millisecond and 12 random bits. Commands take any prefix that is unique."""

STYLES = {
    "queued": "yellow",
    "in_progress": "blue",
    "completed": "green",
    "published": "green",
    "final": "green",
    "launched": "green",
    "active": "green",
    "failed": "red",
    "stopped": "magenta",
    "skipped": "magenta",
    "paused": "magenta",
    "open": "yellow",
}
"""Colours of words that tell a state, on a terminal."""

limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"Most to show; {DEFAULT_LIMIT} where it is not given, all with --json.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the REST records as they are.")


def print_json(value: object) -> None:
    """Print a value as JSON, for people to read and programs to parse."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_list(
    items: Iterable[Item],
    *,
    as_json: bool,
    headings: Sequence[str],
    row: Callable[[Item], Sequence[object]],
    limit: int | None = None,
) -> None:
    """Print a list of records.

    Args:
        items: the records; no more of them are asked for than are shown.
        as_json: print them as they are.
        headings: of the table's columns.
        row: makes the cells of a record.
        limit: most records to show; where there is none, `DEFAULT_LIMIT` in a table, all as JSON.
    """
    if as_json:
        print_json(list(itertools.islice(items, limit)))
        return
    most = limit or DEFAULT_LIMIT
    shown = list(itertools.islice(items, most + 1))
    print_table(headings, rows=[row(item) for item in shown[:most]])
    if len(shown) > most:
        click.echo(f"… and more: --limit N shows N, not {most}.", err=True)


def print_table(headings: Sequence[str], *, rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns: coloured on a terminal, and nothing cut off anywhere."""
    lines = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    widths[-1] = 0
    click.echo(click.style("  ".join(_padded(headings, widths)), bold=True))
    for line in lines:
        cells = zip(line, _padded(line, widths), strict=True)
        click.echo("  ".join(_coloured(cell, by=text) for text, cell in cells))


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values of one record, a line each; those without a value are left out."""
    shown = [(name, _cell(value)) for name, value in fields]
    shown = [(name, text) for name, text in shown if text]
    width = max((len(name) for name, _ in shown), default=0)
    for name, text in shown:
        click.echo(f"{name.ljust(width)}  {_coloured(text, by=text)}")


def short(identifier: str | None) -> str:
    """Return the first digits of an id."""
    return (identifier or "")[:SHORT_ID]


def when(moment: str | None) -> str:
    """Return a moment of the API as the local time of whoever reads it."""
    if not moment:
        return ""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(moment: str | None) -> str:
    """Return how long ago a moment of the API was, roughly."""
    if not moment:
        return ""
    seconds = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def size(count: int) -> str:
    """Return a number of bytes in the unit that fits it."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004  bytes in a KiB
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _padded(texts: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [text.ljust(width) for text, width in zip(texts, widths, strict=True)]


def _coloured(text: str, *, by: str) -> str:
    return click.style(text, fg=STYLES[by]) if by in STYLES else text


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value)
    # What others typed must not move this terminal's cursor or break a line of the table.
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], str(value))
