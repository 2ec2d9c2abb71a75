from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from orchestrator.records.dataset import DatasetVersion
from orchestrator.records.drift import compare_profiles
from orchestrator.records.gate import Check, ColumnBounds, GateReport, Gates
from orchestrator.records.profile import (
    AudioProfile,
    Column,
    DatasetProfile,
    Distribution,
    ImagesProfile,
    TableProfile,
    TextsProfile,
    ValueCount,
)
from triggers import gates as module
from triggers.gates import Facts, evaluate

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PARENT = "e" * 32
VERSION = DatasetVersion(
    id="d" * 32,
    project="occupancy",
    name="sensors",
    version="1.0.1",
    parents=(PARENT,),
    file_count=5,
    added_count=2,
    created_at=NOW,
    created_by="a" * 32,
    changed_at=NOW,
)
FIRST = VERSION.changed(parents=())


def spread(low: float, high: float, *, count: int = 1000) -> Distribution:
    """Return numbers that lie evenly between two."""
    cdf = tuple(low + (high - low) * share / 100 for share in range(101))
    return Distribution(
        measured=count, min=low, max=high, mean=(low + high) / 2, std=(high - low) / math.sqrt(12), cdf=cdf
    )


def numbers(name: str, low: float = 0, high: float = 1, *, missing: int = 0, kind: str = "float") -> Column:
    values = dict(spread(low, high))
    return Column.model_validate(
        values
        | {"name": name, "type": kind, "count": 1000, "missing": missing, "missing_share": missing / (1000 + missing)}
    )


def labels(name: str, **counts: int) -> Column:
    top = tuple(ValueCount(value=value, count=count) for value, count in counts.items())
    return Column(name=name, type="string", count=sum(counts.values()), distinct=len(counts), top=top)


def empty(name: str) -> Column:
    return Column(name=name, type="null", count=0, missing=1000, missing_share=1.0)


def table(*columns: Column, rows: int = 1000) -> TableProfile:
    return TableProfile(columns=columns, files=1, rows=rows, first_path="a.csv")


def profile(*columns: Column, rows: int = 1000, **fields: object) -> DatasetProfile:
    return DatasetProfile.model_validate(
        {"files": 1, "profiled_files": 1, "tables": (table(*columns, rows=rows),)} | fields
    )


def against(current: DatasetProfile, reference: DatasetProfile, **fields: object) -> Facts:
    comparison = compare_profiles(current, reference)
    return Facts(version=VERSION, profile=current, comparison=comparison, reference=PARENT, **fields)


def look(gates: Gates, facts: Facts) -> GateReport:
    return evaluate(gates, facts=facts, now=NOW)


def only(gates: Gates, facts: Facts) -> Check:
    """Return the one check that there is."""
    report = look(gates, facts)
    assert report.open is report.checks[0].passed
    (check,) = report.checks
    return check


def test_nothing_that_is_required_is_an_open_gate() -> None:
    report = look(Gates(), against(profile(), profile()))
    assert report == GateReport(open=True, checks=(), dataset=VERSION.id, reference=PARENT, checked_at=NOW)


def test_a_gate_is_open_if_all_holds() -> None:
    report = look(Gates(min_files=1, min_rows=2000, min_added_files=2), against(profile(), profile()))
    assert [(check.name, check.passed) for check in report.checks] == [
        ("min_files", True),
        ("min_rows", False),
        ("min_added_files", True),
    ]
    assert not report.open


class TestSizes:
    def test_files_are_counted(self) -> None:
        check = only(Gates(min_files=6), Facts(version=VERSION))
        assert check == Check(
            name="min_files",
            value=5,
            bound=6,
            passed=False,
            reason="The version has 5 files; at least 6 are required.",
        )
        assert only(Gates(min_files=5), Facts(version={"id": VERSION.id, "file_count": 5})).passed

    def test_rows_are_those_of_all_tables(self) -> None:
        two = DatasetProfile(files=2, tables=(table(rows=600), table(rows=401)))
        assert only(Gates(min_rows=1001), Facts(version=VERSION, profile=two)).passed
        assert not only(Gates(min_rows=1002), Facts(version=VERSION, profile=two)).passed

    def test_what_was_not_read_is_said(self) -> None:
        some = profile(rows=10, partial=True, error_count=3, other={".bin": 7, ".exe": 1})
        assert only(Gates(min_rows=11), Facts(version=VERSION, profile=some)).reason == (
            "The version has 10 rows in its tables; at least 11 are required. Only a part was read. 3 of its files"
            " could not be read. 8 of its files are of kinds that are not read: .bin, .exe."
        )

    def test_without_a_profile_rows_cannot_be_told_and_the_reason_is_said(self) -> None:
        check = only(Gates(min_rows=1), Facts(version=VERSION, problem="The server has no profiler."))
        assert not check.passed
        assert check.reason == "Its rows in its tables cannot be counted. The server has no profiler."

    def test_an_event_of_no_version_has_no_files(self) -> None:
        check = only(Gates(min_files=0), Facts())
        assert not check.passed
        assert "no dataset version" in check.reason

    def test_all_files_of_a_first_version_are_added(self) -> None:
        assert only(Gates(min_added_files=2), Facts(version=FIRST)).passed


