from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.records.action import CloneAction
from orchestrator.records.condition import (
    DatasetCondition,
    FiringCondition,
    MetricBound,
    ModelCondition,
    ScheduleCondition,
    TaskCondition,
)
from orchestrator.records.event import Event, EventType
from orchestrator.records.lifecycle import Status
from orchestrator.records.trigger import Trigger, TriggerState
from triggers.conditions import MATCHED, matches
from triggers.index import TriggerIndex

if TYPE_CHECKING:
    from orchestrator.records.condition import Condition

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count(1)


def a_trigger(condition: Condition, **fields: object) -> Trigger:
    number = next(_numbers)
    made = {"id": f"{number:032x}", "name": f"trigger {number}", "condition": condition}
    made |= {"action": CloneAction(task="c" * 32), "starts_after": 0, "created_at": NOW, "created_by": "a" * 32}
    return Trigger.model_validate(made | {"changed_at": NOW} | fields)


def an_event(kind: EventType = EventType.DATASET_TAGGED, project: str = "a/b", **data: object) -> Event:
    facts = {"name": "sales", "version": "1.0.0", "tags": ["x", "y"], "added": ["x"], "condition_kind": "task"}
    return Event(id=7, at=NOW, type=kind, subject="d" * 32, project=project, actor="a" * 32, data=facts | data)


def filled(*triggers: Trigger) -> TriggerIndex:
    index = TriggerIndex()
    for trigger in triggers:
        index.put(trigger)
    return index


def test_triggers_of_a_project_and_all_above_it_are_found_in_the_order_of_their_ids() -> None:
    above, other, own, everywhere = (
        a_trigger(DatasetCondition(project=project, on_tags=("x",))) for project in ("a", "c", "a/b", "")
    )
    index = filled(everywhere, own, other, above)
    assert index.candidates(an_event()) == [above, own, everywhere]
    assert index.candidates(an_event(project="a")) == [above, everywhere]
    assert index.candidates(an_event(project="")) == [everywhere]
    assert index.candidates(an_event(project="ab/b")) == [everywhere]


def test_other_types_tags_names_and_aliases_are_not_looked_at() -> None:
    index = filled(
        a_trigger(DatasetCondition()),
        a_trigger(DatasetCondition(on_tags=("y",))),
        a_trigger(DatasetCondition(on_tags=("x",), name="stock")),
        a_trigger(TaskCondition(on_tags=("x",))),
        a_trigger(ScheduleCondition(cron="* * * * *")),
        a_trigger(ModelCondition(on_aliases=("canary",))),
        found := a_trigger(DatasetCondition(on_tags=("y", "x"), name="sales")),
        pattern := a_trigger(DatasetCondition(on_tags=("x",), name="s[a]*")),
        alias := a_trigger(ModelCondition(on_aliases=("production", "staging"))),
    )
    assert index.candidates(an_event()) == [found, pattern]
    assert index.candidates(an_event(EventType.MODEL_PROMOTED, alias="production")) == [alias]


def test_a_trigger_that_is_put_again_is_found_under_what_it_waits_for_now() -> None:
    trigger = a_trigger(DatasetCondition(on_tags=("x",)))
    index = filled(trigger)
    edited = trigger.changed(revision=2, condition=TaskCondition())
    index.put(edited)
    assert index.candidates(an_event()) == []
    assert index.candidates(an_event(EventType.TASK_COMPLETED)) == [edited]
    assert index.get(trigger.id) == edited
    assert len(index) == 1


def test_a_trigger_that_is_removed_vanishes_and_one_that_is_paused_stays() -> None:
    first, second = (a_trigger(DatasetCondition(on_tags=("x",))) for _ in range(2))
    index = filled(first, second)
    paused = first.changed(state=TriggerState.PAUSED)
    index.put(paused)
    index.put(second.changed(state=TriggerState.REMOVED))
    assert index.candidates(an_event()) == [paused]
    index.remove(first.id)
    index.remove(first.id)
    assert index.candidates(an_event()) == []
    assert index.get(first.id) is None
    assert len(index) == 0


