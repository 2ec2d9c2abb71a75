from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InvalidRequest
from triggers.durations import in_words, seconds_of


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        ("90", 90),
        ("45s", 45),
        ("10m", 600),
        ("10 min", 600),
        ("1h30m", 5400),
        ("1H 30M", 5400),
        ("1.5h", 5400),
        ("2d", 172_800),
        ("1w", 604_800),
        (timedelta(minutes=2), 120),
    ],
)
def test_a_length_of_time_may_be_written_in_several_ways(value: object, seconds: float) -> None:
    assert seconds_of(value, field="debounce") == seconds


@pytest.mark.parametrize(
    "value", [0, -1, "", "soon", "1y", "1h30", "h", "10m!", None, True, float("inf"), float("nan"), timedelta(0), [1]]
)
def test_what_is_no_length_of_time_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidRequest, match="debounce"):
        seconds_of(value, field="debounce")


@given(st.integers(1, 10**8))
def test_a_length_in_words_reads_back_as_the_same(seconds: int) -> None:
    assert seconds_of(in_words(seconds), field="f") == seconds


def test_words_are_short() -> None:
    assert (in_words(5400), in_words(90), in_words(0.5), in_words(86_400)) == ("1h30m", "1m30s", "0.5s", "1d")
