from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.records.condition import (
    Condition,
    DatasetCondition,
    FiringCondition,
    MetricBound,
    ModelCondition,
    ScheduleCondition,
    TaskCondition,
)
from orchestrator.records.event import Event, EventType
from orchestrator.records.lifecycle import Status
from triggers.conditions import ENDED_TASKS, MATCHED, TRIGGER_EVENTS, event_types, matches

ACTOR = "a" * 32


def happened(kind: EventType, project: str = "pharmacy/forecast", **data: object) -> Event:
    return Event(
        id=7, at=datetime(2026, 1, 1, tzinfo=UTC), type=kind, subject="d" * 32, project=project, actor=ACTOR, data=data
    )


def event(
    kind: EventType = EventType.DATASET_TAGGED,
    *,
    project: str = "pharmacy/forecast",
    name: str = "sales",
    tags: tuple[str, ...] = ("Candidate", "Production"),
    added: tuple[str, ...] = ("Production",),
) -> Event:
    return happened(kind, project, name=name, version="1.2.3", tags=[*tags], added=[*added])


def final(**fields: object) -> Event:
    return event(EventType.DATASET_FINALIZED, **fields)


def task(kind: EventType = EventType.TASK_COMPLETED, **data: object) -> Event:
    facts = {"name": "training", "status": "completed", "tags": [], "by_hand": False, "trigger": None}
    return happened(kind, **facts | data)


def model(kind: EventType, **data: object) -> Event:
    return happened(kind, **{"name": "demand", "version": 3, "tags": [], "added": []} | data)


def firing(kind: EventType = EventType.TRIGGER_BLOCKED, **data: object) -> Event:
    return happened(kind, **{"name": "nightly", "condition_kind": "dataset", "reason": "max_psi is closed."} | data)


class TestSubjects:
    @pytest.mark.parametrize("project", ["", "pharmacy", "pharmacy/forecast"])
    def test_a_project_matches_itself_and_all_above_it(self, project: str) -> None:
        assert matches(DatasetCondition(project=project), final()).matched

    @pytest.mark.parametrize("project", ["pharm", "pharmacy/fore", "pharmacy/forecast/deep", "other"])
    def test_a_project_that_only_begins_alike_does_not_match(self, project: str) -> None:
        verdict = matches(DatasetCondition(project=project), final())
        assert verdict == (False, f"Project pharmacy/forecast is neither {project} nor below it.")

    @pytest.mark.parametrize(
        ("pattern", "matched"), [("sales", True), ("s*", True), ("s?les", True), ("sale", False), ("Sales", False)]
    )
    def test_the_name_matches_as_a_whole_and_by_case(self, pattern: str, *, matched: bool) -> None:
        assert matches(DatasetCondition(name=pattern), final()).matched is matched

    def test_required_tags_must_all_be_there(self) -> None:
        condition = DatasetCondition(required_tags=("Checked",))
        assert matches(condition, final(tags=("Checked",), added=("Checked",))).matched
        assert matches(condition, final()) == (False, "Tags are now Candidate, Production; Checked is missing.")

    def test_one_of_any_tags_must_be_there(self) -> None:
        condition = DatasetCondition(any_tags=("Gold", "Production"))
        assert matches(condition, final()).matched
        assert matches(condition, final(tags=("Candidate",))) == (
            False,
            "Tags are now Candidate; none of Gold, Production is among them.",
        )

    def test_none_of_the_excluded_tags_may_be_there(self) -> None:
        condition = DatasetCondition(excluded_tags=("Broken", "Candidate"))
        assert matches(condition, final(tags=("Production",))).matched
        assert matches(condition, final()) == (False, "Tags are now Candidate, Production; Candidate is excluded.")

    def test_what_is_asked_besides_must_hold_of_alternatives_too(self) -> None:
        condition = DatasetCondition(on_publish=True, on_archive=True, required_tags=("Checked",), name="sales")
        for kind in (EventType.DATASET_PUBLISHED, EventType.DATASET_ARCHIVED):
            assert matches(condition, event(kind, tags=("Checked",))).matched
            assert not matches(condition, event(kind)).matched
            assert not matches(condition, event(kind, tags=("Checked",), name="other")).matched