def test_an_event_that_says_nothing_has_candidates_too() -> None:
    trigger = a_trigger(DatasetCondition())
    bare = an_event(EventType.DATASET_FINALIZED).changed(data={})
    assert filled(trigger).candidates(bare) == [trigger]


def test_an_event_costs_the_same_however_many_triggers_wait_for_something_else() -> None:
    def seconds(index: TriggerIndex) -> float:
        began = time.process_time()
        for _ in range(200):
            assert len(index.candidates(an_event_)) == 1
        return time.process_time() - began

    an_event_ = an_event()
    wanted = a_trigger(DatasetCondition(project="a", on_tags=("x",)))
    alone, among = filled(wanted), filled(wanted)
    others: list[Condition] = [
        DatasetCondition(project="other", on_tags=("x",)),
        DatasetCondition(project="a", on_tags=("z",)),
        DatasetCondition(project="a", on_tags=("x",), name="stock"),
        TaskCondition(project="a"),
    ]
    for number in range(2000):
        among.put(a_trigger(others[number % len(others)]))
    assert min(seconds(among) for _ in range(3)) < 5 * min(seconds(alone) for _ in range(3))


WORDS = st.sampled_from(["x", "y", "z"])
TAGS = st.lists(WORDS, max_size=2, unique=True)
SHARED = {
    "project": st.sampled_from(["", "a", "a/b", "a/b/c", "b"]),
    "name": st.sampled_from([None, "sales", "s*", "stock"]),
    "on_tags": TAGS,
    "on_publish": st.booleans(),
    "on_archive": st.booleans(),
    "required_tags": TAGS,
    "excluded_tags": TAGS,
}
LOSS = MetricBound(title="loss", series="a", threshold=0)
CONDITIONS = st.one_of(
    st.builds(DatasetCondition, **SHARED, on_finalize=st.booleans()),
    st.builds(
        TaskCondition,
        **SHARED,
        on_status=st.lists(st.sampled_from(Status), max_size=2),
        metric=st.sampled_from([None, LOSS]),
    ),
    st.builds(ModelCondition, **SHARED, on_register=st.booleans(), on_aliases=TAGS),
    st.builds(
        FiringCondition,
        project=SHARED["project"],
        trigger=SHARED["name"],
        on=st.lists(st.sampled_from(["launched", "blocked", "failed"]), min_size=1),
    ),
)
EVENTS = st.builds(
    an_event,
    kind=st.sampled_from(sorted(MATCHED)),
    project=st.sampled_from(["", "a", "a/b", "a/b/c/d", "b"]),
    name=st.sampled_from(["sales", "stock"]),
    tags=TAGS,
    added=TAGS,
    alias=WORDS,
    to_version=st.just(1),
    metrics=st.just({"loss": {"a": {"last": 1.0}}}),
    value=st.just(1.0),
    title=st.just("loss"),
    series=st.just("a"),
    sign=st.just("above"),
    threshold=st.just(0.0),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(CONDITIONS, max_size=25), st.lists(CONDITIONS, max_size=10), st.lists(EVENTS, min_size=1, max_size=6))
def test_whatever_matches_is_a_candidate(before: list[Condition], after: list[Condition], events: list[Event]) -> None:
    triggers = [a_trigger(condition) for condition in before]
    index = filled(*triggers)
    kept = {trigger.id: trigger for trigger in triggers}
    for trigger, condition in zip(triggers, after, strict=False):
        kept[trigger.id] = trigger.changed(condition=condition, revision=2)
        index.put(kept[trigger.id])
    for trigger in triggers[::3]:
        index.remove(trigger.id)
        del kept[trigger.id]
    assert len(index) == len(kept)
    for event in events:
        candidates = index.candidates(event)
        assert [each.id for each in candidates] == sorted({each.id for each in candidates})
        assert all(kept[each.id] is each for each in candidates)
        assert {each.id for each in kept.values() if matches(each.condition, event).matched} <= {
            each.id for each in candidates
        }
