"""CSV files of any common dialect, block by block."""

from __future__ import annotations

import codecs
import csv
import io
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pv

from orchestrator.profiles.encodings import UTF_16, decodes
from orchestrator.profiles.tables import Damaged, TableState, unique_names

if TYPE_CHECKING:
    from typing import BinaryIO, Literal

    from orchestrator.records.profile import TableSketch

_SAMPLE_BYTES = 1 << 20
_SAMPLE_ROWS = 50
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 2 << 20
_LARGE_BLOCK_BYTES = 64 << 20
_DELIMITERS = ",;\t|"


def read_csv(source: BinaryIO, *, whole: bool = True, until: float = math.inf) -> tuple[TableSketch, bool]:
    """Profile a CSV file.

    Delimiter, encoding and whether the first row is a header are found out; rows with too many or too few cells are
    counted and passed over.

    Args:
        source: seekable.
        whole: false where the file goes on behind the source's end.
        until: when to stop reading, by `time.monotonic`.

    Returns:
        What is kept, and whether rows were left out.

    Raises:
        Damaged: the file is no text, or cannot be cut into rows.
    """
    encoding, balanced = _encoding(source, whole=whole)
    source.seek(0)
    raw = source.read(_SAMPLE_BYTES)
    sample = raw.decode(encoding, errors="ignore").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    if "\0" in sample:
        raise Damaged("it holds NUL bytes, which no text does")
    delimiter, rows = _dialect(sample, whole=len(raw) < _SAMPLE_BYTES, quoted=balanced)
    if not rows:
        raise Damaged("it holds no row")
    width = Counter(map(len, rows[1:] or rows)).most_common(1)[0][0]
    has_header = not any(_is_number(text) for text in rows[0])
    given = [*rows[0], *[""] * width][:width] if has_header else [""] * width
    names = unique_names([name if balanced else name.strip('"') for name in given])
    options = {"column_names": names, "skip_rows_after_names": int(has_header), "encoding": encoding}
    # A quote too many makes one cell of all that follows it: then without quotes, if more rows are read like this.
    states = [
        _read_in_blocks(source, options, parse=pv.ParseOptions(delimiter=delimiter, quote_char=quote), until=until)
        for quote in (('"',) if balanced else ('"', False))
    ]
    state = max(states, key=lambda state: state.rows)
    if state.skipped_rows and not state.rows:
        raise Damaged(f"none of its {state.skipped_rows} rows has {width} cells as most of the first ones have")
    return state.sketch(encoding=encoding, delimiter=delimiter), state.stopped


def _read_in_blocks(source: BinaryIO, options: dict[str, Any], *, parse: pv.ParseOptions, until: float) -> TableState:
    """Read with small blocks, and where a row is longer than one with large ones."""
    parse.newlines_in_values = bool(parse.quote_char)
    for block_bytes in (_BLOCK_BYTES, _LARGE_BLOCK_BYTES):
        source.seek(0)
        try:
            read = pv.ReadOptions(**options, block_size=block_bytes, use_threads=False)
            return _read(source, read=read, parse=parse, until=until)
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error):
                raise
            reason = error
    raise Damaged(f"it has a row of more than {_LARGE_BLOCK_BYTES >> 20} MiB") from reason


def _read(source: BinaryIO, *, read: pv.ReadOptions, parse: pv.ParseOptions, until: float) -> TableState:
    names = read.column_names
    state = TableState("csv", expected=len(names), until=until)
    state.add([(name, pa.array([], pa.string())) for name in names], rows=0, texts=True)  # also where no row follows

    def skipped(row: Any) -> str:  # noqa: ANN401, ARG001  what Arrow hands over has no public type
        state.skipped_rows += 1
        return "skip"

    parse.invalid_row_handler = skipped
    reader = pv.open_csv(
        source,
        read_options=read,
        parse_options=parse,
        convert_options=pv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True),
    )
    with reader:
        for batch in reader:
            state.add(zip(names, batch.columns, strict=True), rows=batch.num_rows, texts=True)
            if state.is_late():
                break
    return state


def _encoding(source: BinaryIO, *, whole: bool) -> tuple[str, bool]:
    """Return how a file's text is encoded, and whether its quotes come in pairs.

    The encoding is what the file's mark says, else UTF-8 where all of it is, else Latin-1.
    """
    source.seek(0)
    chunk = source.read(_CHUNK_BYTES)
    if chunk.startswith(UTF_16):
        return "utf-16", True
    decoder = codecs.getincrementaldecoder("utf-8")()
    valid, quotes = True, 0
    while chunk:
        quotes += chunk.count(b'"')
        valid = valid and decodes(decoder, chunk)
        chunk = source.read(_CHUNK_BYTES)
    valid = valid and decodes(decoder, b"", final=whole)
    return "utf-8" if valid else "latin-1", not whole or quotes % 2 == 0


def _dialect(sample: str, *, whole: bool, quoted: bool) -> tuple[str, list[list[str]]]:
    """Return the delimiter that cuts most rows into the same number of cells, and the first rows."""
    best: tuple[tuple[float, int], str, list[list[str]]] = ((0.0, 0), ",", [])
    for delimiter in _DELIMITERS:
        rows = _first_rows(sample, delimiter=delimiter, whole=whole, quoted=quoted)
        if not rows:
            continue
        width, count = Counter(map(len, rows)).most_common(1)[0]
        score = (count / len(rows) if width > 1 else 0.0, width)
        if score > best[0]:
            best = (score, delimiter, rows)
    return best[1], best[2]


def _first_rows(sample: str, *, delimiter: str, whole: bool, quoted: bool) -> list[list[str]]:
    rows: list[list[str]] = []
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    try:
        for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, quoting=quoting):
            if row:
                rows.append(row)
            if len(rows) > _SAMPLE_ROWS:
                return rows[:_SAMPLE_ROWS]
    except csv.Error:  # a cell longer than the limit of the standard library: the rows before it tell enough
        return rows
    return rows if whole or len(rows) == 1 else rows[:-1]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


__all__ = ["read_csv"]
