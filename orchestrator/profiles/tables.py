"""What the readers of tables share: the state of a table, names of columns, first rows."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from orchestrator.profiles.columns import ColumnState, plain
from orchestrator.profiles.sketches import Detail
from orchestrator.records.profile import HEAD_ROWS, TableSketch, cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Literal

    from orchestrator.records.profile import Cell

MAX_COLUMNS = 1000
"""A table's further columns are counted, no more."""
HEAD_COLUMNS = 100
DEPTH = 3
"""Structs within structs are taken apart so deep."""


class Damaged(Exception):
    """A file cannot be read; the message says why."""


class TableState:
    """What is known of a table so far, whose columns may come one after the other.

    Args:
        kind: how the file is written.
        expected: how many columns there will be, about: many of them get smaller sketches.
        until: when to stop reading, by `time.monotonic`.
    """

    def __init__(self, kind: Literal["csv", "parquet", "jsonl"], *, expected: int, until: float = math.inf) -> None:
        self._kind = kind
        self._until = until
        self._detail = Detail(expected)
        self._columns: dict[str, ColumnState] = {}
        self._left_out: set[str] = set()
        self._head: dict[str, list[Cell]] = {}
        self.rows = 0
        self.skipped_rows = 0
        self.stopped = False

    def is_late(self) -> bool:
        """Tell whether it is time to stop; the table is then known in part."""
        self.stopped = self.stopped or monotonic() > self._until
        return self.stopped

    def column(self, name: str) -> ColumnState | None:
        """Return the state of a column; None for those beyond the limit."""
        state = self._columns.get(name)
        if state is None:
            if len(self._columns) >= MAX_COLUMNS:
                self._left_out.add(name)
                return None
            state = self._columns[name] = ColumnState(cut(name), detail=self._detail)
        return state

    def add(
        self,
        columns: Iterable[tuple[str, pa.Array]],
        *,
        rows: int,
        texts: bool = False,
        head: dict[str, list[Cell]] | None = None,
    ) -> None:
        """Take in a batch of rows.

        Args:
            columns: names and values; values of several types come under the same name one after the other. What a
                column has less than there are rows is missing.
            rows: how many there are.
            texts: the values are texts that may be numbers, times or booleans.
            head: the first rows' cells by column; where it is not given, those of the arrays.
        """
        wants_head = not self.rows
        for name, array in columns:
            state = self.column(name)
            if state is None:
                continue
            if wants_head and head is None and len(self._head) < HEAD_COLUMNS:
                self._head[name] = [cell(value) for value in array.slice(0, HEAD_ROWS).to_pylist()]
            if texts:
                state.update_texts(array)
            elif self._kind == "jsonl" and pa.types.is_string(array.type):
                state.update_texts(array, numbers=False)
            else:
                state.update(array)
        if wants_head and head is not None:
            self._head = dict(islice(head.items(), HEAD_COLUMNS))
        self.rows += rows
        for state in self._columns.values():
            state.add_missing(self.rows - state.rows)

    def sketch(self, *, encoding: str | None = None, delimiter: str | None = None) -> TableSketch:
        """Return what is kept of the table."""
        return TableSketch(
            format=self._kind,
            rows=self.rows,
            skipped_rows=self.skipped_rows,
            columns=tuple(state.sketch() for state in self._columns.values()),
            columns_left_out=len(self._left_out),
            head=self._rows_of_head(),
            encoding=encoding,
            delimiter=delimiter,
        )

    def _rows_of_head(self) -> tuple[tuple[Cell, ...], ...]:
        """Return the first rows, their cells in the order of the columns."""
        rows = max(map(len, self._head.values()), default=0)
        nothing: list[Cell] = [None] * rows
        shown = [self._head.get(name, nothing) for name in islice(self._columns, HEAD_COLUMNS)]
        return tuple(zip(*shown, strict=True))


def unique_names(names: Sequence[str]) -> list[str]:
    """Return names of which each occurs once: `a, a, ""` becomes `a, a.1, column_3`, as pandas has it."""
    used: set[str] = set()
    seen: Counter[str] = Counter()
    result: list[str] = []
    wanted = [name or f"column_{place}" for place, name in enumerate(names, start=1)]
    kept = set(wanted)
    for name in wanted:
        free = name
        while free in used or (free != name and free in kept):
            seen[name] += 1
            free = f"{name}.{seen[name]}"
        used.add(free)
        result.append(free)
    return result


def flat(name: str, array: pa.Array, *, depth: int = DEPTH) -> Iterable[tuple[str, pa.Array]]:
    """Take structs apart into columns named `outer.inner`."""
    array = plain(array)
    if not (depth and pa.types.is_struct(array.type) and array.type.num_fields):
        yield name, array
        return
    for field, inner in zip(array.type, array.flatten(), strict=True):
        yield from flat(f"{name}.{field.name}", inner, depth=depth - 1)


def cell(value: Any) -> Cell:  # noqa: ANN401  whatever stands in a table
    """Return what is shown of a value in the first rows."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes() | str():
            return cut(value) if isinstance(value, str) else f"{len(value)} bytes"
        case datetime() | date() | time() | Decimal() | timedelta():
            return str(value)
        case _:
            return cut(json.dumps(value, ensure_ascii=False, default=cell))


__all__ = ["DEPTH", "HEAD_COLUMNS", "MAX_COLUMNS", "Damaged", "TableState", "cell", "flat", "unique_names"]
