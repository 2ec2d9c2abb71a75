from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InvalidRequest, UnknownTemplateName
from orchestrator.records.action import CloneAction
from orchestrator.records.condition import (
    DatasetCondition,
    FiringCondition,
    ModelCondition,
    ScheduleCondition,
    TaskCondition,
)
from orchestrator.records.event import Event, EventType
from orchestrator.records.trigger import Trigger
from triggers.templates import Scope, check, check_line, fill, names, refuse, scope_of, values_of

if TYPE_CHECKING:
    from orchestrator.records.condition import Condition

DATASET = Scope("dataset")
VALUES = {name: f"<{name}>" for name in DATASET.names}
MOMENT = datetime(2026, 1, 1, 23, tzinfo=timezone(timedelta(hours=-2)))


def test_a_name_is_filled_in_anywhere_in_a_text() -> None:
    assert fill("s3://bucket/${dataset.id}/x?v=${dataset.version}", VALUES) == (
        "s3://bucket/<dataset.id>/x?v=<dataset.version>"
    )


def test_two_dollars_are_one() -> None:
    assert fill("$${dataset.id} costs $$5", VALUES) == "${dataset.id} costs $5"


@pytest.mark.parametrize("text", ["", "$", "$5", "$HOME", "{dataset.id}", "a}b", "100 %"])
def test_other_dollars_and_braces_stay(text: str) -> None:
    check(text, scope=DATASET)
    assert fill(text, VALUES) == text


def test_values_are_taken_literally() -> None:
    assert fill("${dataset.name}", VALUES | {"dataset.name": r"$$${dataset.id}\1"}) == r"$$${dataset.id}\1"


def refused(text: str, scope: Scope) -> str:
    """Return what is said of a template that is refused."""
    with pytest.raises(UnknownTemplateName) as caught:
        check(text, scope=scope)
    return str(caught.value)


def test_an_unknown_name_is_refused_with_the_near_misses_and_all_that_exist() -> None:
    said = refused("x ${datset.id} y", DATASET)
    assert said.startswith("${datset.id} names nothing. Did you mean ${dataset.id}")
    assert all(name in said for name in DATASET.names)


@pytest.mark.parametrize("text", ["${dataset.id", "${", "a ${dataset.id b"])
def test_an_unclosed_brace_is_refused(text: str) -> None:
    assert "no closing brace" in refused(text, DATASET)
    with pytest.raises(UnknownTemplateName, match="no closing brace"):
        fill(text, VALUES)


@pytest.mark.parametrize("text", ["a\nb ${dataset.id}", "\t", "x\x7f", "\0"])
def test_a_template_of_a_line_holds_no_control_character(text: str) -> None:
    check(text, scope=DATASET)
    with pytest.raises(InvalidRequest, match="control character"):
        check_line(text, scope=DATASET)


def test_a_template_of_a_line_is_checked_like_any_other() -> None:
    check_line("retrain ${dataset.version} für $$5", scope=DATASET)
    with pytest.raises(UnknownTemplateName):
        check_line("${dataset.ids}", scope=DATASET)


def test_a_template_where_none_is_filled_is_refused() -> None:
    refuse("gpu-$5", field="queue")
    with pytest.raises(InvalidRequest, match=r"queue.*\$\{dataset.name\}"):
        refuse("q-${dataset.name}", field="queue")


@pytest.mark.parametrize("text", ["${}", "${ dataset.id }", "${DATASET.ID}", "${dataset.id.x}", "${dataset.id\n}"])
def test_a_name_must_be_exact(text: str) -> None:
    assert "names nothing" in refused(text, DATASET)


def test_names_are_listed_in_order_unknown_ones_too() -> None:
    assert names("${b} $${a} ${a} ${b}") == ["b", "a", "b"]


