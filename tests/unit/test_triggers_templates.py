from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InvalidRequest, UnknownTemplateName
from orchestrator.records.event import Event, EventType
from orchestrator.records.trigger import CloneAction, DatasetCondition, Trigger
from triggers.templates import NAMES, check, check_line, fill, names, refuse, values_of

VALUES = {name: f"<{name}>" for name in NAMES}


def test_a_name_is_filled_in_anywhere_in_a_text() -> None:
    assert fill("s3://bucket/${dataset.id}/x?v=${dataset.version}", VALUES) == (
        "s3://bucket/<dataset.id>/x?v=<dataset.version>"
    )


def test_two_dollars_are_one() -> None:
    assert fill("$${dataset.id} costs $$5", VALUES) == "${dataset.id} costs $5"


@pytest.mark.parametrize("text", ["", "$", "$5", "$HOME", "{dataset.id}", "a}b", "100 %"])
def test_other_dollars_and_braces_stay(text: str) -> None:
    check(text)
    assert fill(text, VALUES) == text


def test_values_are_taken_literally() -> None:
    assert fill("${dataset.name}", VALUES | {"dataset.name": r"$$${dataset.id}\1"}) == r"$$${dataset.id}\1"


def test_an_unknown_name_is_refused_with_the_near_misses_and_all_that_exist() -> None:
    with pytest.raises(UnknownTemplateName) as caught:
        check("x ${datset.id} y")
    assert caught.value.message == "${datset.id} names nothing."
    assert caught.value.hint.startswith("Did you mean ${dataset.id}")
    assert all(name in caught.value.hint for name in NAMES)


@pytest.mark.parametrize("text", ["${dataset.id", "${", "a ${dataset.id b"])
def test_an_unclosed_brace_is_refused(text: str) -> None:
    with pytest.raises(UnknownTemplateName, match="no closing brace"):
        check(text)


@pytest.mark.parametrize("text", ["a\nb ${dataset.id}", "\t", "x\x7f", "\0"])
def test_a_template_of_a_line_holds_no_control_character(text: str) -> None:
    check(text)
    with pytest.raises(InvalidRequest, match="control character"):
        check_line(text)


def test_a_template_of_a_line_is_checked_like_any_other() -> None:
    check_line("retrain ${dataset.version} für $$5")
    with pytest.raises(UnknownTemplateName):
        check_line("${dataset.ids}")


def test_a_template_where_none_is_filled_is_refused() -> None:
    refuse("gpu-$5", field="queue")
    with pytest.raises(InvalidRequest, match=r"queue.*\$\{dataset.name\}"):
        refuse("q-${dataset.name}", field="queue")


@pytest.mark.parametrize("text", ["${}", "${ dataset.id }", "${DATASET.ID}", "${dataset.id.x}"])
def test_a_name_must_be_exact(text: str) -> None:
    with pytest.raises(UnknownTemplateName):
        check(text)


def test_filling_refuses_what_checking_refuses() -> None:
    with pytest.raises(UnknownTemplateName):
        fill("${task.id}", VALUES)


def test_names_are_listed_in_order_unknown_ones_too() -> None:
    assert names("${b} $${a} ${a} ${b}") == ["b", "a", "b"]


def test_every_name_has_a_value_when_a_trigger_fires() -> None:
    moment = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    trigger = Trigger(
        id="b" * 32,
        name="nightly",
        condition=DatasetCondition(),
        action=CloneAction(task="c" * 32),
        starts_after=0,
        created_at=moment,
        created_by="a" * 32,
        changed_at=moment,
    )
    event = Event(
        id=7,
        at=moment,
        type=EventType.DATASET_TAGGED,
        subject="d" * 32,
        project="pharmacy",
        actor="a" * 32,
        data={"name": "sales", "version": "1.2.3", "tags": ["x", "y"], "file_count": 3, "size_bytes": 10},
    )
    assert values_of(event, trigger) == {
        "dataset.id": "d" * 32,
        "dataset.name": "sales",
        "dataset.project": "pharmacy",
        "dataset.version": "1.2.3",
        "dataset.tags": "x,y",
        "dataset.file_count": "3",
        "dataset.size_bytes": "10",
        "event.id": "7",
        "event.time": "2026-01-01T10:00:00+00:00",
        "event.type": "dataset.tagged",
        "trigger.name": "nightly",
        "trigger.id": "b" * 32,
    }
    assert set(values_of(event, trigger)) == set(NAMES)


@given(st.text())
def test_any_text_survives_with_its_dollars_doubled(text: str) -> None:
    escaped = text.replace("$", "$$")
    check(escaped)
    assert fill(escaped, VALUES) == text


@given(st.text(alphabet="${}. adetsi"))
def test_what_is_checked_can_be_filled_and_what_is_refused_cannot(text: str) -> None:
    try:
        check(text)
    except UnknownTemplateName:
        with pytest.raises(UnknownTemplateName):
            fill(text, VALUES)
    else:
        fill(text, VALUES)


@given(st.lists(st.sampled_from(NAMES)), st.text(alphabet=st.characters(exclude_characters="$"), min_size=1))
def test_pieces_are_filled_one_by_one(used: list[str], between: str) -> None:
    template = between.join(f"${{{name}}}" for name in used)
    assert fill(template, VALUES) == between.join(VALUES[name] for name in used)
