"""Comparing profiles: known distances, verdicts, columns that come and go."""

from __future__ import annotations

import math
import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.records.drift import Verdict, compare_profiles, verdict_of
from orchestrator.records.profile import (
    Column,
    DatasetProfile,
    Distribution,
    ImagesProfile,
    TableProfile,
    ValueCount,
    column_type,
    cut,
    suffix_of,
)


def measured(values: list[float]) -> dict[str, object]:
    ordered = sorted(values)
    mean = sum(values) / len(values)
    return {
        "measured": len(values),
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "std": math.sqrt(sum((value - mean) * (value - mean) for value in values) / max(1, len(values) - 1)),
        "cdf": tuple(ordered[max(0, math.ceil(share / 100 * len(values)) - 1)] for share in range(101)),
    }


def numbers(name: str, values: list[float], *, missing: int = 0, kind: str = "float") -> Column:
    return Column.model_validate(
        measured(values)
        | {
            "name": name,
            "type": kind,
            "count": len(values),
            "missing": missing,
            "missing_share": missing / (missing + len(values)),
        }
    )


def labels(name: str, counts: dict[str, int]) -> Column:
    top = tuple(ValueCount(value=value, count=count) for value, count in counts.items())
    return Column(name=name, type="string", count=sum(counts.values()), distinct=len(counts), top=top)


def dataset(*columns: Column, rows: int = 1000) -> DatasetProfile:
    table = TableProfile(columns=columns, files=1, rows=rows, first_path="a.csv")
    return DatasetProfile(files=1, profiled_files=1, tables=(table,))


EVEN = [float(value) for value in range(1000)]


def test_a_profile_against_itself_is_the_same() -> None:
    profile = dataset(numbers("x", EVEN), labels("kind", {"a": 600, "b": 400}))
    found = compare_profiles(profile, profile)
    assert found.verdict is Verdict.SAME
    assert all(column.psi == 0 and column.ks in {0, None} for column in found.tables[0].columns)


def test_a_shift_by_one_standard_deviation_has_the_distances_that_it_has_on_paper() -> None:
    source = random.Random(1)  # noqa: S311  the same data every time, no secret
    before = [source.gauss(0, 1) for _ in range(20_000)]
    after = [source.gauss(1, 1) for _ in range(20_000)]
    column = compare_profiles(dataset(numbers("x", after)), dataset(numbers("x", before))).tables[0].columns[0]
    assert column.mean_shift == pytest.approx(1, abs=0.03)
    assert column.ks == pytest.approx(0.3829, abs=0.02)  # 2 Φ(1/2) - 1
    assert column.psi == pytest.approx(0.93, abs=0.08)  # of ten deciles; that of the densities is 1
    assert column.verdict is Verdict.LARGE


def test_shares_of_labels_have_psi_and_chi_square_as_by_hand() -> None:
    found = compare_profiles(dataset(labels("k", {"a": 300, "b": 700})), dataset(labels("k", {"a": 500, "b": 500})))
    column = found.tables[0].columns[0]
    assert column.psi == pytest.approx((0.3 - 0.5) * math.log(0.3 / 0.5) + (0.7 - 0.5) * math.log(0.7 / 0.5), rel=0.01)
    assert column.chi_square == pytest.approx(2 * 100**2 / 400 + 2 * 100**2 / 600)
    assert column.degrees_of_freedom == 1
    assert column.cramers_v == pytest.approx(math.sqrt(column.chi_square / 2000))
    assert column.verdict is Verdict.SMALL


def test_a_label_that_is_new_counts_although_the_reference_has_none_of_it() -> None:
    found = compare_profiles(dataset(labels("k", {"a": 500, "new": 500})), dataset(labels("k", {"a": 1000})))
    column = found.tables[0].columns[0]
    assert column.verdict is Verdict.LARGE
    assert math.isfinite(column.psi or math.inf)


def test_labels_beyond_the_frequent_ones_are_one_bin() -> None:
    many = labels("k", {"a": 10}).changed(count=1000, distinct=990)
    column = compare_profiles(dataset(many), dataset(many)).tables[0].columns[0]
    assert column.psi == 0
    assert column.degrees_of_freedom == 1


def test_columns_that_come_go_and_change_their_type_are_named() -> None:
    before = dataset(numbers("x", EVEN), numbers("gone", EVEN), numbers("y", EVEN))
    after = dataset(numbers("x", EVEN), labels("y", {"a": 1000}), numbers("new", EVEN))
    table = compare_profiles(after, before).tables[0]
    assert (table.added, table.removed, table.type_changed) == (("new",), ("gone",), ("y",))
    assert table.verdict is Verdict.LARGE


def test_whole_numbers_that_become_broken_ones_keep_their_type() -> None:
    found = compare_profiles(dataset(numbers("x", EVEN)), dataset(numbers("x", EVEN, kind="integer")))
    assert found.tables[0].columns[0].change == "kept"
    assert found.verdict is Verdict.SAME


