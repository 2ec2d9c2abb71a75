"""What is refused when a trigger is registered, what a revision is, and how the triggers of a group are applied."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import (
    AlreadyExists,
    Forbidden,
    InvalidRequest,
    NotFound,
    OrchestratorError,
    UnknownParameter,
    UnknownTemplateName,
)
from orchestrator.records.dataset import DatasetState
from orchestrator.records.event import EventType
from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Permission, Role
from orchestrator.records.source import Source
from orchestrator.records.trigger import TriggerState
from orchestrator.services.apply_triggers import apply_triggers
from orchestrator.services.testing import DATA, EPOCHS, TriggerHouse
from orchestrator.services.triggers import set_trigger_state
from orchestrator.store.testing.records import a_task, a_version
from orchestrator.wire import ApplyTriggers

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Store
    from orchestrator.wire import AppliedTriggers

SCHEDULE: dict[str, Any] = {"kind": "schedule", "project": "shop", "cron": "0 * * * *"}
ON_TASKS: dict[str, Any] = {"kind": "task", "project": "shop"}
PROMOTE: dict[str, Any] = {"kind": "promote", "model": "m", "title": "loss", "series": "v"}
HOOK: dict[str, Any] = {"kind": "webhook", "url": "https://example.com/x"}
FUNCTION: dict[str, Any] = {"kind": "function", "function": "f"}
MESSAGE: dict[str, Any] = {"kind": "message", "to": ["slack:team"]}
TAGS: dict[str, Any] = {"kind": "dataset", "project": "shop"}


@pytest.fixture
def house(store: Store, tmp_path: Path) -> TriggerHouse:
    return TriggerHouse(store, tmp_path)


def refused(house: TriggerHouse, **fields: object) -> OrchestratorError:
    """Try to register a trigger, and return why it was refused."""
    with pytest.raises(OrchestratorError) as caught:
        house.register(**fields)  # type: ignore[arg-type]
    assert caught.value.hint
    assert house.store.read(lambda tx: tx.triggers.find()) == []
    return caught.value


def step(house: TriggerHouse, called: str, **fields: object) -> dict[str, object]:
    return {"step": called, "task": house.reference} | fields


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"parameters": {"General/DATAS": "x"}}, UnknownParameter, "Did you mean General/DATA?"),
        ({"parameters": {EPOCHS: "many"}}, InvalidRequest, "int"),
        ({"parameters": {DATA: "${dataset.ids}"}}, UnknownTemplateName, "datasets.ids"),
        ({"parameters": {DATA: "${task.id}"}}, UnknownTemplateName, "dataset versions"),
        ({"parameters": {"A/${dataset.id}": "x"}, "allow_new": True}, InvalidRequest, "template"),
        ({"parameters": {"nameless": "x"}, "allow_new": True}, InvalidRequest, "Section/name"),
        ({"queue": "defualt"}, NotFound, "Did you mean default?"),
        ({"queue": "${dataset.name}"}, InvalidRequest, "template"),
        ({"project": "p/${dataset.name}"}, InvalidRequest, "template"),
        ({"name": "two\nlines ${dataset.id}"}, InvalidRequest, "one line"),
        ({"tags": ["${nothing}"]}, UnknownTemplateName, "dataset.id"),
        ({"task": "0" * 32}, NotFound, "retrain task list"),
        ({"commit": "1" * 40}, InvalidRequest, "repository"),
        ({"branch": "${dataset.name}"}, InvalidRequest, "repository"),
        ({"commit": "1" * 40, "branch": "main"}, InvalidRequest, "one of them"),
        ({"image": "${nothing}"}, UnknownTemplateName, "dataset.id"),
        ({"reuse": True, "name": "n"}, InvalidRequest, "without reuse"),
        ({"reuse": True, "project": "p"}, InvalidRequest, "without reuse"),
    ],
)
def test_a_clone_that_cannot_be_made_is_refused(
    house: TriggerHouse, changes: dict[str, object], error: type[OrchestratorError], said: str
) -> None:
    action = {"kind": "clone", "task": house.reference} | changes
    found = refused(house, action=action)
    assert type(found) is error
    assert said in str(found)
    chained = refused(house, action={"kind": "chain", "steps": [step(house, "only") | changes]})
    assert type(chained) is error


def test_texts_of_a_clone_that_hold_no_template_are_read_as_they_will_be(house: TriggerHouse) -> None:
    house.write(
        lambda tx: tx.tasks.add(a_task(id="1" * 32, project="shop", source=Source(repository="r", branch="main")))
    )
    action = {"kind": "clone", "task": "1" * 32}
    assert "commit" in str(refused(house, action=action | {"commit": "main"}))
    assert "name" in str(refused(house, action=action | {"name": ""}))
    for fine in ({"commit": "a" * 40}, {"commit": "${dataset.name}"}, {"branch": "main"}, {"image": "python:3.11"}):
        house.register(str(fine), action=action | fine)


def test_a_published_reference_is_not_run_again_itself(house: TriggerHouse) -> None:
    published = a_task(project="shop", status=Status.PUBLISHED)
    house.write(lambda tx: tx.tasks.add(published))
    assert "published" in str(refused(house, action={"kind": "clone", "task": published.id, "reuse": True}))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"condition": TAGS | {"project": "/shop"}}, "no project"),
        ({"condition": TAGS | {"project": "shop/"}}, "no project"),
        ({"condition": TAGS | {"project": "${dataset.project}"}}, "template"),
        ({"condition": TAGS | {"on_tags": ["a", "b"], "excluded_tags": ["b"]}}, "'b'"),
        ({"condition": TAGS | {"required_tags": ["a"], "excluded_tags": ["a"]}}, "'a'"),
        ({"condition": TAGS | {"any_tags": ["a"], "excluded_tags": ["a", "c"]}}, "any_tags"),
        ({"condition": SCHEDULE | {"cron": "never"}}, "five"),
        ({"condition": SCHEDULE | {"every_seconds": 60}}, "exactly one"),
        ({"condition": SCHEDULE | {"timezone": "Europe/Berlinn"}}, "Berlin"),
        ({"condition": SCHEDULE, "cooldown_seconds": 5}, "schedule"),
        ({"condition": SCHEDULE, "debounce_seconds": 5}, "schedule"),
        ({"when_busy": "queue"}, "max_active"),
        ({"when_busy": "replace"}, "max_active"),
        ({"debounce_max_seconds": 9}, "debounce_seconds"),
        ({"debounce_seconds": 9, "debounce_max_seconds": 8.5}, "8.5"),
        ({"action": PROMOTE}, "tasks"),
        ({"action": PROMOTE, "condition": SCHEDULE}, "tasks"),
        ({"action": PROMOTE | {"evaluation": "DATA"}, "condition": ON_TASKS}, "Section/name"),
        ({"action": PROMOTE | {"model": "${task.name}"}, "condition": ON_TASKS}, "template"),
        ({"action": FUNCTION, "limit_execution_seconds": 5}, "function"),
        ({"action": MESSAGE | {"subject": "${nothing}"}}, "dataset.id"),
        ({"action": MESSAGE | {"subject": "a\nb"}}, "one line"),
        ({"action": MESSAGE | {"text": "${steps.a.id}"}}, "no step before"),
        ({"action": HOOK | {"url": "https://:80/x"}}, "address"),
        ({"action": HOOK | {"url": "https://[::1/x"}}, "address"),
        ({"action": HOOK | {"url": "https://h:99999/x"}}, "address"),
        ({"action": HOOK | {"url": "https://u:secret@example.com/x"}}, "secret: NAME"),
        ({"action": HOOK | {"url": "https://example.com/${dataset.id}"}}, "template"),
        ({"action": HOOK | {"body": {"a": [{"b": "${nothing}"}]}}}, "dataset.id"),
        ({"gates": {"min_rows": 1}, "condition": ON_TASKS}, "dataset version"),
        ({"gates": {"min_rows": 1}, "condition": SCHEDULE}, "dataset version"),
        ({"gates": {"max_psi": 1, "reference": "0" * 32}}, "retrain dataset list"),
    ],
)
def test_what_could_never_work_is_refused_with_what_to_do(
    house: TriggerHouse, fields: dict[str, object], said: str
) -> None:
    assert said in str(refused(house, **fields))


def test_a_metric_of_an_event_that_tells_of_none_is_refused(house: TriggerHouse) -> None:
    metric = {"title": "loss", "series": "v", "threshold": 0}
    refused(house, condition=ON_TASKS | {"metric": metric, "on_status": ["queued"]})
    for number, condition in enumerate(({}, {"on_status": ["completed", "queued"]})):
        house.register(str(number), condition=ON_TASKS | {"metric": metric} | condition, action=MESSAGE)


def test_steps_know_those_before_them_and_no_others(house: TriggerHouse) -> None:
    def chain(*steps: dict[str, object]) -> dict[str, object]:
        return {"action": {"kind": "chain", "steps": list(steps)}}

    later = {"parameters": {DATA: "${steps.one.artifacts.table.url}"}, "name": "${steps.one.models.latest.version}"}
    twice = refused(house, **chain(step(house, "one"), step(house, "one")))
    assert "Two steps" in str(twice)
    early = refused(house, **chain(step(house, "one", **later), step(house, "two")))
    assert "Step 'one'" in str(early)
    typo = refused(house, **chain(step(house, "on"), step(house, "two", **later)))
    assert "${steps.on.models.latest.version}" in str(typo)
    assert "reuse" in str(refused(house, **chain(step(house, "one", reuse=True))))
    assert house.register(**chain(step(house, "one"), step(house, "two", **later))).revision == 1


def test_the_version_that_gates_compare_with_must_be_there_final_and_readable(house: TriggerHouse) -> None:
    draft = a_version(project="shop")
    foreign = a_version(project="bank", state=DatasetState.FINAL)
    gone = a_version(project="shop", name="g", state=DatasetState.FINAL, deleted_at=house.now)
    fine = a_version(project="shop", name="f", state=DatasetState.PUBLISHED)
    for version in (draft, foreign, gone, fine):
        house.write(lambda tx, version=version: tx.datasets.add(version))  # type: ignore[misc]
    assert "draft" in str(refused(house, gates={"reference": draft.id}))
    assert "deleted" in str(refused(house, gates={"reference": gone.id}))
    editor = house.somebody(project="shop")
    with pytest.raises(Forbidden):
        house.register(by=editor, gates={"reference": foreign.id})
    assert house.register(gates={"reference": fine.id, "max_psi": 0.2}).gates is not None


def test_a_trigger_of_tasks_may_name_a_trigger_that_is_not_there_yet(house: TriggerHouse) -> None:
    condition = ON_TASKS | {"trigger": "registered later"}
    assert house.register(condition=condition, action=PROMOTE | {"evaluation": DATA}).revision == 1


def test_whoever_registers_may_edit_where_it_watches_and_clones_and_read_what_it_clones(house: TriggerHouse) -> None:
    bank = house.new_task(project="bank")
    editor, viewer = house.somebody(project="shop"), house.somebody(Role.VIEWER)
    clone = {"kind": "clone", "task": house.reference}
    house.register("fine", by=editor, action=clone)
    for fields in (
        {"condition": {"kind": "dataset", "project": ""}, "action": clone},
        {"condition": {"kind": "dataset", "project": "bank"}, "action": clone},
        {"action": clone | {"project": "bank"}},
        {"action": clone | {"task": bank.id}},
        {"condition": SCHEDULE | {"project": "bank"}, "action": FUNCTION},
    ):
        with pytest.raises(Forbidden):
            house.register("refused", by=editor, **fields)
    for action in (HOOK, FUNCTION, MESSAGE):
        assert house.register(action["kind"], by=editor, action=action).created_by == editor.id
        with pytest.raises(Forbidden):
            house.register("refused", by=viewer, action=action)
    foreign = house.register("foreign", condition={"kind": "dataset", "project": "bank"}, action=HOOK)
    with pytest.raises(Forbidden):
        house.register("foreign", by=editor, action=HOOK)
    assert house.trigger(foreign.id) == foreign


def test_registering_again_makes_a_revision_where_something_differs(house: TriggerHouse) -> None:
    first = house.register(max_active=1)
    house.passes(60)
    assert house.register(max_active=1) == first
    changes: list[dict[str, object]] = [
        {},
        {"when_busy": "queue", "max_active": 1},
        {"debounce_seconds": 5},
        {"gates": {"min_rows": 5}},
        {"group": "g"},
        {"dry_run": True},
        {"limit_execution_seconds": 5},
        {"cooldown_seconds": 5},
        {"action": HOOK | {"body": {"a": True}}},
        {"action": HOOK | {"body": {"a": 1}}},
    ]
    for number, fields in enumerate(changes, start=2):
        trigger = house.register(**fields)  # type: ignore[arg-type]
        assert (trigger.id, trigger.revision, trigger.starts_after) == (first.id, number, first.starts_after)
        assert house.register(**fields) == trigger  # type: ignore[arg-type]
    assert (first.changed_at, house.trigger(first.id).changed_at) == (first.created_at, house.now)
    revisions = [event.data["revision"] for event in house.told(EventType.TRIGGER_REGISTERED)]
    assert revisions == list(range(1, len(changes) + 2))
    assert house.read(lambda tx: tx.triggers.revision(first.id, 1)).max_active == 1


def test_a_trigger_is_taken_over_by_whoever_registers_it_again(house: TriggerHouse) -> None:
    editor = house.somebody()
    first = house.register(by=editor)
    assert house.register(by=editor) == first
    second = house.register()
    assert (second.id, second.revision, second.created_by) == (first.id, 2, house.admin.id)


def test_a_schedule_begins_when_it_is_registered_and_stays_where_it_is(house: TriggerHouse) -> None:
    trigger = house.register(condition=SCHEDULE, action=FUNCTION)
    assert (trigger.last_occurrence_at, trigger.next_occurrence_at) == (None, house.now + timedelta(hours=1))
    begun = house.now
    moved = trigger.changed(
        last_occurrence_at=begun + timedelta(hours=1), next_occurrence_at=begun + timedelta(hours=2)
    )
    house.write(lambda tx: tx.triggers.replace(moved, expected=trigger))
    house.passes(4000)
    same = house.register(condition=SCHEDULE, action=FUNCTION, dry_run=True)
    assert (same.last_occurrence_at, same.next_occurrence_at) == (moved.last_occurrence_at, moved.next_occurrence_at)
    house.passes(4000)  # nobody has served it, and by now it is late
    other = house.register(condition=SCHEDULE | {"cron": "30 * * * *"}, action=FUNCTION)
    assert other.last_occurrence_at == house.now
    assert other.next_occurrence_at == begun + timedelta(hours=2, minutes=30)
    event = house.register(action=FUNCTION)
    assert (event.scheduled_at, event.last_occurrence_at, event.next_occurrence_at) == (None, None, None)


def test_a_schedule_that_is_to_fire_at_once_is_due_at_once_and_not_again_when_it_is_changed(
    house: TriggerHouse,
) -> None:
    trigger = house.register(condition=SCHEDULE | {"immediately": True}, action=FUNCTION)
    assert trigger.next_occurrence_at == house.now
    house.passes(60)
    changed = house.register(condition=SCHEDULE | {"immediately": True, "cron": "30 * * * *"}, action=FUNCTION)
    assert changed.next_occurrence_at == house.now + timedelta(minutes=29)


def test_a_schedule_for_once_that_is_changed_comes_once_more(house: TriggerHouse) -> None:
    house.register(condition=SCHEDULE | {"once": True}, action=FUNCTION)
    house.passes(7200)
    changed = house.register(condition=SCHEDULE | {"once": True, "cron": "30 * * * *"}, action=FUNCTION)
    assert changed.next_occurrence_at == house.now + timedelta(minutes=30)


def test_a_schedule_that_is_resumed_goes_on_from_the_present(house: TriggerHouse) -> None:
    trigger = house.register(condition=SCHEDULE, action=FUNCTION)
    operate = {"key": trigger.name, "permission": Permission.OPERATE}
    house.do(set_trigger_state, state=TriggerState.PAUSED, **operate)
    house.passes(9000)
    resumed = house.do(set_trigger_state, state=TriggerState.ACTIVE, **operate)
    assert (resumed.last_occurrence_at, resumed.next_occurrence_at) == (house.now, house.now + timedelta(minutes=30))


def applied(
    house: TriggerHouse, *specs: dict[str, object], by: Principal | None = None, **fields: object
) -> AppliedTriggers:
    body = {"group": "file", "triggers": specs} | fields
    return house.do(apply_triggers, by=by, body=ApplyTriggers.model_validate(body))


def changes_of(done: AppliedTriggers) -> list[tuple[str, str]]:
    return [(change.name, change.change) for change in done.changes]


def test_the_triggers_of_a_group_become_those_that_are_declared(house: TriggerHouse) -> None:
    alone = house.register("alone")
    other = house.register("other", group="another file")
    planned = applied(house, house.spec("a"), house.spec("b", max_active=1), plan=True)
    assert (planned.applied, changes_of(planned)) == (False, [("a", "create"), ("b", "create")])
    assert house.read(lambda tx: tx.triggers.find()) == [alone, other]
    done = applied(house, house.spec("a"), house.spec("b", max_active=1))
    assert (done.applied, done.changes) == (True, planned.changes)
    a, b = house.read(lambda tx: tx.triggers.find(group="file"))
    assert (a.name, a.revision, b.name, b.max_active) == ("a", 1, "b", 1)
    second = [house.spec("c"), house.spec("b", max_active=2, group="ignored")]
    planned, done = applied(house, *second, plan=True), applied(house, *second)
    assert planned.changes == done.changes
    assert changes_of(done) == [("c", "create"), ("b", "update"), ("a", "remove")]
    assert house.trigger(a.id).state is TriggerState.REMOVED
    assert (house.trigger(b.id).revision, house.trigger(b.id).group) == (2, "file")
    assert changes_of(applied(house, *second)) == [("c", "unchanged"), ("b", "unchanged")]
    assert changes_of(applied(house)) == [("b", "remove"), ("c", "remove")]
    assert house.read(lambda tx: tx.triggers.find()) == [alone, other]
    assert len(house.told(EventType.TRIGGER_REMOVED)) == 3


def test_a_change_names_every_part_that_differs(house: TriggerHouse) -> None:
    def told(**fields: object) -> dict[str, tuple[object, object]]:
        (change,) = applied(house, house.spec("a", **fields)).changes
        return {field.path: (field.before, field.after) for field in change.fields}

    made = told()
    assert made["condition.kind"] == (None, "dataset")
    assert made["condition.on_tags"] == (None, ["go"])
    assert made[f"action.parameters.{DATA}"] == (None, "${datasets.ids}")
    assert not {path for path in made if path.startswith(("gates", "name", "group", "max_active"))}
    assert told(max_active=2, gates={"min_rows": 5, "columns": {"CO2": {"max_psi": 0.2}}}) == {
        "gates.min_rows": (None, 5),
        "gates.columns.CO2.max_psi": (None, 0.2),
        "max_active": (None, 2),
    }
    action = {"kind": "clone", "task": house.reference, "parameters": {EPOCHS: "4"}, "queue": "services"}
    changed = told(action=action)
    assert changed["action.queue"] == ("default", "services")
    assert changed[f"action.parameters.{DATA}"] == ("${datasets.ids}", None)
    assert changed[f"action.parameters.{EPOCHS}"] == (None, "4")
    assert changed["max_active"] == (2, None)
    assert changed["gates.min_rows"] == (5, None)


def test_steps_of_a_chain_are_told_apart_by_their_names(house: TriggerHouse) -> None:
    def told(*steps: dict[str, object]) -> dict[str, tuple[object, object]]:
        (change,) = applied(house, house.spec("a", action={"kind": "chain", "steps": list(steps)})).changes
        return {field.path: (field.before, field.after) for field in change.fields}

    one, two, three = (step(house, name) for name in ("one", "two", "three"))
    assert told(one, two)["action.steps"] == (None, ["one", "two"])
    assert told(two, one) == {"action.steps": (["one", "two"], ["two", "one"])}
    assert told(two, three, one | {"parameters": {EPOCHS: "5"}}) == {
        "action.steps": (["two", "one"], ["two", "three", "one"]),
        "action.steps.three.task": (None, house.reference),
        f"action.steps.one.parameters.{EPOCHS}": (None, "5"),
    }


def test_a_change_of_kind_tells_of_what_was_and_will_be_asked(house: TriggerHouse) -> None:
    applied(house, house.spec("a"))
    (change,) = applied(house, house.spec("a", condition=SCHEDULE, action=FUNCTION)).changes
    told = {field.path: (field.before, field.after) for field in change.fields}
    assert told["condition.kind"] == ("dataset", "schedule")
    assert told["condition.cron"] == (None, "0 * * * *")
    assert told["condition.on_tags"] == (["go"], None)
    assert told["action.function"] == (None, "f")
    assert "condition.on_publish" not in told
    (change,) = applied(house, house.spec("a", condition=SCHEDULE, action=FUNCTION), by=house.somebody()).changes
    assert [field.path for field in change.fields] == ["created_by"]


def test_nothing_is_applied_where_one_of_them_is_refused(house: TriggerHouse) -> None:
    applied(house, house.spec("a"), house.spec("b"))
    house.register("taken")
    house.register("foreign", group="another file")
    bad = house.spec("bad", action={"kind": "clone", "task": house.reference, "queue": "nowhere"})
    for plan in (True, False):
        with pytest.raises(NotFound, match=r"Trigger 'bad': There is no queue"):
            applied(house, house.spec("new"), bad, plan=plan)
        with pytest.raises(AlreadyExists, match="no group"):
            applied(house, house.spec("taken"), plan=plan)
        with pytest.raises(AlreadyExists, match="another file"):
            applied(house, house.spec("foreign"), plan=plan)
        with pytest.raises(InvalidRequest, match="Two triggers are called 'a'"):
            applied(house, house.spec("a"), house.spec("a"), plan=plan)
    names = [trigger.name for trigger in house.read(lambda tx: tx.triggers.find())]
    assert names == ["a", "b", "taken", "foreign"]


def test_whoever_applies_may_edit_all_that_changes(house: TriggerHouse) -> None:
    editor = house.somebody(project="shop")
    in_bank = {"condition": {"kind": "dataset", "project": "bank"}, "action": HOOK}
    applied(house, house.spec("a"), house.spec("b", **in_bank))
    with pytest.raises(Forbidden, match="'b', which is not among them"):
        applied(house, house.spec("a"), by=editor)
    with pytest.raises(Forbidden, match="Trigger 'b'"):
        applied(house, house.spec("a"), house.spec("b"), by=editor)
    with pytest.raises(Forbidden, match="Trigger 'c'"):
        applied(house, house.spec("c", **in_bank), by=editor, group="other")
    with pytest.raises(Forbidden):
        applied(house, by=house.somebody(Role.OPERATOR), group="other")


def test_a_trigger_that_is_applied_again_keeps_its_pause_and_its_place(house: TriggerHouse) -> None:
    spec = house.spec("a", condition=SCHEDULE, action=FUNCTION)
    applied(house, spec)
    first = house.do(set_trigger_state, key="a", state=TriggerState.PAUSED, permission=Permission.OPERATE)
    applied(house, spec | {"max_active": 1})
    second = house.trigger(first.id)
    assert (second.revision, second.state) == (2, TriggerState.PAUSED)
    assert second.next_occurrence_at == first.next_occurrence_at
    applied(house)
    applied(house, spec)
    (third,) = house.read(lambda tx: tx.triggers.find())
    assert (third.id != first.id, third.state) == (True, TriggerState.ACTIVE)


def test_schedulers_that_register_the_same_at_once_register_one(house: TriggerHouse) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: house.register(), range(6)))
    assert len({trigger.id for trigger in found}) == 1
    assert {trigger.revision for trigger in found} == {1}


def test_a_file_that_is_applied_by_many_at_once_is_applied_once(house: TriggerHouse) -> None:
    specs = [house.spec(name) for name in "abc"]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: applied(house, *specs), range(4)))
    changes = sorted({change.change for change in each.changes} == {"create"} for each in done)
    assert changes == [False, False, False, True]
    assert len(house.read(lambda tx: tx.triggers.find())) == 3
