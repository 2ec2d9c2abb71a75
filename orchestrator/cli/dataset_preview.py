"""`retrain dataset preview`: statistics of versions, and what changed in them, as lines for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import find_dataset
from orchestrator.cli.output import cell, json_option, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Item = dict[str, Any]

_BARS = "▁▂▃▄▅▆▇█"
_SHORT, _LONG = 10**4, 10**15
"""Numbers between the two are written out, others with four digits."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_COLUMNS = 50
_NAME_WIDTH = 32
_CELL_WIDTH = 16
_HEAD_COLUMNS = 8
_HEAD_ROWS = 5
_TOP = 5
_ERRORS = 10
_NUMERIC = {"integer", "float", "time", "duration", "mixed"}
_GAP = "  "


@click.command()
@click.argument("name", metavar="DATASET")
@click.argument("against", metavar="[DATASET]", required=False)
@click.option("--changes", is_flag=True, help="Compare with another version, by default the first parent.")
@json_option
def preview(*, name: str, against: str | None, changes: bool, as_json: bool) -> None:
    """Show statistics of a version's files, or how they differ from another version's."""
    comparing = changes or against is not None
    with connected() as client:
        found = find_dataset(client, name)
        if comparing:
            other = find_dataset(client, against)["id"] if against is not None else None
            answer = client.get(f"/datasets/{found['id']}/profile/compare", against=other)
        else:
            answer = client.get(f"/datasets/{found['id']}/profile")
    if as_json:
        print_json(answer)
        return
    for line in comparison_lines(answer) if comparing else profile_lines(answer):
        click.echo(line)


def sparkline(counts: Sequence[float]) -> str:
    """Return counts as bars of eighths of a line's height; what is not nothing is seen, nothing is a blank."""
    highest = max(counts, default=0)
    steps = len(_BARS) - 1
    return "".join(_BARS[round(count / highest * steps)] if count > 0 else " " for count in counts)


def profile_lines(profile: Item) -> Iterator[str]:
    """Describe a version's files.

    Args:
        profile: a DatasetProfile as the REST API returns it.
    """
    partial = "; limits cut something off" if profile["partial"] else ""
    yield f"{_files(profile['files'])}, {profile['profiled_files']:,} with statistics{partial}"
    for table in profile["tables"]:
        yield ""
        yield from _table_lines(table)
    for lines in (_image_lines(profile), _audio_lines(profile), _text_lines(profile)):
        yield from lines
    if profile["other"]:
        yield ""
        yield f"Other files: {_counts(profile['other'])}"
    if profile["errors"]:
        yield ""
        yield f"{_files(profile['error_count'])} without statistics:"
        yield from (f"  {cell(item['path'])}: {cell(item['why'])}" for item in profile["errors"][:_ERRORS])
        if profile["error_count"] > _ERRORS:
            yield f"  … and {profile['error_count'] - _ERRORS:,} more"


def _table_lines(table: Item) -> Iterator[str]:
    skipped = f", {table['skipped_rows']:,} could not be read" if table["skipped_rows"] else ""
    yield f"Table of {table['rows']:,} rows in {_files(table['files'])} ({', '.join(table['formats'])}){skipped}"
    rows: list[tuple[str, ...]] = [
        ("column", "type", "missing", "distinct", "min", "median", "max", "mean", "std", "distribution")
    ]
    rows += [_column_row(column) for column in table["columns"][:_MOST_COLUMNS]]
    yield from _aligned(rows)
    left = len(table["columns"]) - _MOST_COLUMNS
    if left > 0:
        yield f"  … and {left:,} more columns"
    if table["columns_left_out"]:
        yield f"  {table['columns_left_out']:,} further columns have no statistics"
    if table["head"]:
        yield f"First rows of {cell(table['first_path'])}"
        names = [column["name"] for column in table["columns"]]
        yield from _aligned([_short(row) for row in (names, *table["head"][:_HEAD_ROWS])])


def _column_row(column: Item) -> tuple[str, ...]:
    kind = column["type"]
    numeric = kind in _NUMERIC and column["measured"]
    shown = [_value(value, kind=kind) for value in (column["min"], column["quantiles"].get("q50"), column["max"])]
    return (
        _cut(column["name"], _NAME_WIDTH),
        kind,
        _percent(column["missing_share"]),
        f"{column['distinct']:,}",
        *(shown if numeric else ("", "", "")),
        _value(column["mean"], kind=kind) if numeric else "",
        _value(column["std"], kind="duration" if kind == "time" else kind) if numeric else "",
        _shape(column),
    )


def _shape(column: Item) -> str:
    """Return the picture of a column: its most frequent values where it has categories, else its histogram."""
    if column["top"] and column["type"] != "integer":
        shown = column["top"][:_TOP]
        rest = f" … {column['distinct']:,} in all" if column["distinct"] > len(shown) else ""
        return ", ".join(f"{_cut(item['value'], _CELL_WIDTH)} ({item['count']:,})" for item in shown) + rest
    return sparkline(column["histogram"]["counts"]) if column["histogram"] else ""


def _image_lines(profile: Item) -> Iterator[str]:
    images = profile["images"]
    if not images:
        return
    yield ""
    yield f"{_files(images['files'], noun='image')}: {_counts(images['formats'])}; modes {_counts(images['modes'])}"
    rows = [_measure_row(name, images[name]) for name in ("width", "height", "brightness")]
    yield from _aligned([_MEASURES, *rows])