class TestColumnsAndTypes:
    def test_the_same_columns_hold(self) -> None:
        check = only(Gates(same_columns=True), against(profile(numbers("x")), profile(numbers("x", 5, 9))))
        assert check.passed
        assert check.reason == "The columns are those of the reference, 1 of the same types."

    def test_what_came_went_and_changed_is_named(self) -> None:
        before = profile(numbers("x"), numbers("gone"), numbers("y"))
        after = profile(numbers("x"), labels("y", a=1000), numbers("new"))
        check = only(Gates(same_columns=True), against(after, before))
        assert not check.passed
        assert check.value == 3
        assert check.reason == "Against the reference y is string and was float; new is new; gone is gone."

    def test_whole_tables_that_come_and_go_are_named(self) -> None:
        check = only(Gates(same_columns=True), against(profile(numbers("a"), numbers("b")), profile(numbers("c"))))
        assert check.reason == "Against the reference a table with a, b is new; the table with c is gone."

    def test_no_tables_on_either_side_hold(self) -> None:
        nothing = DatasetProfile()
        assert only(Gates(same_columns=True), against(nothing, nothing)).passed


class TestBounds:
    def test_every_column_is_held_to_the_bound_with_its_number(self) -> None:
        before = profile(numbers("co2", 400, 1000), numbers("light"))
        after = profile(numbers("co2", 600, 1200), numbers("light"))
        report = look(Gates(max_psi=0.25, max_ks=0.5), against(after, before))
        assert [(check.name, check.passed) for check in report.checks] == [
            ("max_psi of co2", False),
            ("max_psi of light", True),
            ("max_ks of co2", True),
            ("max_ks of light", True),
        ]
        psi, _, distance, _ = report.checks
        assert psi.value > 0.25
        assert psi.reason == (
            f"PSI of co2 is {psi.value:.3g}; at most 0.25 is allowed. By chance alone it would be about 0.018."
        )
        assert distance.value == pytest.approx(1 / 3, abs=0.01)

    def test_a_number_that_equals_the_bound_holds(self) -> None:
        facts = against(profile(labels("k", a=300, b=700)), profile(labels("k", a=500, b=500)))
        statistic = facts.comparison.tables[0].columns[0].chi_square
        assert only(Gates(max_chi_square=statistic), facts).passed
        just_below = only(Gates(max_chi_square=statistic - 1e-9), facts)
        assert not just_below.passed
        assert repr(statistic) in just_below.reason

    def test_labels_are_compared_by_chi_square_and_cramers_v(self) -> None:
        facts = against(profile(labels("k", a=300, b=700)), profile(labels("k", a=500, b=500)))
        report = look(Gates(max_chi_square=10, max_cramers_v=0.3), facts)
        assert [check.passed for check in report.checks] == [False, True]
        assert report.checks[0].reason.startswith("Chi-square of k is 83.3; at most 10 is allowed.")

    def test_a_column_of_its_own_bounds_is_not_held_to_the_others(self) -> None:
        facts = against(profile(numbers("co2", 5, 6), numbers("light")), profile(numbers("co2"), numbers("light")))
        loose = Gates(max_psi=0.25, columns={"co2": ColumnBounds(max_psi=1e6)})
        assert [check.name for check in look(loose, facts).checks] == ["max_psi of light", "max_psi of co2"]
        assert look(loose, facts).open
        assert look(Gates(max_psi=0.25, columns={"co2": ColumnBounds()}), facts).open

    def test_a_column_that_is_named_and_not_there_does_not_hold(self) -> None:
        for facts in (
            against(profile(numbers("x")), profile(numbers("x"), numbers("co2"))),
            Facts(version=FIRST, profile=profile(numbers("x"))),
            Facts(version=VERSION, comparison=compare_profiles(profile(numbers("x")), profile(numbers("x")))),
        ):
            for bounds in (ColumnBounds(max_psi=1), ColumnBounds(max_missing_share=1)):
                check = only(Gates(columns={"co2": bounds}), facts)
                assert not check.passed
                assert check.reason == "The version has no column co2; there are x."

    def test_a_column_that_the_reference_has_not_holds_and_is_said(self) -> None:
        facts = against(profile(numbers("x"), numbers("new")), profile(numbers("x")))
        for gates in (Gates(max_psi=0), Gates(columns={"new": ColumnBounds(max_psi=0)})):
            check = look(gates, facts).checks[-1]
            assert check.passed
            assert check.reason == "The reference has no column new to compare with."

    def test_a_column_that_has_lost_all_its_values_does_not_hold(self) -> None:
        facts = against(profile(empty("co2"), numbers("x")), profile(numbers("co2"), numbers("x")))
        co2, x = look(Gates(max_psi=0.25), facts).checks
        assert (co2.passed, co2.reason) == (False, "co2 has no values; the reference has 1000.")
        assert x.passed

    def test_a_column_that_had_no_values_holds(self) -> None:
        check = only(Gates(max_ks=0), against(profile(numbers("co2")), profile(empty("co2"))))
        assert (check.passed, check.reason) == (True, "The reference has no values of co2 to compare with.")

    def test_a_column_of_another_type_does_not_hold(self) -> None:
        check = only(Gates(max_psi=0.25), against(profile(labels("x", a=1000)), profile(numbers("x"))))
        assert not check.passed
        assert check.reason == "x is string and was float; such values cannot be compared."

    def test_a_number_that_there_cannot_be_holds_for_all_and_not_by_name(self) -> None:
        facts = against(profile(numbers("x")), profile(numbers("x")))
        reason = "Chi-square is only of texts, booleans and whole numbers of few different values; x is none."
        assert only(Gates(max_chi_square=5), facts).passed
        named = only(Gates(columns={"x": ColumnBounds(max_chi_square=5)}), facts)
        assert (named.passed, named.reason) == (False, reason)

    def test_times_are_passed_over_unless_they_are_named(self) -> None:
        facts = against(profile(numbers("at", 100, 200, kind="time")), profile(numbers("at", 0, 100, kind="time")))
        passed_over = only(Gates(max_psi=0.25), facts)
        assert passed_over.passed
        assert "newer data has later ones" in passed_over.reason
        assert not only(Gates(columns={"at": ColumnBounds(max_psi=0.25)}), facts).passed

    def test_missing_values_are_asked_of_the_version_alone(self) -> None:
        facts = Facts(version=FIRST, profile=profile(numbers("x", missing=250), numbers("y")))
        x, y = look(Gates(max_missing_share=0.1), facts).checks
        assert (x.value, x.passed, y.passed) == (0.2, False, True)
        assert x.reason == "The share of missing values of x is 0.2; at most 0.1 is allowed."
        assert only(Gates(columns={"x": ColumnBounds(max_missing_share=0.2)}), facts).passed

    def test_columns_of_one_name_in_two_tables_are_told_apart(self) -> None:
        two = DatasetProfile(tables=(table(numbers("id"), numbers("a")), table(numbers("id"), numbers("b"))))
        report = look(Gates(columns={"id": ColumnBounds(max_psi=1)}), against(two, two))
        assert [check.name for check in report.checks] == [
            "max_psi of id in table 1 of those that have it",
            "max_psi of id in table 2 of those that have it",
        ]

    def test_of_many_columns_those_that_hold_are_told_of_together(self) -> None:
        before = profile(*(numbers(f"c{number}") for number in range(300)))
        after = profile(*(numbers(f"c{number}", 0, 1 + (number == 7) * 9 + number / 1e5) for number in range(300)))
        closed, held = look(Gates(max_psi=0.25), against(after, before)).checks
        assert closed.name == "max_psi of c7"
        assert (held.name, held.passed) == ("max_psi of 299 columns", True)
        assert "PSI of c299 is" in held.reason

    def test_of_many_columns_beyond_the_bound_not_all_are_told_of(self) -> None:
        before = profile(*(numbers(f"c{number}") for number in range(300)))
        after = profile(*(numbers(f"c{number}", 5, 6) for number in range(300)))
        checks = look(Gates(max_psi=0.25), against(after, before)).checks
        assert len(checks) == 51
        assert (checks[-1].name, checks[-1].passed) == ("max_psi of 250 columns", False)

    def test_a_part_that_was_read_is_said(self) -> None:
        check = only(Gates(max_ks=1), against(profile(numbers("x"), partial=True), profile(numbers("x"))))
        assert check.reason.endswith("Only a part was read.")


