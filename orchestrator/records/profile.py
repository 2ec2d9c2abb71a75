"""What is known of dataset files without opening them: statistics that can be merged, and what people read of them.

A `FileProfile` is kept per blob and is made once: it holds sketches, so that the profile of a version, a
`DatasetProfile`, comes from merging those of its files. What a DatasetProfile holds is enough to compare two of them
(`records.drift`) without a sketch.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Literal, cast

from pydantic import Field

from orchestrator.records.base import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

PROFILER = 1
"""Counts up when files are profiled otherwise than before; profiles of another number are made anew."""

HEAD_ROWS = 10
CELL_CHARACTERS = 200
"""Longest text of a cell, a line or a name that is kept; what is longer ends in `…`."""
TOP_VALUES = 50
BINS = 20
CDF_POINTS = 101
QUANTILES = {"q01": 0.01, "q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95, "q99": 0.99}
FEW_VALUES = 50
"""An integer column with at most so many different values is read as categories, too."""

Cell = bool | int | float | str | None

ColumnType = Literal[
    "boolean", "integer", "float", "time", "duration", "string", "list", "struct", "binary", "mixed", "null"
]
"""`time` is a date or a moment, counted in seconds since 1970-01-01T00:00Z; `duration` is in seconds, as is a time of
day; `mixed` holds values of more than one kind; `null` holds none at all."""


class FileKind(StrEnum):
    """What a file is read as."""

    TABLE = "table"
    IMAGE = "image"
    AUDIO = "audio"
    TEXT = "text"
    OTHER = "other"  # its size is all that is known


class Moments(Record):
    """Numbers of one column, mergeable: mean and m2 as Chan, Golub, LeVeque (1979) have it, and a KLL sketch."""

    count: int = Field(ge=0)
    """Finite numbers, which all other fields but `infinite` are of."""
    infinite: int = Field(default=0, ge=0)
    min: int | float | None = None
    max: int | float | None = None
    mean: float = 0.0
    m2: float = 0.0
    """Sum of squared differences from the mean."""
    sketch: str
    """Quantiles: a KLL sketch of doubles, deflated, in base 64."""


class ColumnSketch(Record):
    """One column of one file."""

    name: str
    types: dict[str, int] = Field(default_factory=dict)
    """How many values there are of each type, missing ones not among them."""
    missing: int = Field(default=0, ge=0)
    """Nulls, empty cells of a CSV file, the words that stand for them (NA, null, …), not-a-numbers."""
    numbers: Moments | None = None
    times: Moments | None = None
    """Of times and durations, in seconds."""
    distinct: str
    """An HLL sketch, deflated, in base 64."""
    values: str | None = None
    """A frequent-strings sketch, deflated, in base 64: of texts and booleans."""
    labels: str | None = None
    """The same of integers."""


class TableSketch(Record):
    """A file that is a table."""

    format: Literal["csv", "parquet", "jsonl"]
    rows: int = Field(ge=0)
    skipped_rows: int = Field(default=0, ge=0)
    """Rows that could not be read: with too many or too few cells, lines that are no JSON object."""
    columns: tuple[ColumnSketch, ...] = ()
    columns_left_out: int = Field(default=0, ge=0)
    head: tuple[tuple[Cell, ...], ...] = ()
    encoding: str | None = None
    delimiter: str | None = None


class ImageFacts(Record):
    """A file that is an image."""

    format: str
    mode: str
    """As Pillow names it: L, RGB, RGBA, P, CMYK, I;16 …"""
    width: int = Field(ge=0)
    height: int = Field(ge=0)
    brightness: float | None = Field(default=None, ge=0, le=1)
    """Mean of its grey values, 0 black, 1 white; None where the image is too large to decode."""
    thumbnail: str | None = None
    """A data URI of a JPEG or PNG of at most 96 by 96 pixels."""


class AudioFacts(Record):
    """A file that is sound."""

    format: str
    duration_seconds: float = Field(ge=0)
    sample_rate: int | None = None
    """Samples a second."""
    channels: int | None = None


class TextFacts(Record):
    """A file that is text."""

    encoding: str | None
    """None where bytes stand in it that no Unicode encoding makes; they are counted as one character each."""
    lines: int = Field(ge=0)
    words: int = Field(ge=0)
    characters: int = Field(ge=0)
    head: tuple[str, ...] = ()


class FileProfile(Record):
    """What is kept of one file's bytes."""

    profiler: int = PROFILER
    kind: FileKind
    size_bytes: int = Field(ge=0)
    partial: bool = False
    """Only a part of the file was read."""
    error: str | None = None
    """Why there is no more to say: the file is damaged, or not what its name says."""
    transient: bool = False
    """The error may be of this machine or moment, such as a time-out, and not of the file: it is not to be kept."""
    table: TableSketch | None = None
    image: ImageFacts | None = None
    audio: AudioFacts | None = None
    text: TextFacts | None = None


