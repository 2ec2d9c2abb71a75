"""JSON lines: one object a line, block by block."""

from __future__ import annotations

import codecs
import io
import json
import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.json as pj

from orchestrator.profiles.tables import DEPTH, Damaged, TableState, cell, flat
from orchestrator.records.profile import HEAD_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from orchestrator.records.profile import Cell, TableSketch

_BLOCK_BYTES = 4 << 20
_LONGEST_LINE = 64 << 20
_EXPECTED_COLUMNS = 32


def read_json_lines(source: BinaryIO, *, until: float = math.inf) -> tuple[TableSketch, bool]:
    """Profile a file of one JSON object a line.

    Lines that are none are counted and passed over; fields that some lines lack are missing there.

    Args:
        source: read from its start.
        until: when to stop reading, by `time.monotonic`.

    Returns:
        What is kept, and whether rows were left out.

    Raises:
        Damaged: no line is an object, or one is too long to be held.
    """
    state = TableState("jsonl", expected=_EXPECTED_COLUMNS, until=until)
    for block in _blocks(source):
        if not _take_whole(block, state):
            _take_line_by_line(block, state)
        if state.is_late():
            break
    if state.skipped_rows and not state.rows:
        raise Damaged(f"none of its {state.skipped_rows} lines is a JSON object")
    return state.sketch(encoding="utf-8"), state.stopped


def _blocks(source: BinaryIO) -> Iterator[bytes]:
    """Cut a file into pieces that end where a line ends."""
    pending = source.read(_BLOCK_BYTES).removeprefix(codecs.BOM_UTF8)
    while pending:
        end = pending.rfind(b"\n") + 1
        if end:
            yield pending[:end]
            pending = pending[end:]
        if len(pending) > _LONGEST_LINE:
            raise Damaged(f"it has a line of more than {_LONGEST_LINE >> 20} MiB")
        more = source.read(_BLOCK_BYTES)
        if not more:
            break
        pending += more
    if pending.strip():
        yield pending


def _take_whole(block: bytes, state: TableState) -> bool:
    """Take in a block as Arrow reads it; tell whether it can, which asks for one type a field."""
    try:
        block.decode("utf-8")
        table = pj.read_json(
            io.BytesIO(block), read_options=pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
        )
    except (pa.ArrowException, UnicodeDecodeError):
        return False
    if not table.num_columns or len(set(table.column_names)) < table.num_columns:
        return False
    pairs: list[tuple[str, pa.Array]] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        pairs += flat(name, column.combine_chunks())
    if len({name for name, _ in pairs}) < len(pairs):
        return False
    state.add(pairs, rows=table.num_rows)
    return True


def _take_line_by_line(block: bytes, state: TableState) -> None:
    fields: dict[str, dict[str, list[Any]]] = {}
    head: dict[str, list[Cell]] = {}
    rows = 0
    for line in block.splitlines():
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            state.skipped_rows += 1
            continue
        for name, value in _flat(record):
            kind, stored = _typed(value)
            fields.setdefault(name, {}).setdefault(kind, []).append(stored)
            if rows < HEAD_ROWS:
                cells = head.setdefault(name, [])
                cells += [None] * (rows - len(cells))
                cells[rows:] = [cell(value)]
        rows += 1
    for cells in head.values():
        cells.extend([None] * (min(rows, HEAD_ROWS) - len(cells)))
    pairs = [
        (name, pa.array(values, type=_ARROW[kind])) for name, kinds in fields.items() for kind, values in kinds.items()
    ]
    state.add(pairs, rows=rows, head=head)


def _flat(record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Take objects within objects apart, as `tables.flat` does with structs."""
    flat_fields: dict[str, Any] = {}
    pending = [(name, value, 1) for name, value in reversed(record.items())]
    while pending:
        name, value, depth = pending.pop()
        if isinstance(value, dict) and value and depth <= DEPTH:
            pending += [(f"{name}.{inner}", item, depth + 1) for inner, item in reversed(value.items())]
        else:
            flat_fields[name] = value
    yield from flat_fields.items()


_ARROW = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "list": pa.list_(pa.null()),
    "struct": pa.struct([]),
}


def _typed(value: object) -> tuple[str, object]:
    """Return under which type a value is counted, and what is counted: what stands in lists is not."""
    match value:
        case None | bool():
            return ("null" if value is None else "boolean"), value
        case int():
            return ("integer", value) if -(2**63) <= value < 2**63 else ("float", _double(value))
        case float():
            return "float", value
        case str():
            return "string", value.encode("utf-8", "replace").decode("utf-8")  # JSON can spell lone surrogates
        case list():
            return "list", []
        case _:
            return "struct", {}


def _double(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


__all__ = ["read_json_lines"]