class TestNothingToCompare:
    GATES = Gates(same_columns=True, max_psi=0, columns={"x": ColumnBounds(max_ks=0)})

    def test_without_a_parent_what_compares_holds(self) -> None:
        report = look(self.GATES, Facts(version=FIRST, profile=profile(numbers("x"))))
        assert report.open
        assert {check.reason for check in report.checks} == {
            "The version has no parent, so there is nothing to compare it with."
        }
        assert [check.name for check in report.checks] == ["same_columns", "max_psi", "max_ks of x"]

    def test_a_named_reference_that_was_not_compared_does_not_hold(self) -> None:
        facts = Facts(version=FIRST, profile=profile(numbers("x")), problem="The reference was deleted.")
        report = look(self.GATES.changed(reference=PARENT), facts)
        assert not any(check.passed for check in report.checks)
        assert {check.reason for check in report.checks} == {"The reference was deleted."}

    def test_a_parent_that_was_not_compared_does_not_hold(self) -> None:
        report = look(self.GATES, Facts(version=VERSION))
        assert not any(check.passed for check in report.checks)

    def test_an_event_of_no_version_does_not_hold(self) -> None:
        report = look(self.GATES, Facts())
        assert not any(check.passed for check in report.checks)
        assert report.dataset is None

    def test_tables_that_are_all_gone_do_not_hold(self) -> None:
        nothing = DatasetProfile(error_count=1)
        check = only(Gates(max_psi=1), against(nothing, profile(numbers("x"))))
        assert not check.passed
        assert check.reason == "The version has none of the reference's tables. 1 of its files could not be read."
        assert only(Gates(max_psi=1), against(DatasetProfile(), DatasetProfile())).passed