def test_values_that_go_missing_are_drift() -> None:
    found = compare_profiles(dataset(numbers("x", EVEN, missing=1000)), dataset(numbers("x", EVEN)))
    column = found.tables[0].columns[0]
    assert column.psi == 0
    assert column.missing_share_change == 0.5
    assert column.verdict is Verdict.LARGE


def test_times_that_go_on_do_not_make_a_table_drift() -> None:
    later = [value + 1000 for value in EVEN]
    found = compare_profiles(dataset(numbers("t", later, kind="time")), dataset(numbers("t", EVEN, kind="time")))
    assert found.tables[0].columns[0].verdict is Verdict.LARGE
    assert found.verdict is Verdict.SAME


def test_a_constant_that_changes_is_large_and_has_no_shift_in_deviations() -> None:
    found = compare_profiles(dataset(numbers("x", [2.0] * 100)), dataset(numbers("x", [1.0] * 100)))
    column = found.tables[0].columns[0]
    assert (column.mean_shift, column.ks, column.verdict) == (None, 1, Verdict.LARGE)


def test_numbers_at_the_end_of_what_doubles_hold_are_compared() -> None:
    wide = [-1.7e308, -1e300, 0.0, 1e300, 1.7e308]
    one = numbers("x", EVEN).changed(**(measured(wide) | {"mean": None, "std": None}))
    assert compare_profiles(dataset(one), dataset(one)).verdict is Verdict.SAME


def test_columns_without_a_value_are_compared() -> None:
    empty = Column(name="x", type="null", count=0, missing=10, missing_share=1.0)
    column = compare_profiles(dataset(empty), dataset(empty)).tables[0].columns[0]
    assert (column.psi, column.ks, column.verdict) == (None, None, Verdict.SAME)


def test_tables_are_paired_by_their_columns_whatever_their_order() -> None:
    people = TableProfile(columns=(numbers("age", EVEN), numbers("size", EVEN)), files=1, rows=10, first_path="p.csv")
    rooms = TableProfile(columns=(numbers("co2", EVEN),), files=1, rows=20, first_path="r.csv")
    other = TableProfile(columns=(numbers("z", EVEN),), files=1, rows=5, first_path="z.csv")
    found = compare_profiles(DatasetProfile(tables=(people, other)), DatasetProfile(tables=(rooms, people)))
    assert [table.columns[0].name for table in found.tables] == ["age"]
    assert (found.added_tables, found.removed_tables) == ((("z",),), (("co2",),))
    assert found.verdict is Verdict.LARGE


def test_sizes_of_images_are_measures() -> None:
    def images(width: float) -> DatasetProfile:
        lies = Distribution.model_validate(measured([width + value for value in EVEN]))
        return DatasetProfile(
            images=ImagesProfile(files=1000, formats={"PNG": 1000}, width=lies, height=lies, brightness=Distribution())
        )

    found = compare_profiles(images(5000), images(0))
    assert {measure.name: measure.verdict for measure in found.measures}["images.width"] is Verdict.LARGE
    assert {measure.name: measure.verdict for measure in found.measures}["images.formats"] is Verdict.SAME


def test_empty_profiles_are_the_same() -> None:
    assert compare_profiles(DatasetProfile(), DatasetProfile()).verdict is Verdict.SAME


@pytest.mark.parametrize(("psi", "word"), [(0.0999, "same"), (0.1, "small"), (0.2499, "small"), (0.25, "large")])
def test_the_thresholds_are_the_usual_ones(psi: float, word: str) -> None:
    assert verdict_of(psi) == word


@given(
    st.lists(st.integers(1, 10), min_size=2, max_size=60),
    st.lists(st.integers(1, 10), min_size=2, max_size=60),
)
def test_distances_stay_in_their_bounds(one: list[int], other: list[int]) -> None:
    columns = [numbers("x", [float(value) for value in accumulate(values)]) for values in (one, other)]
    column = compare_profiles(dataset(columns[0]), dataset(columns[1])).tables[0].columns[0]
    assert column.ks is not None
    assert 0 <= column.ks <= 1
    assert column.psi is not None
    assert column.psi >= 0


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ({}, "null"),
        ({"integer": 0}, "null"),
        ({"integer": 3}, "integer"),
        ({"integer": 3, "float": 1}, "float"),
        ({"integer": 3, "string": 1}, "mixed"),
    ],
)
def test_a_column_has_the_type_that_holds_all_its_values(types: dict[str, int], expected: str) -> None:
    assert column_type(types) == expected


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a/b.CSV", ".csv"), ("a.d/b", ""), (".hidden", ""), ("x.tar.gz", ".gz"), ("a." + "x" * 17, "")],
)
def test_the_suffix_is_the_end_of_the_last_part(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix


def test_long_texts_are_cut() -> None:
    assert cut("x" * 300) == "x" * 199 + "…"
    assert cut("x" * 200) == "x" * 200
