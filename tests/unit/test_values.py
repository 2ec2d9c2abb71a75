from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.records.values import coerce, decode, encode

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_values)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    back = decode(*encode(value))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, 0.1 + 0.2, 5e-324])
def test_floats_keep_every_bit(number: float) -> None:
    back = decode(*encode(number))
    assert math.isnan(back) if math.isnan(number) else back == number


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("float", "0.01", ("float", "0.01")),
        ("float", "1", ("float", "1.0")),
        ("int", "3", ("int", "3")),
        ("int", "3.5", ("float", "3.5")),
        ("bool", "No", ("bool", "false")),
        ("string", "007", ("string", "007")),
        ("json", "[1, 2]", ("json", "[1, 2]")),
        ("none", "text", ("string", "text")),
        ("none", "", ("none", "")),
    ],
)
def test_typed_text_takes_the_type_of_what_it_replaces(kind: str, text: str, expected: tuple[str, str]) -> None:
    assert coerce(kind, text) == expected


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("int", "many", "'many' is no number, such as 0.5"),
        ("float", "; rm -rf /", "'; rm -rf /' is no number, such as 0.5"),
        ("bool", "perhaps", "'perhaps' is neither true nor false"),
        ("json", "{", "'{' is no JSON, such as [1, 2]"),
        ("colour", "red", "'colour' is no type; types are"),
        ("float", "x" * 10_000, f"'{'x' * 80}…' is no number"),
    ],
)
def test_text_of_another_type_is_refused_with_what_was_given_and_what_is_wanted(
    kind: str, text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        coerce(kind, text)


def test_what_json_cannot_say_is_kept_as_its_text() -> None:
    assert encode({"path": {1, 2}.__class__}) == ("string", "{'path': <class 'set'>}")
