"""Tables for people: everything in full where it is read later, one line a row on a terminal."""

from __future__ import annotations

import itertools
import re
import shutil
import sys
from typing import TYPE_CHECKING

import click

from orchestrator.cli.output import cell, coloured, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Item = dict[str, Any]

DEFAULT_LIMIT = 50
_ID = re.compile(r"^[0-9a-f]{32}$")
_SHORT_ID = 13
"""Fewest digits of an id that a terminal shows: its millisecond. Commands take any beginning that is unique."""
_GAP = "  "
_NARROWEST = 8
"""No cell is cut to less than this."""

Lines = list[list[str]]

limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"Most to show; {DEFAULT_LIMIT} where it is not given, all with --json.",
)


def print_list(
    items: Iterable[Item],
    *,
    as_json: bool,
    headings: Sequence[str],
    row: Callable[[Item], Sequence[object]],
    limit: int | None = None,
    expendable: Sequence[str] = (),
) -> None:
    """Print a list of records.

    Args:
        items: the records; no more of them are asked for than are shown.
        as_json: print them as they are.
        headings: of the table's columns.
        row: makes the cells of a record.
        limit: most records to show; where there is none, `DEFAULT_LIMIT` in a table, all as JSON.
        expendable: as for `print_table`.
    """
    if as_json:
        print_json(list(itertools.islice(items, limit)))
        return
    most = limit or DEFAULT_LIMIT
    shown = list(itertools.islice(items, most + 1))
    print_table(headings, rows=[row(item) for item in shown[:most]], expendable=expendable)
    if len(shown) > most:
        click.echo(f"… and more: --limit N shows N, not {most}.", err=True)


def print_table(headings: Sequence[str], *, rows: Iterable[Sequence[object]], expendable: Sequence[str] = ()) -> None:
    """Print aligned columns, coloured on a terminal.

    Args:
        headings: of the columns.
        rows: their cells.
        expendable: headings of columns that a narrow terminal can do without, the first to go first. Where there are
            some, a terminal shows one line a row; elsewhere, and where there are none, nothing is left out or cut.
    """
    lines = [list(headings), *([cell(value) for value in row] for row in rows)]
    if expendable and sys.stdout.isatty():
        lines = fit(lines, expendable=expendable, width=shutil.get_terminal_size().columns)
    widths = _widths(lines)
    widths[-1] = 0
    for number, line in enumerate(lines):
        padded = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
        if number == 0:
            click.secho(_GAP.join(padded), bold=True)
        else:
            click.echo(_GAP.join(coloured(text, by=by) for text, by in zip(padded, line, strict=True)))


def fit(lines: Lines, *, expendable: Sequence[str], width: int) -> Lines:
    """Return a table of which every row fits a line.

    Ids are shortened first, then columns left out, then the widest cells cut.

    Args:
        lines: headings and rows, all of one length.
        expendable: headings of columns that may go, the first to go first.
        width: of the terminal, in characters.
    """
    columns = [_shortened(list(column)) for column in zip(*lines, strict=True)]
    for heading in expendable:
        if _total(columns) <= width:
            break
        columns = [column for column in columns if column[0] != heading]
    while (excess := _total(columns) - width) > 0:
        widest = max(columns, key=_width)
        most = max(_NARROWEST, _width(widest) - excess)
        if most == _width(widest):
            break
        widest[:] = [text if len(text) <= most else f"{text[: most - 1]}…" for text in widest]
    return [list(line) for line in zip(*columns, strict=True)]


def _shortened(column: list[str]) -> list[str]:
    """Return a column whose ids are as short as they can be and stay unique; of other columns, the column."""
    ids = {text for text in column[1:] if text}
    if not ids or not all(map(_ID.match, ids)):
        return column
    ordered = sorted(ids)
    digits = max([_SHORT_ID, *(_common(one, other) + 1 for one, other in itertools.pairwise(ordered))])
    return [column[0], *(text[:digits] for text in column[1:])]


def _common(one: str, other: str) -> int:
    return next(place for place, (left, right) in enumerate(zip(one, other, strict=True)) if left != right)


def _width(column: Sequence[str]) -> int:
    return max(map(len, column))


def _widths(lines: Lines) -> list[int]:
    return [_width(column) for column in zip(*lines, strict=True)]


def _total(columns: Sequence[Sequence[str]]) -> int:
    return sum(map(_width, columns)) + len(_GAP) * (len(columns) - 1)
