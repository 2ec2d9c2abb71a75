"""Points packed, cut, ordered and thinned."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.store.sql.point_columns import NOTHING, PointColumns

_STEPS = st.integers(-(2**63), 2**63 - 1)
_POINTS = st.lists(st.tuples(_STEPS, st.floats(), st.floats()), max_size=200)
_TAME = st.lists(st.tuples(st.integers(-5, 5), st.floats(0, 9), st.floats(-9, 9) | st.just(math.nan)), max_size=60)


def _columns(points: list[tuple[int, float, float]]) -> PointColumns:
    return PointColumns.of(*map(list, zip(*points, strict=True))) if points else PointColumns.of((), (), ())


def _rows(columns: PointColumns) -> list[tuple[int, float, float]]:
    return list(zip(columns.steps, columns.times, columns.values, strict=True))


@given(_POINTS)
def test_what_is_packed_comes_back_bit_by_bit(points: list[tuple[int, float, float]]) -> None:
    columns = _columns(points)
    again = PointColumns.unpacked(columns.packed())
    for before, after in zip(
        (columns.steps, columns.times, columns.values), (again.steps, again.times, again.values), strict=True
    ):
        assert before.tobytes() == after.tobytes()


def test_a_chunk_of_a_later_release_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown format"):
        PointColumns.unpacked(b"\x02abc")


@given(_TAME, _TAME)
def test_totals_of_two_parts_are_those_of_the_whole(
    one: list[tuple[int, float, float]], other: list[tuple[int, float, float]]
) -> None:
    joined = _columns(one).totals().joined(_columns(other).totals())
    assert repr(joined) == repr(_columns(one + other).totals())
    assert repr(joined.joined(NOTHING)) == repr(NOTHING.joined(joined)) == repr(joined)


@given(_TAME)
def test_points_are_ordered_by_step_and_time_and_the_last_is_the_total(points: list[tuple[int, float, float]]) -> None:
    columns = _columns(points)
    ordered = _rows(columns.in_order())
    assert list(map(repr, ordered)) == list(map(repr, sorted(points, key=lambda point: point[:2])))
    if points:
        totals = columns.totals()
        assert repr((totals.last_step, totals.last_time, totals.last)) == repr(ordered[-1])


@given(_TAME, st.integers(-6, 6))
def test_what_is_hidden_begins_at_a_step(points: list[tuple[int, float, float]], step: int) -> None:
    kept = _rows(_columns(points).before(step))
    assert list(map(repr, kept)) == [repr(point) for point in points if point[0] < step]
    assert len(_columns(points).before(None)) == len(points)


@given(st.lists(st.floats(-9, 9) | st.just(math.nan), min_size=1, max_size=300), st.integers(0, 50))
def test_thinning_keeps_ends_and_extremes_and_the_limit(values: list[float], limit: int) -> None:
    points = [(step, float(step), value) for step, value in enumerate(values)]
    thin = _rows(_columns(points).thinned(limit))
    assert len(thin) <= max(limit, 4)
    assert list(map(repr, (thin[0], thin[-1]))) == list(map(repr, (points[0], points[-1])))
    assert [step for step, _, _ in thin] == sorted({step for step, _, _ in thin})
    if numbers := [value for value in values if not math.isnan(value)]:
        assert {min(numbers), max(numbers)} <= {value for _, _, value in thin}