class TestDatasets:
    def test_with_nothing_named_a_version_that_becomes_final_matches(self) -> None:
        assert matches(DatasetCondition(), final(tags=(), added=())) == (
            True,
            "pharmacy/forecast/sales@1.2.3 became final.",
        )

    def test_with_nothing_named_a_later_tag_does_not_match(self) -> None:
        assert matches(DatasetCondition(), event()) == (
            False,
            "The trigger waits for dataset.finalized, and this is dataset.tagged.",
        )

    def test_the_tag_that_completes_the_set_matches(self) -> None:
        verdict = matches(DatasetCondition(on_tags=("Candidate", "Production")), event())
        assert verdict == (
            True,
            "pharmacy/forecast/sales@1.2.3 was tagged Production; its tags are Candidate, Production.",
        )

    def test_a_missing_tag_is_named(self) -> None:
        verdict = matches(DatasetCondition(on_tags=("Production",)), event(tags=("Candidate",), added=("Candidate",)))
        assert verdict == (False, "Tags are now Candidate; Production is missing.")

    def test_several_missing_tags_are_named_once_each(self) -> None:
        condition = DatasetCondition(on_tags=("a", "b"), required_tags=("b",))
        assert matches(condition, event(tags=(), added=())).reason == "Tags are now none; a, b are missing."

    def test_a_tag_beside_those_waited_for_does_not_match_again(self) -> None:
        verdict = matches(DatasetCondition(on_tags=("Candidate",)), event())
        assert verdict == (False, "The event added Production; none of Candidate is new.")

    def test_tags_put_on_a_draft_count_when_it_becomes_final(self) -> None:
        condition = DatasetCondition(on_tags=("Production",), required_tags=("Checked",))
        assert matches(condition, final(tags=("Checked", "Production"))).matched
        assert not matches(condition, final(tags=("Production",))).matched
        assert not matches(condition, final(tags=("Checked",))).matched

    def test_to_become_final_is_an_alternative_to_tags(self) -> None:
        condition = DatasetCondition(on_finalize=True, on_tags=("Production",))
        assert matches(condition, final(tags=())).matched
        assert matches(condition, event()).matched
        assert not matches(condition, event(tags=("Other",), added=("Other",))).matched

    def test_to_be_published_is_an_alternative_that_needs_no_tags(self) -> None:
        condition = DatasetCondition(on_publish=True, on_tags=("Production",))
        published = event(EventType.DATASET_PUBLISHED, tags=(), added=())
        assert matches(condition, published) == (True, "pharmacy/forecast/sales@1.2.3 was published.")
        assert not matches(condition, final(tags=())).matched

    @pytest.mark.parametrize("kind", set(EventType) - {EventType.DATASET_FINALIZED, EventType.DATASET_TAGGED})
    def test_no_other_event_matches(self, kind: EventType) -> None:
        assert not matches(DatasetCondition(), event(kind)).matched
        assert not matches(DatasetCondition(on_tags=("Production",)), event(kind)).matched


LOSS = MetricBound(title="loss", series="validation", threshold=0.0, sign="below")


def ended(value: object, kind: EventType = EventType.TASK_COMPLETED, **data: object) -> Event:
    numbers = {"last": value, "min": -9.0, "max": 9.0}
    return task(kind, metrics={"loss": {"validation": numbers}}, **data)


def crossed(value: object = -0.5, **data: object) -> Event:
    return task(EventType.TASK_METRIC_CROSSED, **LOSS.model_dump() | {"value": value, "step": 3} | data)


