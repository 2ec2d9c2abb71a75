"""Sketches of a column's values that are fed, merged and written down.

They are those of Apache DataSketches: KLL, HLL and frequent items have proven error bounds that hold through any number
of merges, its binary formats are the same in C++, Java and Python and stay readable, and its loops run in C++. Of the
libraries looked at, those that have t-digests or HyperLogLog alone give no bound for merged quantiles or need a
second library for frequent values.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any

import datasketches
import numpy as np

from orchestrator.records.profile import BINS, CDF_POINTS, QUANTILES, Distribution, Histogram, Moments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EXACT = 2**53
"""Whole numbers up to this one are doubles, too."""


class Detail:
    """How exact the sketches of a table are; many columns get smaller ones, so that a file's profile stays small.

    Args:
        columns: how many columns share the space.
    """

    def __init__(self, columns: int = 1) -> None:
        wide = columns > 128  # noqa: PLR2004  keeps a profile below about 1 MB
        self.quantiles = 64 if wide else 200  # KLL: ranks within 3.9 % or 1.3 %
        self.distinct = 8 if wide else 11  # HLL: 6.5 % or 2.3 % standard error
        self.values = 5 if wide else 7  # frequent strings: up to 24 or 96 values


FULL = Detail()


class Numbers:
    """Count, least, greatest, mean, spread and quantiles of numbers."""

    def __init__(self, detail: Detail = FULL) -> None:
        self.count = 0
        self.infinite = 0
        self.least: int | float | None = None
        self.greatest: int | float | None = None
        self._mean = 0.0
        self._m2 = 0.0
        self._sketch = datasketches.kll_doubles_sketch(detail.quantiles)

    def update(self, values: np.ndarray[Any, Any], *, bounds: tuple[int, int] | None = None) -> None:
        """Take in numbers.

        Args:
            values: doubles, none of them a not-a-number.
            bounds: the least and the greatest where they are whole: doubles would round large ones.
        """
        finite = values[np.isfinite(values)]
        self.infinite += len(values) - len(finite)
        if not len(finite):
            return
        self._sketch.update(np.ascontiguousarray(finite, dtype=np.float64))
        with np.errstate(over="ignore", invalid="ignore"):  # numbers near 1e308: the spread is then infinite
            mean = float(finite.mean())
            m2 = float(np.square(finite - mean).sum())
        least, greatest = bounds or (float(finite.min()), float(finite.max()))
        self._combine(len(finite), least=least, greatest=greatest, mean=mean, m2=m2)

    def merge(self, other: Moments) -> None:
        """Take in what another had taken in."""
        self.infinite += other.infinite
        if not other.count or other.min is None or other.max is None:
            return
        self._sketch.merge(datasketches.kll_doubles_sketch.deserialize(_unpacked(other.sketch)))
        self._combine(other.count, least=other.min, greatest=other.max, mean=other.mean, m2=other.m2)

    def _combine(self, count: int, *, least: float, greatest: float, mean: float, m2: float) -> None:
        """Add another part's moments: Chan, Golub, LeVeque, Updating formulae (1979), equations 1.5."""
        total = self.count + count
        delta = mean - self._mean
        self._mean += delta * (count / total)
        self._m2 += m2 + delta * (delta * (self.count * count / total))
        if math.isnan(self._m2):  # infinities that met
            self._m2 = math.inf
        self.count = total
        self.least = least if self.least is None else min(self.least, least)
        self.greatest = greatest if self.greatest is None else max(self.greatest, greatest)

    def moments(self) -> Moments:
        """Return what is kept."""
        return Moments(
            count=self.count,
            infinite=self.infinite,
            min=self.least,
            max=self.greatest,
            mean=self._mean,
            m2=self._m2,
            sketch=_packed(self._sketch.serialize()),
        )

    def distribution(self) -> Distribution:
        """Return what people read."""
        if self.least is None or self.greatest is None:
            return Distribution(infinite=self.infinite)
        spread = math.sqrt(self._m2 / (self.count - 1)) if self.count > 1 and math.isfinite(self._m2) else None
        points = self._sketch.get_quantiles([index / (CDF_POINTS - 1) for index in range(CDF_POINTS)], True)  # noqa: FBT003  inclusive, by position only
        points[0], points[-1] = float(self.least), float(self.greatest)
        return Distribution(
            measured=self.count,
            infinite=self.infinite,
            min=self.least,
            max=self.greatest,
            mean=self._mean if math.isfinite(self._mean) else None,
            std=spread,
            quantiles=dict(zip(QUANTILES, self._sketch.get_quantiles(list(QUANTILES.values()), True), strict=True)),  # noqa: FBT003  inclusive, by position only
            cdf=tuple(points),
            histogram=self._histogram(float(self.least), float(self.greatest)),
        )

    def _histogram(self, least: float, greatest: float) -> Histogram:
        if not least < greatest:
            return Histogram(edges=(least, greatest), counts=(self.count,))
        # Both ends are scaled first: their difference may be greater than the greatest double.
        edges = [least * (1 - index / BINS) + greatest * (index / BINS) for index in range(BINS + 1)]
        inner = [edge for edge in edges[1:-1] if least < edge < greatest]
        inner = [edge for before, edge in zip([least, *inner], inner, strict=False) if before < edge]
        ranks = [round(share * self.count) for share in self._sketch.get_cdf(inner)]
        counts = [after - before for before, after in zip([0, *ranks], ranks, strict=False)]
        return Histogram(edges=(least, *inner, greatest), counts=tuple(counts))


class Distinct:
    """About how many different values there are."""

    def __init__(self, detail: Detail = FULL) -> None:
        self._detail = detail.distinct
        self._sketch = datasketches.hll_sketch(detail.distinct, datasketches.HLL_4)

    def update(self, values: Iterable[int | float | str]) -> None:
        """Take in values; 1 and 1.0 are two."""
        deque(map(self._sketch.update, values), maxlen=0)

    def merge(self, packed: str) -> None:
        """Take in what another had taken in."""
        union = datasketches.hll_union(self._detail)
        union.update(self._sketch)
        union.update(datasketches.hll_sketch.deserialize(_unpacked(packed)))
        self._sketch = union.get_result(datasketches.HLL_4)

    def packed(self) -> str:
        """Return what is kept."""
        return _packed(self._sketch.serialize_compact())

    def estimate(self) -> int:
        """Return how many there are, about."""
        return round(float(self._sketch.get_estimate()))


class Frequent:
    """The most frequent values and how often they occur."""

    def __init__(self, detail: Detail = FULL) -> None:
        self._sketch = datasketches.frequent_strings_sketch(detail.values)

    def update(self, counts: Mapping[str, int]) -> None:
        """Take in values, each with how often it occurs."""
        for value, count in counts.items():
            self._sketch.update(value, count)

    def merge(self, packed: str) -> None:
        """Take in what another had taken in."""
        self._sketch.merge(datasketches.frequent_strings_sketch.deserialize(_unpacked(packed)))

    def packed(self) -> str:
        """Return what is kept."""
        return _packed(self._sketch.serialize())

    @property
    def counted(self) -> int:
        """How many values were taken in."""
        return int(self._sketch.total_weight)

    def top(self, count: int) -> list[tuple[str, int]]:
        """Return the most frequent values, the most frequent first; a count is never too high."""
        found = self._sketch.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES)
        ordered = sorted(
            ((value, lower) for value, _, lower, _ in found if lower), key=lambda item: (-item[1], item[0])
        )
        return ordered[:count]


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode("ascii")


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


__all__ = ["EXACT", "FULL", "Detail", "Distinct", "Frequent", "Numbers"]