class Histogram(Record):
    """Values between edges: `counts[i]` lie from `edges[i]`, included, to `edges[i + 1]`, included in the last one."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Distribution(Record):
    """How numbers lie; of times in seconds since 1970."""

    measured: int = Field(default=0, ge=0)
    """How many finite numbers it is of."""
    infinite: int = Field(default=0, ge=0)
    min: int | float | None = None
    max: int | float | None = None
    mean: float | None = None
    std: float | None = None
    """Standard deviation of the sample (divided by n - 1)."""
    quantiles: dict[str, float] = Field(default_factory=dict)
    """q01 … q99, within 1.4 % of the rank that is asked for (a KLL sketch with k = 200), exact below 200 values."""
    cdf: tuple[float, ...] = ()
    """The quantiles 0 %, 1 % … 100 %."""
    histogram: Histogram | None = None


class ValueCount(Record):
    """A value and how often it occurs; a count of a column with many different values may be a few too low."""

    value: str
    count: int = Field(ge=0)


class Column(Distribution):
    """One column of a version's table; the fields of `Distribution` are of its numbers or times."""

    name: str
    type: ColumnType
    types: dict[str, int] = Field(default_factory=dict)
    """Of a `mixed` column: values of each type."""
    count: int = Field(ge=0)
    """Values that are not missing."""
    missing: int = Field(default=0, ge=0)
    missing_share: float = Field(default=0.0, ge=0, le=1)
    distinct: int = Field(default=0, ge=0)
    """About how many different values: an estimate with a standard error of 2.3 %, good below a few hundred."""
    top: tuple[ValueCount, ...] = ()
    """The most frequent values, of texts, booleans and integers with few different ones."""


class TableProfile(Record):
    """All files of a version that are tables with the same columns, as one table."""

    columns: tuple[Column, ...]
    files: int = Field(ge=0)
    rows: int = Field(ge=0)
    skipped_rows: int = Field(default=0, ge=0)
    columns_left_out: int = Field(default=0, ge=0)
    formats: dict[str, int] = Field(default_factory=dict)
    first_path: str
    head: tuple[tuple[Cell, ...], ...] = ()
    """First rows of the file at `first_path`, of up to 100 columns."""


class Thumbnail(Record):
    """A small picture of an image."""

    path: str
    uri: str


class ImagesProfile(Record):
    """All images of a version."""

    files: int = Field(ge=0)
    formats: dict[str, int] = Field(default_factory=dict)
    modes: dict[str, int] = Field(default_factory=dict)
    width: Distribution
    height: Distribution
    brightness: Distribution
    thumbnails: tuple[Thumbnail, ...] = ()
    """Of a few files drawn by a hash of their paths: the same ones of every version that has them."""


class AudioProfile(Record):
    """All sound files of a version."""

    files: int = Field(ge=0)
    formats: dict[str, int] = Field(default_factory=dict)
    sample_rates: dict[str, int] = Field(default_factory=dict)
    channels: dict[str, int] = Field(default_factory=dict)
    duration_seconds: float = Field(ge=0)
    duration: Distribution


class TextsProfile(Record):
    """All texts of a version."""

    files: int = Field(ge=0)
    encodings: dict[str, int] = Field(default_factory=dict)
    lines: int = Field(ge=0)
    words: int = Field(ge=0)
    characters: int = Field(ge=0)
    words_per_file: Distribution
    first_path: str
    head: tuple[str, ...] = ()


class FileError(Record):
    """A file without a profile, and why."""

    path: str
    why: str


class DatasetProfile(Record):
    """What people and gates read of a version's files."""

    profiler: int = PROFILER
    files: int = Field(default=0, ge=0)
    size_bytes: int = Field(default=0, ge=0)
    """Of those files that were looked at."""
    profiled_files: int = Field(default=0, ge=0)
    """Files that were read without an error; those of a kind that is not read are not among them."""
    partial: bool = False
    """Limits cut something off: files, a part of a large file, columns."""
    tables: tuple[TableProfile, ...] = ()
    """The ones with the most rows first."""
    images: ImagesProfile | None = None
    audio: AudioProfile | None = None
    texts: TextsProfile | None = None
    other: dict[str, int] = Field(default_factory=dict)
    """Files of other kinds by their suffix."""
    error_count: int = Field(default=0, ge=0)
    errors: tuple[FileError, ...] = ()
    """Some of the files with errors."""


def column_type(types: Mapping[str, int]) -> ColumnType:
    """Return the type of a column that has so many values of each type."""
    present = {name for name, count in types.items() if count}
    if not present:
        return "null"
    if present == {"integer", "float"}:
        return "float"
    if len(present) > 1:
        return "mixed"
    return cast("ColumnType", present.pop())  # the profiler counts under these names only


def suffix_of(name: str) -> str:
    """Return the end of a file's name that tells its kind, in lower case, such as `.csv`; "" where it has none.

    A blob's profile depends on its bytes and on this: cache it by both.
    """
    base = name.rsplit("/", 1)[-1]
    stem, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if dot and stem and len(suffix) <= 16 else ""  # noqa: PLR2004  longer is no suffix


def cut(text: str, *, characters: int = CELL_CHARACTERS) -> str:
    """Return a text that is not longer than so many characters."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


__all__ = [
    "BINS",
    "CDF_POINTS",
    "FEW_VALUES",
    "HEAD_ROWS",
    "PROFILER",
    "QUANTILES",
    "TOP_VALUES",
    "AudioFacts",
    "AudioProfile",
    "Cell",
    "Column",
    "ColumnSketch",
    "ColumnType",
    "DatasetProfile",
    "Distribution",
    "FileError",
    "FileKind",
    "FileProfile",
    "Histogram",
    "ImageFacts",
    "ImagesProfile",
    "Moments",
    "TableProfile",
    "TableSketch",
    "TextFacts",
    "TextsProfile",
    "Thumbnail",
    "ValueCount",
    "column_type",
    "cut",
    "suffix_of",
]