@pytest.mark.parametrize("name", ["x" * 1_000_000, "task.metrics." + "." * 1_000_000])
def test_a_name_of_any_length_is_refused_at_once(name: str) -> None:
    assert len(refused(f"${{{name}}}", Scope("task"))) < 5000


class TestScopes:
    @pytest.mark.parametrize(
        ("condition", "known", "unknown"),
        [
            (DatasetCondition(), "datasets.ids", "task.id"),
            (TaskCondition(), "task.status", "dataset.id"),
            (ModelCondition(), "model.alias", "models.count"),
            (FiringCondition(), "cause.checks", "model.id"),
            (ScheduleCondition(cron="* * * * *"), "schedule.date", "event.id"),
        ],
    )
    def test_a_trigger_knows_the_names_of_what_it_waits_for(
        self, condition: Condition, known: str, unknown: str
    ) -> None:
        scope = scope_of(condition)
        check(f"${{{known}}} ${{trigger.name}} ${{firing.id}}", scope=scope)
        refused(f"${{{unknown}}}", scope)

    def test_names_of_another_kind_say_which_trigger_has_them(self) -> None:
        said = refused("${dataset.id}", Scope("task"))
        assert "This trigger waits for tasks, and dataset is of those that wait for dataset versions." in said

    @pytest.mark.parametrize(
        "name",
        [
            "task.metrics.loss.validation",
            "task.metrics.loss.validation.min",
            "task.metrics.epoch loss.val/1",
            "task.parameters.Args/lr",
            "task.parameters.General/a.b/c",
        ],
    )
    def test_what_a_task_will_have_is_checked_for_its_shape(self, name: str) -> None:
        check(f"${{{name}}}", scope=Scope("task"))
        refused(f"${{{name}}}", DATASET)

    @pytest.mark.parametrize(
        "name",
        ["task.metrics.loss", "task.metrics..a", "task.metrics.loss.", "task.parameters.lr", "task.parameters./a"],
    )
    def test_what_has_another_shape_is_refused_with_the_shape(self, name: str) -> None:
        said = refused(f"${{{name}}}", Scope("task"))
        assert "task.metrics.<title>.<series>" in said
        assert "task.parameters.<Section/name>" in said

    @pytest.mark.parametrize(
        "rest",
        [
            "id",
            "name",
            "status",
            "attempt",
            "artifacts.table.url",
            "artifacts.table.csv.digest",
            "artifacts.a b.size_bytes",
            "models.latest.id",
            "models.demand.version",
            "metrics.loss.validation.last",
            "parameters.Args/lr",
        ],
    )
    def test_a_step_knows_what_earlier_ones_made_and_nothing_of_others(self, rest: str) -> None:
        scope = scope_of(DatasetCondition(), steps=("prepare", "train"))
        check(f"${{steps.train.{rest}}} ${{dataset.id}}", scope=scope)
        assert "The steps before are prepare, train." in refused(f"${{steps.evaluate.{rest}}}", scope)
        assert "There is no step before." in refused(f"${{steps.train.{rest}}}", DATASET)

    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("steps.trian.artifacts.table.url", "steps.train.artifacts.table.url"),
            ("steps.train.artifacts.table.urll", "steps.train.artifacts.table.url"),
            ("steps.train.models.latest.ids", "steps.train.models.latest.id"),
            ("steps.trian.parameters.Args/lr", "steps.train.parameters.Args/lr"),
            ("steps.train.ids", "steps.train.id"),
        ],
    )
    def test_near_misses_of_steps_keep_the_part_that_nobody_can_know(self, name: str, near: str) -> None:
        said = refused(f"${{{name}}}", scope_of(DatasetCondition(), steps=("train",)))
        assert f"Did you mean ${{{near}}}" in said

    @pytest.mark.parametrize("name", ["steps.train.artifacts.table", "steps.train.artifacts..url", "steps.train.x.y.z"])
    def test_a_step_has_nothing_of_another_shape(self, name: str) -> None:
        refused(f"${{{name}}}", scope_of(DatasetCondition(), steps=("train",)))


