"""How two profiles differ: what a person reads as drift, and what a gate decides on.

Three numbers say how far the values of a column have moved, each from what the profiles hold, none from a sketch:

- PSI, the population stability index, sum of (a - e) * ln(a / e) over bins, where e is the reference's share of a bin
  and a the current one: N. Siddiqi, Credit Risk Scorecards (2006), chapter 10, which also has the thresholds 0.1 and
  0.25; it is the J divergence of Kullback and Leibler (1951). Numbers have ten bins between the deciles of the
  reference; texts have the values that are frequent in either, and all others as one. Half a value is added to every
  bin (Jeffreys' prior), so that an empty one weighs as much as there is data, and no more.
- Kolmogorov and Smirnov's statistic, the greatest distance between the two cumulative distributions, from 101
  quantiles of each.
- Pearson's chi-square for texts, with its degrees of freedom, and Cramér's V, which does not grow with the data.

There are no p-values: with as many rows as a dataset has, any difference is significant, and the error of the sketches
(ranks within 1.4 %) is no part of them. What chance makes of PSI is given instead: about (bins - 1) * (1 / n + 1 / m)
for n and m values of one distribution (B. Yurdakul, Statistical Properties of Population Stability Index, 2018).
"""

from __future__ import annotations

import bisect
import itertools
import math
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from orchestrator.records.base import Record
from orchestrator.records.profile import CDF_POINTS, Column, ColumnType, DatasetProfile, Distribution, TableProfile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SMALL_PSI = 0.1
LARGE_PSI = 0.25
_LIKENESS = 0.3
"""Tables that share at least this part of their columns' names are one table whose columns changed."""


class Verdict(StrEnum):
    """How much something changed: PSI below 0.1, below 0.25, or more."""

    SAME = "same"
    SMALL = "small"
    LARGE = "large"


class Drift(Record):
    """How far values have moved; what cannot be said of them is None."""

    psi: float | None = None
    psi_by_chance: float | None = None
    """What PSI would be about if nothing had changed: of few values much of it is chance."""
    ks: float | None = None
    mean_shift: float | None = None
    """Difference of the means in standard deviations of the reference."""
    chi_square: float | None = None
    degrees_of_freedom: int | None = None
    cramers_v: float | None = None


class MeasureComparison(Drift):
    """One measure of both profiles, such as `images.width`."""

    name: str
    count: int
    reference_count: int
    verdict: Verdict


class ColumnComparison(Drift):
    """One column of both profiles."""

    name: str
    change: Literal["kept", "added", "removed", "type_changed"]
    type: ColumnType | None = None
    reference_type: ColumnType | None = None
    count: int = 0
    reference_count: int = 0
    missing_share: float | None = None
    reference_missing_share: float | None = None
    missing_share_change: float | None = None
    missing_psi: float | None = None
    """PSI of missing against present values."""
    verdict: Verdict
    """The worse of those of `psi` and `missing_psi`; of a column that is new, gone or of another type: large."""


class TableComparison(Record):
    """One table of both profiles."""

    files: int
    reference_files: int
    rows: int
    reference_rows: int
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    type_changed: tuple[str, ...] = ()
    columns: tuple[ColumnComparison, ...]
    verdict: Verdict
    """The worst of its columns; those of times are not asked, since newer data has later times."""


class ProfileComparison(Record):
    """A version's profile against another's, usually its parent's."""

    files: int
    reference_files: int
    partial: bool = False
    """One of the profiles is partial: differences may come from what was left out."""
    tables: tuple[TableComparison, ...] = ()
    added_tables: tuple[tuple[str, ...], ...] = ()
    """Column names of tables that the reference has nothing like."""
    removed_tables: tuple[tuple[str, ...], ...] = ()
    measures: tuple[MeasureComparison, ...] = ()
    """Of images, sound and texts."""
    verdict: Verdict


def compare_profiles(current: DatasetProfile, reference: DatasetProfile) -> ProfileComparison:
    """Compare two profiles; see the module for what is computed.

    Args:
        current: the newer one.
        reference: what it is held against.
    """
    pairs, added, removed = _paired(current.tables, reference.tables)
    tables = tuple(_compare_tables(one, other) for one, other in pairs)
    measures = tuple(_measures(current, reference))
    verdicts = [*(table.verdict for table in tables), *(measure.verdict for measure in measures)]
    if added or removed:
        verdicts.append(Verdict.LARGE)
    return ProfileComparison(
        files=current.files,
        reference_files=reference.files,
        partial=current.partial or reference.partial,
        tables=tables,
        added_tables=tuple(map(_names, added)),
        removed_tables=tuple(map(_names, removed)),
        measures=measures,
        verdict=_worst(verdicts),
    )


def verdict_of(psi: float | None) -> Verdict:
    """Return the word for a population stability index."""
    if psi is None or psi < SMALL_PSI:
        return Verdict.SAME
    return Verdict.SMALL if psi < LARGE_PSI else Verdict.LARGE


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    return max(verdicts, key=list(Verdict).index, default=Verdict.SAME)


