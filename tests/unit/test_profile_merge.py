"""Merging profiles: any split, any order, the whole."""

from __future__ import annotations

import io
import itertools
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.profiles.files import profile_file
from orchestrator.profiles.merge import MAX_COLUMNS, MAX_ERRORS, MAX_THUMBNAILS, merge
from orchestrator.records.profile import (
    AudioFacts,
    DatasetProfile,
    FileKind,
    FileProfile,
    ImageFacts,
    TableSketch,
    TextFacts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.records.profile import Column

ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(math.inf)),
        st.one_of(st.none(), st.sampled_from(["a", "b", "übrig", "x y"])),
        st.one_of(st.none(), st.sampled_from(["1", "0", "2.5", "0x1F", "true", "2015-02-02", "word"])),
    ),
    min_size=1,
    max_size=150,
)


def written(rows: Sequence[tuple[object, ...]]) -> FileProfile:
    lines = [",".join("" if value is None else str(value) for value in row) + "," for row in rows]
    data = "\n".join(["whole,broken,label,mixed,end", *lines, ""]).encode()
    profile = profile_file(io.BytesIO(data), name="a.csv", size_bytes=len(data))
    assert profile.error is None
    return profile


def table(files: Sequence[tuple[str, FileProfile]]) -> dict[str, Column]:
    merged = merge(files)
    assert len(merged.tables) == 1
    return {column.name: column for column in merged.tables[0].columns}


def split(rows: list[tuple[object, ...]], cuts: list[int]) -> list[list[tuple[object, ...]]]:
    places = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    return [rows[start:end] for start, end in itertools.pairwise(places)]


def numeric(column: Column) -> tuple[object, ...]:
    return (column.type, column.count, column.missing, column.infinite, column.measured, column.min, column.max)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.lists(st.integers(0, 1000), max_size=5))
def test_any_split_gives_what_the_whole_gives(rows: list[tuple[object, ...]], cuts: list[int]) -> None:
    whole = table([("a.csv", written(rows))])
    parts = table([(f"{place}.csv", written(part)) for place, part in enumerate(split(rows, cuts))])
    for name, one in whole.items():
        other = parts[name]
        assert numeric(one) == numeric(other)
        largest = max(abs(one.min or 0), abs(one.max or 0))  # sums of doubles are as exact as the largest of them is
        for value, twin in ((one.mean, other.mean), (one.std, other.std)):
            assert value == (None if twin is None else pytest.approx(twin, rel=1e-9, abs=1e-12 * largest))
        assert one.cdf == other.cdf  # of few values the sketches are exact
        assert one.distinct == other.distinct
        assert one.top == other.top