class TestTasks:
    def test_with_nothing_named_a_task_that_completes_matches(self) -> None:
        assert matches(TaskCondition(), task()) == (True, "Task pharmacy/forecast/training completed.")
        assert not matches(TaskCondition(), task(EventType.TASK_FAILED)).matched

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (Status.CREATED, EventType.TASK_CREATED),
            (Status.CREATED, EventType.TASK_DEQUEUED),
            (Status.QUEUED, EventType.TASK_QUEUED),
            (Status.IN_PROGRESS, EventType.TASK_STARTED),
            (Status.FAILED, EventType.TASK_FAILED),
            (Status.STOPPED, EventType.TASK_STOPPED),
            (Status.PUBLISHED, EventType.TASK_PUBLISHED),
        ],
    )
    def test_a_status_matches_when_a_task_comes_to_have_it(self, status: Status, kind: EventType) -> None:
        condition = TaskCondition(on_status=(status,))
        assert matches(condition, task(kind)).matched
        assert not matches(condition, task()).matched
        assert matches(TaskCondition(on_status=(status, Status.COMPLETED)), task()).matched

    def test_tags_are_waited_for_as_with_datasets(self) -> None:
        condition = TaskCondition(on_tags=("best",))
        assert matches(condition, task(EventType.TASK_TAGGED, tags=["best"], added=["best"])).matched
        untagged = task(EventType.TASK_TAGGED, tags=["best"], added=[], removed=["old"])
        assert matches(condition, untagged) == (False, "The event added none; none of best is new.")
        assert not matches(condition, task(EventType.TASK_CREATED, tags=["best"])).matched

    def test_tasks_of_one_trigger_alone_match(self) -> None:
        condition = TaskCondition(trigger="nightly")
        assert matches(condition, task(trigger="nightly")).matched
        assert matches(condition, task(trigger="daily")) == (
            False,
            "Trigger daily made the task; those of nightly are waited for.",
        )
        assert matches(condition, task()) == (False, "No trigger made the task; those of nightly are waited for.")

    def test_runs_by_hand_are_passed_over_where_asked(self) -> None:
        condition = TaskCondition(exclude_by_hand=True)
        assert matches(condition, task()).matched
        assert not matches(condition, task(by_hand=True)).matched
        assert matches(TaskCondition(), task(by_hand=True)).matched

    def test_a_metric_alone_matches_in_the_moment_in_which_it_crosses(self) -> None:
        condition = TaskCondition(metric=LOSS)
        assert matches(condition, crossed()) == (
            True,
            "Task pharmacy/forecast/training reported a value; loss/validation is -0.5, below 0.",
        )
        assert not matches(condition, ended(-0.5)).matched

    @pytest.mark.parametrize(
        "other", [{"title": "accuracy"}, {"series": "training"}, {"sign": "above"}, {"threshold": 0.1}, {"title": None}]
    )
    def test_crossing_another_bound_does_not_match(self, other: dict[str, Any]) -> None:
        assert not matches(TaskCondition(metric=LOSS), crossed(**other)).matched

    @pytest.mark.parametrize("value", [0.0, 0.1, "NaN", "Infinity", None, "much", True])
    def test_a_value_that_is_not_beyond_the_threshold_does_not_match(self, value: object) -> None:
        assert not matches(TaskCondition(metric=LOSS), crossed(value)).matched
        assert not matches(TaskCondition(metric=LOSS, on_status=(Status.COMPLETED,)), ended(value)).matched

    def test_a_metric_with_a_status_holds_by_its_last_value(self) -> None:
        condition = TaskCondition(metric=LOSS, on_status=(Status.COMPLETED, Status.STOPPED))
        assert matches(condition, ended(-1e-9)).matched
        assert matches(condition, ended("-Infinity", EventType.TASK_STOPPED)).matched
        assert matches(condition, ended(0.25)) == (False, "loss/validation is 0.25, which is not below 0.")
        assert not matches(condition, crossed()).matched

    def test_above_is_strictly_above(self) -> None:
        condition = TaskCondition(metric=LOSS.changed(sign="above"), on_status=(Status.COMPLETED,))
        assert matches(condition, ended(0.001)).matched
        assert not matches(condition, ended(0)).matched

    def test_a_series_that_was_never_reported_is_named(self) -> None:
        condition = TaskCondition(metric=LOSS, on_status=(Status.COMPLETED,))
        for metrics in ({}, {"loss": {}}, {"loss": {"validation": {}}}):
            assert matches(condition, task(metrics=metrics)) == (
                False,
                "The event holds no value of loss/validation.",
            )


class TestModels:
    def test_with_nothing_named_a_new_version_matches(self) -> None:
        assert matches(ModelCondition(), model(EventType.MODEL_REGISTERED)) == (
            True,
            "pharmacy/forecast/demand@3 was registered.",
        )
        assert not matches(ModelCondition(), model(EventType.MODEL_TAGGED)).matched

    def test_tags_count_when_they_are_added_or_registered_with_it(self) -> None:
        condition = ModelCondition(on_tags=("good",))
        assert matches(condition, model(EventType.MODEL_TAGGED, tags=["good"], added=["good"])).matched
        assert matches(condition, model(EventType.MODEL_REGISTERED, tags=["good"])).matched
        assert not matches(condition, model(EventType.MODEL_REGISTERED)).matched

    def test_an_alias_matches_when_it_moves_to_a_version(self) -> None:
        condition = ModelCondition(on_aliases=("production", "canary"))
        moved = model(EventType.MODEL_PROMOTED, alias="production", from_version=2, to_version=3)
        assert matches(condition, moved) == (
            True,
            "pharmacy/forecast/demand@3 got the alias production from version 2.",
        )
        taken = model(EventType.MODEL_PROMOTED, alias="production", from_version=3, to_version=None)
        assert matches(condition, taken).reason == "The alias production was taken away, and no version has it now."
        other = model(EventType.MODEL_PROMOTED, alias="staging", to_version=3)
        assert (
            matches(condition, other).reason == "The alias staging moved; the trigger waits for production or canary."
        )

    @pytest.mark.parametrize(
        ("condition", "kind"),
        [
            (ModelCondition(on_publish=True), EventType.MODEL_PUBLISHED),
            (ModelCondition(on_archive=True), EventType.MODEL_ARCHIVED),
            (ModelCondition(on_register=True, on_tags=("good",)), EventType.MODEL_REGISTERED),
            (TaskCondition(on_archive=True), EventType.TASK_ARCHIVED),
            (TaskCondition(on_publish=True), EventType.TASK_PUBLISHED),
        ],
    )
    def test_alternatives_match_alone(self, condition: ModelCondition | TaskCondition, kind: EventType) -> None:
        assert matches(condition, model(kind)).matched