def _names(table: TableProfile) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns)


def _paired(
    current: Sequence[TableProfile], reference: Sequence[TableProfile]
) -> tuple[list[tuple[TableProfile, TableProfile]], list[TableProfile], list[TableProfile]]:
    """Return which tables are the same one, the most alike first, and what is left on both sides."""
    alike = [
        (_likeness(_names(one), _names(other)), -place, -other_place)
        for place, one in enumerate(current)
        for other_place, other in enumerate(reference)
    ]
    pairs: dict[int, int] = {}
    for likeness, place, other_place in sorted(alike, reverse=True):
        if likeness >= _LIKENESS and -place not in pairs and -other_place not in pairs.values():
            pairs[-place] = -other_place
    taken = set(pairs.values())
    return (
        [(current[place], reference[pairs[place]]) for place in sorted(pairs)],
        [table for place, table in enumerate(current) if place not in pairs],
        [table for place, table in enumerate(reference) if place not in taken],
    )


def _likeness(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """Return Jaccard's index of the names; more where they stand in the same order, too."""
    if one == other:
        return 2.0
    union = set(one) | set(other)
    return len(set(one) & set(other)) / len(union) if union else 0.0


def _compare_tables(current: TableProfile, reference: TableProfile) -> TableComparison:
    before = {column.name: column for column in reference.columns}
    columns = [_compare_columns(column, before.pop(column.name, None)) for column in current.columns]
    columns += [_compare_columns(None, column) for column in before.values()]
    by_change = {
        change: tuple(column.name for column in columns if column.change == change)
        for change in ("added", "removed", "type_changed")
    }
    counted = [column.verdict for column in columns if not (column.change == "kept" and column.type == "time")]
    return TableComparison(
        files=current.files,
        reference_files=reference.files,
        rows=current.rows,
        reference_rows=reference.rows,
        added=by_change["added"],
        removed=by_change["removed"],
        type_changed=by_change["type_changed"],
        columns=tuple(columns),
        verdict=_worst(counted),
    )


def _compare_columns(current: Column | None, reference: Column | None) -> ColumnComparison:
    present = current or reference
    if present is None:
        raise ValueError("neither profile has the column")
    if current is None or reference is None:
        return ColumnComparison(
            name=present.name,
            change="removed" if current is None else "added",
            type=current.type if current else None,
            reference_type=reference.type if reference else None,
            count=current.count if current else 0,
            reference_count=reference.count if reference else 0,
            missing_share=current.missing_share if current else None,
            reference_missing_share=reference.missing_share if reference else None,
            verdict=Verdict.LARGE,
        )
    drift = _column_drift(current, reference)
    missing_psi = _psi([current.missing, current.count], [reference.missing, reference.count])
    changed = not _same_type(current, reference)
    return ColumnComparison(
        **dict(drift),
        name=current.name,
        change="type_changed" if changed else "kept",
        type=current.type,
        reference_type=reference.type,
        count=current.count,
        reference_count=reference.count,
        missing_share=current.missing_share,
        reference_missing_share=reference.missing_share,
        missing_share_change=current.missing_share - reference.missing_share,
        missing_psi=missing_psi,
        verdict=Verdict.LARGE if changed else _worst([verdict_of(drift.psi), verdict_of(missing_psi)]),
    )


def _same_type(current: Column, reference: Column) -> bool:
    """Tell whether two columns have one type: whole numbers are numbers, and no value is of any type."""
    pair = {current.type, reference.type}
    return len(pair) == 1 or "null" in pair or pair == {"integer", "float"}


def _column_drift(current: Column, reference: Column) -> Drift:
    numbers = _number_drift(current, reference)
    # Labels are numbers often enough: of few different ones the shares of each tell more than those between deciles.
    if current.top and reference.top:
        shares = _share_drift(_top(current), _top(reference), total=current.count, reference_total=reference.count)
        return shares.changed(ks=numbers.ks, mean_shift=numbers.mean_shift)
    return numbers


def _top(column: Column) -> dict[str, int]:
    return {item.value: item.count for item in column.top}


def _number_drift(current: Distribution, reference: Distribution) -> Drift:
    if not current.cdf or not reference.cdf:
        return Drift()
    edges = sorted({reference.cdf[(CDF_POINTS - 1) * tenth // 10] for tenth in range(1, 10)})
    observed = _between(current, edges)
    psi = _psi(observed, _between(reference, edges))
    shift = None
    if current.mean is not None and reference.mean is not None and reference.std:
        shift = (current.mean - reference.mean) / reference.std
    return Drift(
        psi=psi,
        psi_by_chance=_by_chance(len(observed), current.measured, reference.measured),
        ks=_kolmogorov_smirnov(current.cdf, reference.cdf),
        mean_shift=shift,
    )


def _between(distribution: Distribution, edges: Sequence[float]) -> list[float]:
    """Return how many values lie up to each edge, and above the last."""
    shares = [0.0, *(_share_up_to(distribution.cdf, edge) for edge in edges), 1.0]
    return [(after - before) * distribution.measured for before, after in itertools.pairwise(shares)]


def _share_up_to(cdf: Sequence[float], value: float, *, included: bool = True) -> float:
    """Return the share of values up to one, between two known quantiles by a straight line."""
    above = (bisect.bisect_right if included else bisect.bisect_left)(cdf, value)
    if above in {0, len(cdf)}:
        return float(above > 0)
    low, high = cdf[above - 1], cdf[above]
    # Halves, since the difference of two doubles may be greater than the greatest double.
    part = (value / 2 - low / 2) / (high / 2 - low / 2) if low < value else 0.0
    return (above - 1 + part) / (len(cdf) - 1)


def _kolmogorov_smirnov(current: Sequence[float], reference: Sequence[float]) -> float:
    return max(
        abs(_share_up_to(current, value, included=included) - _share_up_to(reference, value, included=included))
        for value in {*current, *reference}
        for included in (True, False)
    )


def _share_drift(
    current: Mapping[str, int], reference: Mapping[str, int], *, total: int, reference_total: int
) -> Drift:
    """Compare counts of values; one that is not among the frequent ones of a side counts there as none."""
    values = sorted({*current, *reference})
    observed = [float(current.get(value, 0)) for value in values]
    expected = [float(reference.get(value, 0)) for value in values]
    rest = (max(0.0, total - sum(observed)), max(0.0, reference_total - sum(expected)))
    if any(rest):
        observed.append(rest[0])
        expected.append(rest[1])
    chi_square = _chi_square(observed, expected)
    together = sum(observed) + sum(expected)
    return Drift(
        psi=_psi(observed, expected),
        psi_by_chance=_by_chance(len(observed), total, reference_total),
        chi_square=chi_square,
        degrees_of_freedom=None if chi_square is None else len(observed) - 1,
        cramers_v=None if chi_square is None else math.sqrt(chi_square / together),
    )


def _psi(observed: Sequence[float], expected: Sequence[float]) -> float | None:
    count, reference_count = sum(observed), sum(expected)
    if not count or not reference_count:
        return None
    half = len(observed) / 2
    pairs = [
        ((one + 0.5) / (count + half), (other + 0.5) / (reference_count + half))
        for one, other in zip(observed, expected, strict=True)
    ]
    return sum((share - before) * math.log(share / before) for share, before in pairs)


def _by_chance(bins: int, count: int, reference_count: int) -> float | None:
    return (bins - 1) * (1 / count + 1 / reference_count) if count and reference_count else None


def _chi_square(observed: Sequence[float], expected: Sequence[float]) -> float | None:
    """Return Pearson's statistic of a table of two rows: the test of homogeneity."""
    count, reference_count = sum(observed), sum(expected)
    if not count or not reference_count:
        return None
    result = 0.0
    for one, other in zip(observed, expected, strict=True):
        column = one + other
        for value, row in ((one, count), (other, reference_count)):
            share = row * column / (count + reference_count)
            result += (value - share) ** 2 / share
    return result


def _measures(current: DatasetProfile, reference: DatasetProfile) -> Iterator[MeasureComparison]:
    """Compare what there is of images, sound and texts in both."""
    if current.images and reference.images:
        for name in ("width", "height", "brightness"):
            yield _measure(f"images.{name}", getattr(current.images, name), getattr(reference.images, name))
        for name in ("formats", "modes"):
            yield _kinds(f"images.{name}", getattr(current.images, name), getattr(reference.images, name))
    if current.audio and reference.audio:
        yield _measure("audio.duration", current.audio.duration, reference.audio.duration)
        for name in ("formats", "sample_rates", "channels"):
            yield _kinds(f"audio.{name}", getattr(current.audio, name), getattr(reference.audio, name))
    if current.texts and reference.texts:
        yield _measure("texts.words_per_file", current.texts.words_per_file, reference.texts.words_per_file)


def _measure(name: str, current: Distribution, reference: Distribution) -> MeasureComparison:
    drift = _number_drift(current, reference)
    return MeasureComparison(
        **dict(drift),
        name=name,
        count=current.measured,
        reference_count=reference.measured,
        verdict=verdict_of(drift.psi),
    )


def _kinds(name: str, current: Mapping[str, int], reference: Mapping[str, int]) -> MeasureComparison:
    total, reference_total = sum(current.values()), sum(reference.values())
    drift = _share_drift(current, reference, total=total, reference_total=reference_total)
    return MeasureComparison(
        **dict(drift), name=name, count=total, reference_count=reference_total, verdict=verdict_of(drift.psi)
    )


__all__ = [
    "LARGE_PSI",
    "SMALL_PSI",
    "ColumnComparison",
    "Drift",
    "MeasureComparison",
    "ProfileComparison",
    "TableComparison",
    "Verdict",
    "compare_profiles",
    "verdict_of",
]
