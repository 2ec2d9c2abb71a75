"""Points as columns: packing, summing up, cutting, ordering, thinning. Pure.

A packed chunk is the byte 1 and a zlib stream (RFC 1950) of three columns: steps as signed 64-bit integers, times and
values as IEEE 754 doubles, little-endian. Each column is stored transposed, all first bytes, then all second bytes and
so on, as Blosc's shuffle does: neighbours resemble each other bytewise, and 24 bytes a point become about 10.
"""

from __future__ import annotations

import math
import sys
import zlib
from array import array
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_FORMAT = b"\x01"
_WIDTH = 8
_FASTEST = 1  # zlib's level: the higher ones cost four times as much for one part in a hundred


@dataclass(frozen=True, slots=True)
class Totals:
    """What is known of points without looking at them."""

    count: int
    last_step: int
    last_time: float
    last: float
    minimum: float | None
    maximum: float | None

    def joined(self, other: Totals) -> Totals:
        """Return the totals of both together; of two last points at one step and time the other's is the last."""
        if not self.count or not other.count:
            return self if self.count else other
        earlier = (other.last_step, other.last_time) < (self.last_step, self.last_time)
        newest = self if earlier else other
        return Totals(
            count=self.count + other.count,
            last_step=newest.last_step,
            last_time=newest.last_time,
            last=newest.last,
            minimum=_of_both(min, self.minimum, other.minimum),
            maximum=_of_both(max, self.maximum, other.maximum),
        )


NOTHING = Totals(count=0, last_step=0, last_time=0.0, last=0.0, minimum=None, maximum=None)
"""The totals of no points."""


def _of_both(choose: Callable[[float, float], float], one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return choose(one, other)


@dataclass(frozen=True, slots=True)
class PointColumns:
    """Points of one series: three columns of one length."""

    steps: array[int]
    times: array[float]
    values: array[float]

    @classmethod
    def of(cls, steps: Sequence[int], times: Sequence[float], values: Sequence[float]) -> Self:
        """Make columns from sequences of one length."""
        return cls(array("q", steps), array("d", times), array("d", values))

    @classmethod
    def concatenated(cls, parts: Sequence[PointColumns]) -> Self:
        """Return one part after the other."""
        whole = cls.of((), (), ())
        for part in parts:
            whole.steps.extend(part.steps)
            whole.times.extend(part.times)
            whole.values.extend(part.values)
        return whole

    @classmethod
    def unpacked(cls, packed: bytes) -> Self:
        """Read a chunk.

        Raises:
            ValueError: it is none, or of a later release.
        """
        if packed[:1] != _FORMAT:
            raise ValueError(f"a chunk of points has the unknown format {packed[:1]!r}")
        data = zlib.decompress(packed[1:])
        size = len(data) // 3
        whole = cls.of((), (), ())
        columns: tuple[array[int] | array[float], ...] = (whole.steps, whole.times, whole.values)
        for place, column in enumerate(columns):
            column.frombytes(_transposed_back(data[place * size : (place + 1) * size]))
            _swap_where_big_endian(column)
        return whole

    def packed(self) -> bytes:
        """Return the chunk."""
        columns: list[bytes] = []
        for column in (self.steps, self.times, self.values):
            little = column[:]
            _swap_where_big_endian(little)
            octets = little.tobytes()
            columns.extend(octets[place::_WIDTH] for place in range(_WIDTH))
        return _FORMAT + zlib.compress(b"".join(columns), _FASTEST)

    def __len__(self) -> int:
        return len(self.steps)

    def pieces(self, size: int) -> Iterator[PointColumns]:
        """Cut into parts of at most this many points."""
        for start in range(0, len(self), size):
            end = start + size
            yield PointColumns(self.steps[start:end], self.times[start:end], self.values[start:end])

    def before(self, step: int | None) -> PointColumns:
        """Return the points of smaller steps; all where there is no step."""
        if step is None or max(self.steps, default=step - 1) < step:
            return self
        return self._picked([place for place, own in enumerate(self.steps) if own < step])

    def in_order(self) -> PointColumns:
        """Return the points by step and time; those equal in both stay as they were reported."""
        keys = list(zip(self.steps, self.times, strict=True))
        if all(one <= other for one, other in pairwise(keys)):
            return self
        return self._picked(sorted(range(len(keys)), key=keys.__getitem__))

    def totals(self) -> Totals:
        """Sum up."""
        if not self.steps:
            return NOTHING
        last = 0
        for place in range(len(self)):
            if (self.steps[place], self.times[place]) >= (self.steps[last], self.times[last]):
                last = place
        numbers = _numbers(self.values)
        return Totals(
            count=len(self),
            last_step=self.steps[last],
            last_time=self.times[last],
            last=self.values[last],
            minimum=min(numbers, default=None),
            maximum=max(numbers, default=None),
        )

    def thinned(self, limit: int) -> PointColumns:
        """Return at most about this many points: the first, the last, and each bucket's minimum and maximum.

        A bucket is a run of as many points as every other; one without any number keeps its first point.
        """
        if len(self) <= max(limit, 2):
            return self
        buckets = max(1, limit // 2 - 1)
        kept = {0, len(self) - 1}
        for bucket in range(buckets):
            start, end = bucket * len(self) // buckets, (bucket + 1) * len(self) // buckets
            values = self.values[start:end]
            numbers = _numbers(values)
            if numbers:
                kept |= {start + values.index(min(numbers)), start + values.index(max(numbers))}
            elif values:
                kept.add(start)
        return self._picked(sorted(kept))

    def _picked(self, places: list[int]) -> PointColumns:
        return PointColumns.of(
            [self.steps[place] for place in places],
            [self.times[place] for place in places],
            [self.values[place] for place in places],
        )


def _numbers(values: array[float]) -> array[float]:
    """Return the values without NaN; infinities are numbers that can be compared."""
    if any(map(math.isnan, values)):
        return array("d", (value for value in values if not math.isnan(value)))
    return values


def _transposed_back(octets: bytes) -> bytes:
    count = len(octets) // _WIDTH
    straight = bytearray(len(octets))
    for place in range(_WIDTH):
        straight[place::_WIDTH] = octets[place * count : (place + 1) * count]
    return bytes(straight)


def _swap_where_big_endian(column: array[int] | array[float]) -> None:
    if sys.byteorder == "big":
        column.byteswap()