def everything(low: float) -> DatasetProfile:
    some = spread(low, low + 1)
    return DatasetProfile(
        images=ImagesProfile(files=1, formats={"PNG": 1}, modes={"L": 1}, width=some, height=some, brightness=some),
        audio=AudioProfile(
            files=1, formats={"WAV": 1}, sample_rates={"8000": 1}, channels={"1": 1}, duration_seconds=1, duration=some
        ),
        texts=TextsProfile(files=1, lines=1, words=1, characters=1, words_per_file=some, first_path="a.txt"),
    )


class TestMeasures:
    def test_images_sound_and_texts_are_held_to_the_bounds_like_columns(self) -> None:
        report = look(Gates(max_psi=0.25), against(everything(0), everything(0.9)))
        closed = {check.name for check in report.checks if not check.passed}
        assert closed == {
            "max_psi of images.width",
            "max_psi of images.height",
            "max_psi of images.brightness",
            "max_psi of audio.duration",
            "max_psi of texts.words_per_file",
        }

    def test_a_measure_is_named_like_a_column(self) -> None:
        facts = against(everything(0), everything(0.9))
        gates = Gates(columns={"images.brightness": ColumnBounds(max_ks=0.5)})
        assert not only(gates, facts).passed
        assert not only(Gates(columns={"images.colour": ColumnBounds(max_ks=1)}), facts).passed
        assert only(gates, against(everything(0), profile(numbers("x")))).reason == (
            "The reference has no images.brightness to compare with."
        )

    def test_those_that_can_be_named_are_those_that_are_compared(self) -> None:
        compared = {measure.name for measure in compare_profiles(everything(0), everything(0)).measures}
        assert compared == {f"{noun}.{name}" for noun, names in module._MEASURES.items() for name in names}


class TestFunction:
    @pytest.mark.parametrize(
        ("answer", "passed", "reason"),
        [
            (True, True, "Function sane says yes."),
            (False, False, "Function sane says no."),
            ((False, "Sunday is no day for it."), False, "Function sane says no: Sunday is no day for it."),
            ((True, ""), True, "Function sane says yes."),
            (None, False, "Function sane was not asked."),
        ],
    )
    def test_what_it_says_holds(self, answer: bool | tuple[bool, str] | None, passed: bool, reason: str) -> None:
        check = only(Gates(function="sane"), Facts(answer=answer))
        assert (check.name, check.passed, check.reason) == ("function sane", passed, reason)

    def test_an_answer_that_nobody_asked_for_is_not_looked_at(self) -> None:
        assert look(Gates(), Facts(answer=False)).open
