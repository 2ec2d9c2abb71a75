"""Statistics of one column, from batches of Arrow arrays or from those of other files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.profiles.sketches import EXACT, FULL, Distinct, Frequent, Numbers
from orchestrator.records.profile import (
    FEW_VALUES,
    TOP_VALUES,
    Column,
    ColumnSketch,
    Distribution,
    ValueCount,
    column_type,
    cut,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator.profiles.sketches import Detail

_SLICE_BYTES = 8 << 20
"""Texts become Python strings so many bytes at a time."""
_MANY = 1000
"""Integers of a batch with more different values are not counted one by one."""

_PROBE = 8
"""So many values are tried first: Arrow goes on after one that it cannot read, and words an error for each."""

# What Arrow's casts read, too.
_INTEGER = r"(?i)^(-?\d{1,18}|0x[0-9a-f]{1,15})$"
_NUMBER = r"(?i)^([-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|inf(inity)?|nan)|0x[0-9a-f]{1,15})$"
_BOOLEAN = r"(?i)^(true|false)$"
_LOCAL_TIME = r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?$"
_ZONED_TIME = r"^\d{4}-\d\d-\d\d[ T]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[-+]\d\d(:?\d\d)?)$"

_TIMES: Final = (
    pa.timestamp("us"),
    pa.timestamp("us", "UTC"),
    pa.timestamp("ns"),
    pa.timestamp("ns", "UTC"),
)


class ColumnState:
    """What is known of a column so far.

    Args:
        name: the column's.
        detail: how exact the sketches are.
    """

    def __init__(self, name: str, *, detail: Detail = FULL) -> None:
        self.name = name
        self._types: dict[str, int] = {}
        self._missing = 0
        self._detail = detail
        self._numbers: Numbers | None = None
        self._times: Numbers | None = None
        self._distinct = Distinct(detail)
        self._values: Frequent | None = None
        self._labels: Frequent | None = None

    @property
    def rows(self) -> int:
        """How many values were taken in, missing ones among them."""
        return sum(self._types.values()) + self._missing

    def add_missing(self, count: int) -> None:
        """Take in rows that have no value here."""
        self._missing += count

    def update(self, array: pa.Array) -> None:
        """Take in values whose type is known."""
        array = self._present(plain(array))
        if not len(array):
            return
        match _family(array.type):
            case "boolean":
                self._take_booleans(array)
            case "integer":
                self._take_integers(array)
            case "float":
                self._take_floats(array)
            case "time":
                self._take_times(array)
            case "duration":
                self._take_durations(array)
            case "string":
                self._take_strings(array)
            case other:
                self._count(other, len(array))

    def update_texts(self, array: pa.Array, *, numbers: bool = True) -> None:
        """Take in texts, each as what it reads as: a number, a boolean, a time, or else a text.

        That is decided value by value, so that it makes no difference how a column is cut into batches and files.

        Args:
            array: strings.
            numbers: whether texts may be numbers and booleans, too: those of a CSV file, not those of a JSON file.
        """
        array = self._present(array)
        if not len(array) or self._take_uniform(array, numbers=numbers):
            return
        if numbers:
            trimmed = pc.ascii_trim_whitespace(array)
            number = pc.match_substring_regex(trimmed, _NUMBER)
            whole = pc.match_substring_regex(trimmed, _INTEGER)
            boolean = pc.match_substring_regex(trimmed, _BOOLEAN)
            for mask, kind in ((whole, pa.int64()), (pc.and_not(number, whole), pa.float64()), (boolean, pa.bool_())):
                chosen = trimmed.filter(mask)
                if len(chosen):
                    self.update(chosen.cast(kind))
            array = array.filter(pc.invert(pc.or_(number, boolean)))
        for pattern in (_LOCAL_TIME, _ZONED_TIME):
            mask = pc.match_substring_regex(array, pattern)
            chosen = array.filter(mask)
            # A day that no calendar has leaves the batch's times texts; so rare that it need not be told apart.
            if len(chosen) and self._take_first(chosen, _TIMES):
                array = array.filter(pc.invert(mask))
        if len(array):
            self.update(array)

    def _take_uniform(self, array: pa.Array, *, numbers: bool) -> bool:
        """Take in texts that all read as one type, the usual case; tell whether they do."""
        if numbers:
            if self._take_first(array, (pa.int64(), pa.float64())):
                return True
            # Arrow's cast takes 0 and 1 for booleans.
            if all(
                pc.all(pc.match_substring_regex(part, _BOOLEAN)).as_py() for part in (array.slice(0, _PROBE), array)
            ):
                self.update(array.cast(pa.bool_()))
                return True
        return self._take_first(array, _TIMES)

    def _take_first(self, array: pa.Array, kinds: Iterable[pa.DataType]) -> bool:
        for kind in kinds:
            try:
                array.slice(0, _PROBE).cast(kind)
                values = array.cast(kind)
            except pa.ArrowInvalid:  # that is how Arrow says that a text does not read as this type
                continue
            self.update(values)
            return True
        return False

    def _present(self, array: pa.Array) -> pa.Array:
        self._missing += array.null_count
        return array.drop_null() if array.null_count else array

    def _count(self, kind: str, count: int) -> None:
        self._types[kind] = self._types.get(kind, 0) + count

    def _take_integers(self, array: pa.Array) -> None:
        self._count("integer", len(array))
        bounds = pc.min_max(array).as_py()
        least, greatest = int(bounds["min"]), int(bounds["max"])
        doubles = array.cast(pa.float64(), safe=False).to_numpy()
        self._more_numbers().update(doubles, bounds=(least, greatest))
        unique = pc.value_counts(array)
        values = unique.field("values").to_pylist()
        # As doubles, so that a file in which the column is 1 and one in which it is 1.0 have the same value.
        self._distinct.update(float(value) if abs(value) <= EXACT else value for value in values)
        if len(values) <= _MANY:
            self._labels = self._labels or Frequent(self._detail)
            self._labels.update(dict(zip(map(str, values), unique.field("counts").to_pylist(), strict=True)))

    def _take_floats(self, array: pa.Array) -> None:
        doubles = array.cast(pa.float64(), safe=False).to_numpy()
        present = doubles[~np.isnan(doubles)]
        self._missing += len(doubles) - len(present)
        if not len(present):
            return
        self._count("float", len(present))
        self._more_numbers().update(present)
        self._distinct.update(present.tolist())

    def _take_times(self, array: pa.Array) -> None:
        self._take_seconds(array.cast(pa.timestamp("us", getattr(array.type, "tz", None)), safe=False), kind="time")

    def _take_durations(self, array: pa.Array) -> None:
        if pa.types.is_time32(array.type) or pa.types.is_time64(array.type):
            array = array.cast(pa.time64("us"), safe=False)
        else:
            array = array.cast(pa.duration("us"), safe=False)
        self._take_seconds(array, kind="duration")

    def _take_seconds(self, array: pa.Array, *, kind: str) -> None:
        """Take in microseconds."""
        self._count(kind, len(array))
        seconds = array.cast(pa.int64()).to_numpy() / 1e6
        self._more_times().update(seconds)
        self._distinct.update(seconds.tolist())

    def _take_booleans(self, array: pa.Array) -> None:
        self._count("boolean", len(array))
        true = pc.sum(array).as_py()
        counts = {word: count for word, count in (("true", true), ("false", len(array) - true)) if count}
        self._distinct.update(counts)
        self._frequent().update(counts)

    def _take_strings(self, array: pa.Array) -> None:
        self._count("string", len(array))
        step = max(1, len(array) * _SLICE_BYTES // max(_SLICE_BYTES, array.nbytes))
        for start in range(0, len(array), step):
            unique = pc.value_counts(array.slice(start, step))
            values = unique.field("values").to_pylist()
            self._distinct.update(values)
            counts: dict[str, int] = {}
            for value, count in zip(values, unique.field("counts").to_pylist(), strict=True):
                short = cut(value)
                counts[short] = counts.get(short, 0) + count
            self._frequent().update(counts)

    def _more_numbers(self) -> Numbers:
        if self._numbers is None:
            self._numbers = Numbers(self._detail)
        return self._numbers

    def _more_times(self) -> Numbers:
        if self._times is None:
            self._times = Numbers(self._detail)
        return self._times

    def _frequent(self) -> Frequent:
        if self._values is None:
            self._values = Frequent(self._detail)
        return self._values

    def sketch(self) -> ColumnSketch:
        """Return what is kept of the column."""
        return ColumnSketch(
            name=self.name,
            types=self._types,
            missing=self._missing,
            numbers=self._numbers.moments() if self._numbers else None,
            times=self._times.moments() if self._times else None,
            distinct=self._distinct.packed(),
            values=self._values.packed() if self._values else None,
            labels=self._labels.packed() if self._labels else None,
        )

    def merge(self, other: ColumnSketch) -> None:
        """Take in the same column of another file."""
        for kind, count in other.types.items():
            self._count(kind, count)
        self._missing += other.missing
        self._distinct.merge(other.distinct)
        if other.numbers:
            self._more_numbers().merge(other.numbers)
        if other.times:
            self._more_times().merge(other.times)
        if other.values:
            self._frequent().merge(other.values)
        if other.labels:
            self._labels = self._labels or Frequent(self._detail)
            self._labels.merge(other.labels)

    def column(self) -> Column:
        """Return what people read of the column."""
        count = sum(self._types.values())
        kind = column_type(self._types)
        total = count + self._missing
        # Of numbers and times in one column, that which there is more of.
        measures = [state for state in (self._numbers, self._times) if state]
        measure = max(measures, key=lambda state: state.count, default=None)
        distribution = measure.distribution() if measure else Distribution()
        distinct = min(count, self._distinct.estimate())
        return Column(
            **dict(distribution),
            name=self.name,
            type=kind,
            types=self._types if kind == "mixed" else {},
            count=count,
            missing=self._missing,
            missing_share=self._missing / total if total else 0.0,
            distinct=distinct,
            top=self._top(kind, distinct=distinct),
        )

    def _top(self, kind: str, *, distinct: int) -> tuple[ValueCount, ...]:
        frequent = self._values
        if kind == "integer":
            whole = self._labels is not None and self._labels.counted == self._types["integer"]
            frequent = self._labels if whole and distinct <= FEW_VALUES else None
        if frequent is None:
            return ()
        return tuple(ValueCount(value=value, count=count) for value, count in frequent.top(TOP_VALUES))


def _family(kind: pa.DataType) -> str:
    """Return under which name of `ColumnType` an Arrow type is counted."""
    for family, is_one in _FAMILIES.items():
        if any(test(kind) for test in is_one):
            return family
    return "struct"


_FAMILIES: Final[dict[str, tuple[Callable[[pa.DataType], bool], ...]]] = {
    "null": (pa.types.is_null,),
    "boolean": (pa.types.is_boolean,),
    "integer": (pa.types.is_integer,),
    "float": (pa.types.is_floating, pa.types.is_decimal),
    "time": (pa.types.is_timestamp, pa.types.is_date),
    "duration": (pa.types.is_time, pa.types.is_duration),
    "string": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    "binary": (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    ),
    "list": (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list),
}


def plain(array: pa.Array) -> pa.Array:
    """Return an array without what only wraps it: extension types, dictionaries."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


__all__ = ["ColumnState", "plain"]
