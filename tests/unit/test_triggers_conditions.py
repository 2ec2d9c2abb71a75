from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator.records.event import Event, EventType
from orchestrator.records.trigger import DatasetCondition
from triggers.conditions import matches

ACTOR = "a" * 32


def event(
    kind: EventType = EventType.DATASET_TAGGED,
    *,
    project: str = "pharmacy/forecast",
    name: str = "sales",
    tags: tuple[str, ...] = ("Candidate", "Production"),
    added: tuple[str, ...] = ("Production",),
) -> Event:
    data = {"id": "d" * 32, "project": project, "name": name, "version": "1.2.3", "tags": [*tags], "added": [*added]}
    return Event(
        id=7, at=datetime(2026, 1, 1, tzinfo=UTC), type=kind, subject="d" * 32, project=project, actor=ACTOR, data=data
    )


def final(**fields: object) -> Event:
    return event(EventType.DATASET_FINALIZED, **fields)


@pytest.mark.parametrize("project", ["", "pharmacy", "pharmacy/forecast"])
def test_a_project_matches_itself_and_all_above_it(project: str) -> None:
    assert matches(DatasetCondition(project=project), final()).matched


@pytest.mark.parametrize("project", ["pharm", "pharmacy/fore", "pharmacy/forecast/deep", "other"])
def test_a_project_that_only_begins_alike_does_not_match(project: str) -> None:
    verdict = matches(DatasetCondition(project=project), final())
    assert verdict == (False, f"Project pharmacy/forecast is neither {project} nor below it.")


@pytest.mark.parametrize(
    ("pattern", "matched"), [("sales", True), ("s*", True), ("s?les", True), ("sale", False), ("Sales", False)]
)
def test_the_name_matches_as_a_whole_and_by_case(pattern: str, *, matched: bool) -> None:
    assert matches(DatasetCondition(name=pattern), final()).matched is matched


def test_without_tags_a_version_matches_when_it_becomes_final() -> None:
    assert matches(DatasetCondition(), final(tags=(), added=())) == (
        True,
        "pharmacy/forecast/sales@1.2.3 became final.",
    )


def test_without_tags_a_later_tag_does_not_match() -> None:
    assert not matches(DatasetCondition(), event()).matched


def test_without_tags_the_required_ones_must_be_there() -> None:
    condition = DatasetCondition(required_tags=("Checked",))
    assert matches(condition, final(tags=("Checked",), added=("Checked",))).matched
    assert not matches(condition, final()).matched


def test_the_tag_that_completes_the_set_matches() -> None:
    condition = DatasetCondition(on_tags=("Candidate", "Production"))
    verdict = matches(condition, event())
    assert verdict == (
        True,
        "pharmacy/forecast/sales@1.2.3 was tagged Production; its tags are Candidate, Production.",
    )


def test_a_missing_tag_is_named() -> None:
    verdict = matches(DatasetCondition(on_tags=("Production",)), event(tags=("Candidate",), added=("Candidate",)))
    assert verdict == (False, "Tags are now Candidate; Production is missing.")


def test_several_missing_tags_are_named_once_each() -> None:
    condition = DatasetCondition(on_tags=("a", "b"), required_tags=("b",))
    assert matches(condition, event(tags=(), added=())).reason == "Tags are now none; a, b are missing."


def test_a_tag_beside_those_waited_for_does_not_match_again() -> None:
    verdict = matches(DatasetCondition(on_tags=("Candidate",)), event())
    assert verdict == (False, "The event added Production; none of Candidate is new.")


def test_tags_put_on_a_draft_count_when_it_becomes_final() -> None:
    condition = DatasetCondition(on_tags=("Production",), required_tags=("Checked",))
    assert matches(condition, final(tags=("Checked", "Production"), added=("Checked", "Production"))).matched
    assert not matches(condition, final(tags=("Production",), added=("Production",))).matched


@pytest.mark.parametrize("kind", set(EventType) - {EventType.DATASET_FINALIZED, EventType.DATASET_TAGGED})
def test_no_other_event_matches(kind: EventType) -> None:
    assert not matches(DatasetCondition(), event(kind)).matched
    assert not matches(DatasetCondition(on_tags=("Production",)), event(kind)).matched