def _audio_lines(profile: Item) -> Iterator[str]:
    audio = profile["audio"]
    if not audio:
        return
    yield ""
    yield (
        f"{_files(audio['files'], noun='sound file')}, {_duration(audio['duration_seconds'])}: "
        f"{_counts(audio['formats'])}; Hz {_counts(audio['sample_rates'])}; channels {_counts(audio['channels'])}"
    )
    yield from _aligned([_MEASURES, _measure_row("duration", audio["duration"], kind="duration")])


def _text_lines(profile: Item) -> Iterator[str]:
    texts = profile["texts"]
    if not texts:
        return
    yield ""
    yield (
        f"{_files(texts['files'], noun='text')}: {texts['lines']:,} lines, {texts['words']:,} words, "
        f"{texts['characters']:,} characters; {_counts(texts['encodings'])}"
    )
    yield from _aligned([_MEASURES, _measure_row("words a file", texts["words_per_file"])])


_MEASURES = ("", "min", "median", "max", "mean", "std", "distribution")


def _measure_row(name: str, measure: Item, *, kind: str = "float") -> tuple[str, ...]:
    values = (measure["min"], measure["quantiles"].get("q50"), measure["max"], measure["mean"], measure["std"])
    bars = sparkline(measure["histogram"]["counts"]) if measure["histogram"] else ""
    return (name, *(_value(value, kind=kind) for value in values), bars)


def comparison_lines(comparison: Item) -> Iterator[str]:
    """Describe what changed between two versions' files.

    Args:
        comparison: a ProfileComparison as the REST API returns it.
    """
    partial = "; a part of them was not read" if comparison["partial"] else ""
    yield (
        f"Change: {comparison['verdict']}. {_files(comparison['files'])}, "
        f"{comparison['reference_files']:,} in the reference{partial}"
    )
    for table in comparison["tables"]:
        yield ""
        yield (
            f"Table of {table['rows']:,} rows, {table['reference_rows']:,} in the reference "
            f"({table['rows'] - table['reference_rows']:+,}): {table['verdict']}"
        )
        ordered = sorted(table["columns"], key=lambda column: -_SEVERITY[column["verdict"]])  # stable: else in order
        rows = [("column", "change", "missing", "mean shift", "PSI", "KS", "V", "note")]
        yield from _aligned([*rows, *(_comparison_row(column) for column in ordered[:_MOST_COLUMNS])])
        if len(ordered) > _MOST_COLUMNS:
            yield f"  … and {len(ordered) - _MOST_COLUMNS:,} more columns"
    for field, word in (("added_tables", "New"), ("removed_tables", "Gone")):
        for names in comparison[field]:
            yield ""
            yield f"{word}: table with the columns {_cut(', '.join(map(cell, names)), 100)}"
    if comparison["measures"]:
        yield ""
        head = ("measure", "change", "mean shift", "PSI", "KS", "V")
        yield from _aligned([head, *(_drift_row(measure) for measure in comparison["measures"])])


_SEVERITY = {"same": 0, "small": 1, "large": 2}


def _comparison_row(column: Item) -> tuple[str, ...]:
    change = column["missing_share_change"]
    name, verdict, *drift = _drift_row(column)
    return (name, verdict, "" if change is None else f"{100 * change:+.1f} %", *drift, _note(column))


def _drift_row(item: Item) -> tuple[str, ...]:
    shift = item["mean_shift"]
    return (
        _cut(item["name"], _NAME_WIDTH),
        item["verdict"],
        "" if shift is None else f"{shift:+.2f} std",
        *("" if item[name] is None else f"{item[name]:.3f}" for name in ("psi", "ks", "cramers_v")),
    )


def _note(column: Item) -> str:
    match column["change"]:
        case "added":
            return f"new, {column['type']}"
        case "removed":
            return f"gone, was {column['reference_type']}"
        case "type_changed":
            return f"was {column['reference_type']}, is {column['type']}"
        case _:
            return "times are later in newer data" if column["type"] == "time" else ""


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        yield f"{_GAP}{_GAP.join(padded)}".rstrip()


def _short(row: Sequence[object]) -> list[str]:
    shown = [_cut(value, _CELL_WIDTH) for value in row[:_HEAD_COLUMNS]]
    return [*shown, "…"] if len(row) > _HEAD_COLUMNS else shown


def _cut(value: object, characters: int) -> str:
    text = cell(value)
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _counts(counts: Item) -> str:
    return ", ".join(f"{cell(name) or 'no suffix'} {count:,}" for name, count in counts.items())


def _files(count: int, *, noun: str = "file") -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _percent(share: float) -> str:
    return "" if not share else f"{100 * share:.1f} %"


def _value(value: float | str | None, *, kind: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):  # how JSON spells infinities
        return value
    if kind == "time":
        return _time(value)
    if kind == "duration":
        return _duration(value)
    if isinstance(value, int) and abs(value) < _LONG:
        return f"{value:,}"
    return f"{value:,.0f}" if _SHORT <= abs(value) < _LONG else f"{value:.4g}"


def _time(seconds: float) -> str:
    """Return a moment in UTC; as a number where no calendar has it."""
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return f"{seconds:.4g} s"
    return f"{moment:%Y-%m-%d}" if not seconds % 86_400 else f"{moment:%Y-%m-%d %H:%M}"


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.3g} s"


__all__ = ["comparison_lines", "preview", "profile_lines", "sparkline"]
