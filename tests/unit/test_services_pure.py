"""The pure parts of the services."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.gate import carries_bytes, check_protocol, read_token
from orchestrator.errors import InvalidRequest, Unauthenticated, UnknownParameter, UnsupportedProtocol
from orchestrator.records.task import Parameter
from orchestrator.services.drawable import drawable
from orchestrator.services.ids import SYSTEM, new_id
from orchestrator.services.near_misses import did_you_mean
from orchestrator.services.paging import gather
from orchestrator.services.parameters import check_value, override
from orchestrator.services.read_results import whole_characters
from orchestrator.services.tag import apply_tags
from orchestrator.wire import EditTags, PutReport

if TYPE_CHECKING:
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import ParameterType

REFERENCE = [
    Parameter(name="Args/lr", type="float", value="0.1"),
    Parameter(name="Args/epochs", type="int", value="3"),
    Parameter(name="Args/shuffle", type="bool", value="true"),
    Parameter(name="Args/layers", type="json", value="[1, 2]"),
    Parameter(name="General/CLEARML_DATASET_ID", type="string", value="old"),
    Parameter(name="General/seed", type="none", value=""),
]


def overridden(name: str, text: str) -> tuple[str, str]:
    changed = {each.name: each for each in override(REFERENCE, overrides={name: text}, allow_new=False)}[name]
    return changed.type, changed.value


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Args/lr", "1e-3", ("float", "0.001")),
        ("Args/epochs", "10", ("int", "10")),
        ("Args/epochs", "2.5", ("float", "2.5")),
        ("Args/shuffle", "no", ("bool", "false")),
        ("Args/layers", "[64,32]", ("json", "[64, 32]")),
        ("General/CLEARML_DATASET_ID", "$(id); rm -rf / '\"\n🦀", ("string", "$(id); rm -rf / '\"\n🦀")),
        ("General/seed", "7", ("string", "7")),
    ],
)
def test_an_override_takes_the_type_of_what_it_replaces(name: str, text: str, expected: tuple[str, str]) -> None:
    assert overridden(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [("Args/lr", "fast"), ("Args/shuffle", "maybe"), ("Args/layers", "[1,"), ("Args/layers", "[" * 9999)],
)
def test_a_text_of_another_type_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=name):
        overridden(name, text)


def test_an_unknown_override_lists_near_misses() -> None:
    with pytest.raises(UnknownParameter, match=r"Args/lrr.*Did you mean Args/lr or"):
        overridden("Args/lrr", "1")


def test_new_parameters_come_only_when_allowed_and_are_strings() -> None:
    added = override(REFERENCE, overrides={"Args/new": "1"}, allow_new=True)[-1]
    assert (added.name, added.type, added.value) == ("Args/new", "string", "1")
    with pytest.raises(InvalidRequest, match="Section/name"):
        override(REFERENCE, overrides={"new": "1"}, allow_new=True)


@pytest.mark.parametrize(("kind", "text"), [("int", "3"), ("json", "[1]"), ("bool", "true")])
def test_the_type_of_what_was_given_counts_where_the_reference_has_none(kind: ParameterType, text: str) -> None:
    given = {"General/seed": text, "Args/new": text}
    made = override(REFERENCE, overrides=given, types=dict.fromkeys(given, kind), allow_new=True)
    assert {(each.type, each.value) for each in made if each.name in given} == {(kind, text)}
    with pytest.raises(InvalidRequest, match="General/seed"):
        override(REFERENCE, overrides={"General/seed": "x"}, types={"General/seed": "int"}, allow_new=False)


def test_the_type_of_the_reference_stands_whatever_was_given() -> None:
    made = override(REFERENCE, overrides={"Args/lr": "1"}, types={"Args/lr": "int"}, allow_new=False)
    assert [(each.type, each.value) for each in made if each.name == "Args/lr"] == [("float", "1.0")]


def test_a_value_must_be_of_its_type() -> None:
    with pytest.raises(InvalidRequest, match="Args/x"):
        check_value(Parameter(name="Args/x", type="int", value="many"))


@given(text=st.text(max_size=20), cut=st.integers(0, 80))
def test_text_cut_anywhere_reads_whole_in_the_end(text: str, cut: int) -> None:
    data = text.encode()
    first = whole_characters(data[:cut])
    assert data.startswith(first)
    assert len(data[:cut]) - len(first) < 4
    assert first.decode() + data[len(first) :].decode() == text


@given(st.binary(max_size=40))
def test_bytes_that_are_no_text_lose_at_most_three(data: bytes) -> None:
    assert data.startswith(whole_characters(data))
    assert len(data) - len(whole_characters(data)) <= 3


@given(
    present=st.sets(st.sampled_from("abcdef")),
    add=st.sets(st.sampled_from("abc")),
    remove=st.sets(st.sampled_from("def")),
)
def test_tags_come_and_go_and_only_changes_are_told(present: set[str], add: set[str], remove: set[str]) -> None:
    body = EditTags(add=tuple(add), remove=tuple(remove))
    after, added, removed = apply_tags(tuple(sorted(present)), body=body)
    assert set(after) == (present | add) - remove
    assert set(added) == set(after) - present
    assert set(removed) == present - set(after)


def test_a_tag_cannot_be_added_and_removed_at_once() -> None:
    with pytest.raises(InvalidRequest, match="a"):
        apply_tags((), body=EditTags(add=("a",), remove=("a",)))


@given(visible=st.lists(st.booleans(), max_size=30), limit=st.integers(1, 7))
def test_pages_of_what_may_be_seen_are_full_and_miss_nothing(visible: list[bool], limit: int) -> None:
    records = [SYSTEM.changed(id=f"{number:032x}") for number in range(len(visible))]
    allowed = {record.id for record, seen in zip(records, visible, strict=True) if seen}

    def fetch(after: str | None, count: int) -> list[Principal]:
        return [record for record in records if after is None or record.id > after][:count]

    got: list[str] = []
    after = None
    while page := gather(fetch, keep=lambda record: record.id in allowed, after=after, limit=limit):
        got += [record.id for record in page]
        after = page[-1].id
    assert got == sorted(allowed)


@pytest.mark.parametrize(
    ("kind", "data", "kept"),
    [
        ("scalar", 1, 1),
        ("scalar", math.nan, None),
        ("text", "x", "x"),
        ("scatter2d", [[1, 2.5], [math.inf, 0]], [[1, 2.5], [None, 0]]),
    ],
)
def test_reports_are_kept_as_what_can_be_drawn(kind: str, data: object, kept: object) -> None:
    assert drawable(PutReport.model_validate({"title": "t", "series": "s", "kind": kind, "data": data})) == kept


@pytest.mark.parametrize(
    ("kind", "data"), [("scalar", "1"), ("scalar", True), ("text", 1), ("scatter2d", [[1]]), ("scatter2d", {"x": 1})]
)
def test_reports_that_cannot_be_drawn_say_what_was_expected(kind: str, data: object) -> None:
    with pytest.raises(InvalidRequest, match=kind):
        drawable(PutReport.model_validate({"title": "t", "series": "s", "kind": kind, "data": data}))


def test_a_text_that_no_answer_could_carry_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="UTF-8"):
        drawable(PutReport.model_validate({"title": "t", "series": "s", "kind": "text", "data": "half \ud800"}))


def test_ids_grow_with_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))


def test_near_misses_or_all() -> None:
    assert did_you_mean("defualt", known=["default", "gpu"]) == "Did you mean default?"
    assert did_you_mean("zzz", known=["default", "gpu"]) == "There are: default, gpu."
    assert did_you_mean("zzz", known=[]) == "There are none."


def test_a_token_is_read_from_a_bearer_header_and_from_a_browser_only_where_it_may() -> None:
    basic = "Basic " + base64.b64encode(b"me:rt_x").decode()
    assert read_token("Bearer rt_x", basic=False) == "rt_x"
    assert read_token(basic, basic=True) == "rt_x"
    for header in ("", "Bearer ", "Bearer", basic, "rt_x"):
        with pytest.raises(Unauthenticated):
            read_token(header, basic=False)
    with pytest.raises(Unauthenticated):
        read_token("Basic %%%", basic=True)


@pytest.mark.parametrize("version", ["0", "99", "", "one", "1.0"])
def test_other_protocols_are_refused_with_the_line_that_upgrades(version: str) -> None:
    with pytest.raises(UnsupportedProtocol, match="pip install --upgrade"):
        check_protocol(version)


def test_our_protocol_and_silence_are_understood() -> None:
    check_protocol("1")
    check_protocol(None)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("PUT", "/api/v1/blobs/blake3:ab", True),
        ("POST", "/api/v1/blobs", True),
        ("POST", "/api/v1/blobs/missing", False),
        ("PUT", "/api/v1/tasks/x/console", True),
        ("POST", "/api/v1/tasks", False),
        ("GET", "/api/v1/blobs/x", False),
        ("PUT", "/api/v1/events/cursors/console", False),
        ("POST", "/api/v1/triggers/console", False),
        ("PUT", "/api/v1/tasks/x/y/console", False),
        ("POST", "/api/v1/blobsmissing", False),
    ],
)
def test_only_bytes_may_be_of_any_size(method: str, path: str, expected: bool) -> None:
    assert carries_bytes(method, path=path) is expected