def a_trigger(condition: Condition) -> Trigger:
    return Trigger(
        id="b" * 32,
        name="nightly",
        condition=condition,
        action=CloneAction(task="c" * 32),
        starts_after=0,
        created_at=MOMENT,
        created_by="a" * 32,
        changed_at=MOMENT,
    )


def an_event(number: int, kind: EventType, subject: str = "d", **data: object) -> Event:
    return Event(
        id=number, at=MOMENT, type=kind, subject=subject * 32, project="pharmacy", actor="a" * 32, data=dict(data)
    )


def values(condition: Condition, *events: Event, occurrence_at: datetime | None = None) -> dict[str, str]:
    """Return the values of these events without those that every trigger has."""
    found = values_of(events, trigger=a_trigger(condition), firing_id="f" * 32, occurrence_at=occurrence_at)
    always = {"trigger.name": "nightly", "trigger.id": "b" * 32, "firing.id": "f" * 32}
    assert always.items() <= found.items()
    return {name: value for name, value in found.items() if name not in always}


class TestValues:
    def test_names_in_the_singular_are_of_the_newest_event_and_in_the_plural_of_all(self) -> None:
        facts = {"name": "sales", "tags": ["x", "y"], "file_count": 3, "size_bytes": 10}
        events = (
            an_event(7, EventType.DATASET_TAGGED, "d", **facts, version="1.0.0"),
            an_event(8, EventType.DATASET_TAGGED, "e", **facts, version="1.0.1"),
            an_event(9, EventType.DATASET_TAGGED, "d", **facts | {"tags": ["z"]}, version="1.0.0"),
        )
        assert values(DatasetCondition(), *events) == {
            "dataset.id": "d" * 32,
            "dataset.name": "sales",
            "dataset.project": "pharmacy",
            "dataset.version": "1.0.0",
            "dataset.tags": "z",
            "dataset.file_count": "3",
            "dataset.size_bytes": "10",
            "datasets.ids": f"{'d' * 32},{'e' * 32}",
            "datasets.versions": "1.0.0,1.0.1",
            "datasets.count": "2",
            "event.id": "9",
            "event.time": "2026-01-02T01:00:00+00:00",
            "event.type": "dataset.tagged",
            "events.count": "3",
            "events.ids": "7,8,9",
        }

    def test_numbers_of_a_task_are_found_by_title_and_series(self) -> None:
        metrics = {"loss": {"val.1": {"last": 0.5, "min": -1, "max": None}}, "accuracy": {"all": {"last": "NaN"}}}
        found = values(
            TaskCondition(), an_event(7, EventType.TASK_COMPLETED, name="t", status="completed", metrics=metrics)
        )
        assert {name: value for name, value in found.items() if "metrics" in name} == {
            "task.metrics.loss.val.1": "0.5",
            "task.metrics.loss.val.1.last": "0.5",
            "task.metrics.loss.val.1.min": "-1",
            "task.metrics.accuracy.all": "NaN",
            "task.metrics.accuracy.all.last": "NaN",
        }
        assert found["tasks.ids"] == found["task.id"] == "d" * 32
        assert found["tasks.count"] == "1"

    def test_a_value_that_crossed_a_bound_is_found_too(self) -> None:
        crossed = an_event(7, EventType.TASK_METRIC_CROSSED, title="loss", series="val", value=0.25)
        assert fill("${task.metrics.loss.val}", values(TaskCondition(), crossed)) == "0.25"

    def test_a_message_can_tell_of_a_closed_gate_in_lines(self) -> None:
        checks = [{"name": "max_psi of CO2", "reason": "PSI of CO2 is 0.4."}, {"reason": "Too\nfew rows."}]
        facts = {"name": "retrain", "firing": "9" * 32, "status": "blocked", "reason": "two gates\nare closed"}
        blocked = an_event(7, EventType.TRIGGER_BLOCKED, **facts, gate=checks)
        found = values(FiringCondition(), blocked)
        assert found["cause.trigger"] == "retrain"
        assert found["cause.firing"] == "9" * 32
        assert found["cause.status"] == "blocked"
        assert found["cause.reason"] == "two gates are closed"
        assert found["cause.checks"] == "PSI of CO2 is 0.4. Too few rows."

    def test_a_model_version_has_its_alias_and_its_task(self) -> None:
        facts = {"name": "demand", "version": 3, "tags": ["good"], "alias": "production", "task_id": None}
        found = values(ModelCondition(), an_event(7, EventType.MODEL_PROMOTED, **facts))
        assert (found["model.version"], found["model.alias"], found["model.task_id"]) == ("3", "production", "")
        assert found["models.ids"] == "d" * 32

    def test_a_schedule_has_its_time_in_utc_and_its_date_where_it_is(self) -> None:
        condition = ScheduleCondition(cron="0 1 * * *", timezone="America/New_York")
        at = datetime(2026, 1, 2, 1, tzinfo=UTC)
        assert values(condition, occurrence_at=at) == {
            "schedule.time": "2026-01-02T01:00:00+00:00",
            "schedule.date": "2026-01-01",
        }

    @pytest.mark.parametrize(
        ("condition", "kind"),
        [
            (DatasetCondition(), EventType.DATASET_TAGGED),
            (TaskCondition(), EventType.TASK_COMPLETED),
            (ModelCondition(), EventType.MODEL_PROMOTED),
            (FiringCondition(), EventType.TRIGGER_BLOCKED),
        ],
    )
    def test_every_name_has_a_value_even_of_an_event_that_says_nothing(
        self, condition: Condition, kind: EventType
    ) -> None:
        found = values_of((an_event(7, kind),), trigger=a_trigger(condition), firing_id="f" * 32, occurrence_at=None)
        assert set(found) == set(scope_of(condition).names)

    def test_what_a_task_does_not_have_is_said_with_what_it_has(self) -> None:
        found = values(TaskCondition(), an_event(7, EventType.TASK_COMPLETED, metrics={"loss": {"val": {"last": 1}}}))
        with pytest.raises(UnknownTemplateName) as caught:
            fill("${task.metrics.loss.vall}", found)
        assert str(caught.value).startswith(
            "${task.metrics.loss.vall} has no value here. Did you mean ${task.metrics.l"
        )

    def test_of_hundreds_of_numbers_a_few_are_listed(self) -> None:
        metrics = {"loss": {f"series {number}": {"last": number} for number in range(200)}}
        found = values(TaskCondition(), an_event(7, EventType.TASK_COMPLETED, metrics=metrics))
        with pytest.raises(UnknownTemplateName) as caught:
            fill("${task.metrics.loss.series_7}", found)
        assert "${task.metrics.loss.series 7}" in str(caught.value)
        assert len(str(caught.value)) < 2000


@given(st.text())
def test_any_text_survives_with_its_dollars_doubled(text: str) -> None:
    escaped = text.replace("$", "$$")
    check(escaped, scope=DATASET)
    assert fill(escaped, VALUES) == text


@given(st.text(alphabet="${}. adetsi"))
def test_what_is_checked_can_be_filled_and_what_is_refused_cannot(text: str) -> None:
    try:
        check(text, scope=DATASET)
    except UnknownTemplateName:
        with pytest.raises(UnknownTemplateName):
            fill(text, VALUES)
    else:
        fill(text, VALUES)


@given(st.lists(st.sampled_from(DATASET.names)), st.text(alphabet=st.characters(exclude_characters="$"), min_size=1))
def test_pieces_are_filled_one_by_one(used: list[str], between: str) -> None:
    template = between.join(f"${{{name}}}" for name in used)
    assert fill(template, VALUES) == between.join(VALUES[name] for name in used)