@settings(max_examples=25, deadline=None)
@given(ROWS, st.lists(st.integers(0, 1000), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_files_makes_no_difference(rows: list[tuple[object, ...]], cuts: list[int], draw: object) -> None:
    files = [(f"{place}.csv", written(part)) for place, part in enumerate(split(rows, cuts))]
    shuffled = list(files)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]  hypothesis' own kind of random.Random
    one, other = merge(files), merge(shuffled)
    assert one.tables[0].head == other.tables[0].head
    assert one.tables[0].first_path == other.tables[0].first_path == "0.csv"
    for column, twin in zip(one.tables[0].columns, other.tables[0].columns, strict=True):
        assert numeric(column) == numeric(twin)
        assert column.top == twin.top


def test_quantiles_of_many_merged_files_stay_within_the_error_of_the_sketch() -> None:
    files = []
    for place in range(50):
        data = "x\n" + "\n".join(str(place + 50 * step) for step in range(1000))
        files.append((f"{place}.csv", profile_file(io.BytesIO(data.encode()), name="a.csv", size_bytes=len(data))))
    column = table(files)["x"]
    assert (column.count, column.min, column.max) == (50_000, 0, 49_999)
    assert column.mean == pytest.approx(24_999.5)
    assert column.std == pytest.approx(50_000 / math.sqrt(12), rel=1e-3)
    assert column.distinct == pytest.approx(50_000, rel=0.1)
    # One quantile is within 1.3 % of its rank with 99 % confidence, all 101 of them within a little more.
    assert all(abs(value / 50_000 - share / 100) < 0.025 for share, value in enumerate(column.cdf))
    assert column.histogram is not None
    assert sum(column.histogram.counts) == 50_000
    assert all(count == pytest.approx(2500, abs=1500) for count in column.histogram.counts)


def test_files_with_other_columns_are_other_tables() -> None:
    def file(text: str) -> FileProfile:
        return profile_file(io.BytesIO(text.encode()), name="a.csv", size_bytes=len(text))

    merged = merge([("b.csv", file("x,y\n1,2\n")), ("a.csv", file("z,x\n1,2\n3,4\n")), ("c.csv", file("x,y\n1.5,2\n"))])
    assert [(table.rows, table.files, table.first_path) for table in merged.tables] == [
        (2, 1, "a.csv"),
        (2, 2, "b.csv"),
    ]
    assert merged.tables[1].columns[0].type == "float"


def test_a_column_that_is_empty_in_some_files_has_the_type_of_the_others() -> None:
    files = [("a.csv", written([(1, None, None, None)])), ("b.csv", written([(None, 2.5, None, None)]))]
    assert (table(files)["whole"].type, table(files)["broken"].type, table(files)["label"].type) == (
        "integer",
        "float",
        "null",
    )


def test_more_tables_than_are_kept_make_it_partial() -> None:
    sketch = written([(1, 2.5, "a", "b")]).table
    assert sketch is not None
    files = []
    for place in range(MAX_COLUMNS // 5 + 1):
        columns = tuple(column.changed(name=f"{column.name} {place}") for column in sketch.columns)
        profile = FileProfile(
            kind=FileKind.TABLE, size_bytes=1, table=TableSketch(format="csv", rows=1, columns=columns)
        )
        files.append((f"{place}.csv", profile))
    merged = merge(files)
    assert merged.partial
    assert sum(len(table.columns) for table in merged.tables) == MAX_COLUMNS


def test_files_that_were_not_profiled_make_it_partial() -> None:
    merged = merge([("a.csv", written([(1, None, None, None)]))], files=10)
    assert (merged.files, merged.profiled_files, merged.partial) == (10, 1, True)


def test_errors_are_counted_and_some_kept() -> None:
    files = [
        (f"{place:04}.png", FileProfile(kind=FileKind.IMAGE, size_bytes=1, error="it is empty"))
        for place in reversed(range(5 * MAX_ERRORS))
    ]
    merged = merge(files)
    assert (merged.error_count, merged.profiled_files, len(merged.errors)) == (5 * MAX_ERRORS, 0, MAX_ERRORS)
    assert merged.errors[0].path == "0000.png"


def test_images_sound_texts_and_others_are_summed() -> None:
    def image(place: int) -> FileProfile:
        facts = ImageFacts(
            format="PNG", mode="RGB", width=100 + place, height=50, brightness=0.5, thumbnail=f"data:{place}"
        )
        return FileProfile(kind=FileKind.IMAGE, size_bytes=10, image=facts)

    files = [(f"{place}.png", image(place)) for place in range(101)]
    facts = AudioFacts(format="wav", duration_seconds=1.5, sample_rate=8000, channels=1)
    files += [(f"{place}.wav", FileProfile(kind=FileKind.AUDIO, size_bytes=1, audio=facts)) for place in range(4)]
    text = TextFacts(encoding="utf-8", lines=2, words=3, characters=10, head=("a", "b"))
    files += [(f"{name}.txt", FileProfile(kind=FileKind.TEXT, size_bytes=10, text=text)) for name in "ab"]
    files += [
        ("model.PT", FileProfile(kind=FileKind.OTHER, size_bytes=7)),
        ("x", FileProfile(kind=FileKind.OTHER, size_bytes=0)),
    ]
    merged = merge(files)
    assert merged.images is not None
    assert merged.audio is not None
    assert merged.texts is not None
    assert (merged.images.files, merged.images.width.quantiles["q50"]) == (101, 150)
    assert len(merged.images.thumbnails) == MAX_THUMBNAILS
    assert {item.path for item in merge(reversed(files)).images.thumbnails} == {  # type: ignore[union-attr]  there are some
        item.path for item in merged.images.thumbnails
    }
    assert (merged.audio.duration_seconds, merged.audio.sample_rates) == (6.0, {"8000": 4})
    assert (merged.texts.lines, merged.texts.words, merged.texts.head) == (4, 6, ("a", "b"))
    assert merged.other == {"": 1, ".pt": 1}
    assert (merged.files, merged.profiled_files, merged.partial) == (109, 107, False)


def test_a_merged_profile_survives_json() -> None:
    merged = merge([("a.csv", written([(2**60, math.inf, "a", "1"), (None, None, None, "true")]))])
    assert DatasetProfile.model_validate_json(merged.model_dump_json()) == merged


def test_nothing_merges_to_nothing() -> None:
    assert merge([]) == DatasetProfile()