class TestFirings:
    def test_what_did_not_happen_matches_unless_asked_otherwise(self) -> None:
        assert matches(FiringCondition(), firing()) == (True, "Trigger nightly was blocked: max_psi is closed.")
        assert matches(FiringCondition(), firing(EventType.TRIGGER_FAILED)).matched
        assert not matches(FiringCondition(), firing(EventType.TRIGGER_FIRED)).matched
        assert matches(FiringCondition(on=("launched",)), firing(EventType.TRIGGER_FIRED, reason=None)) == (
            True,
            "Trigger nightly fired.",
        )

    def test_the_trigger_is_matched_by_its_name(self) -> None:
        assert matches(FiringCondition(trigger="night*"), firing()).matched
        assert matches(FiringCondition(trigger="day*"), firing()).reason == "The name nightly does not match day*."
        assert not matches(FiringCondition(project="other"), firing()).matched

    def test_firings_of_triggers_that_wait_for_firings_never_match(self) -> None:
        assert matches(FiringCondition(), firing(condition_kind="firing")) == (
            False,
            "Trigger nightly itself waits for firings, and those are not told of.",
        )


CONDITIONS: list[Condition] = [
    DatasetCondition(),
    DatasetCondition(name="*", on_tags=("a",), on_publish=True, on_archive=True, excluded_tags=("b",)),
    TaskCondition(),
    TaskCondition(metric=LOSS),
    TaskCondition(metric=LOSS, on_status=tuple(Status), on_tags=("a",), any_tags=("a",), on_archive=True),
    TaskCondition(trigger="nightly", exclude_by_hand=True),
    ModelCondition(),
    ModelCondition(on_aliases=("a",), on_tags=("a",), on_publish=True, on_archive=True),
    FiringCondition(on=("launched", "blocked", "failed"), trigger="*"),
    ScheduleCondition(cron="* * * * *"),
]


def test_a_schedule_matches_no_event() -> None:
    verdict = matches(ScheduleCondition(every_seconds=5), final())
    assert verdict == (False, "The trigger waits for times, and dataset.finalized is an event.")
    assert event_types(ScheduleCondition(every_seconds=5)) == frozenset()


def test_every_event_that_can_match_is_known() -> None:
    assert frozenset().union(*map(event_types, CONDITIONS)) == MATCHED
    assert not MATCHED & TRIGGER_EVENTS
    assert ENDED_TASKS < MATCHED


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("kind", EventType)
def test_events_that_say_nothing_are_decided_in_one_sentence(condition: Condition, kind: EventType) -> None:
    for data in ({}, {"name": None, "tags": None, "added": None, "metrics": None, "value": None, "gate": None}):
        verdict = matches(condition, happened(kind, **data))
        assert verdict.reason.endswith(".")
        assert "\n" not in verdict.reason
        assert not verdict.matched or kind in event_types(condition)


@pytest.mark.parametrize(
    ("condition", "kind", "part"),
    [
        (DatasetCondition(name="s*"), EventType.DATASET_FINALIZED, "name"),
        (DatasetCondition(on_tags=("a",)), EventType.DATASET_TAGGED, "tags"),
        (TaskCondition(trigger="nightly"), EventType.TASK_COMPLETED, "trigger"),
        (TaskCondition(exclude_by_hand=True), EventType.TASK_COMPLETED, "by_hand"),
        (TaskCondition(metric=LOSS, on_status=(Status.COMPLETED,)), EventType.TASK_COMPLETED, "metrics"),
        (FiringCondition(), EventType.TRIGGER_BLOCKED, "condition_kind"),
    ],
)
def test_what_an_event_of_an_older_release_does_not_say_is_named(
    condition: Condition, kind: EventType, part: str
) -> None:
    assert matches(condition, happened(kind)) == (
        False,
        f"The event does not say its {part}; those of older releases do not.",
    )


@settings(max_examples=100)
@given(st.sets(st.sampled_from("abcd")), st.sets(st.sampled_from("abcd")), st.sets(st.sampled_from("abcd"), min_size=1))
def test_tags_match_if_all_are_there_and_one_is_new(tags: set[str], added: set[str], wanted: set[str]) -> None:
    added &= tags
    verdict = matches(
        DatasetCondition(on_tags=tuple(sorted(wanted))), event(tags=tuple(sorted(tags)), added=tuple(sorted(added)))
    )
    assert verdict.matched is (wanted <= tags and bool(wanted & added))
