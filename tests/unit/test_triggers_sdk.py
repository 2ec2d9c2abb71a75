from __future__ import annotations

import inspect
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.records.action import CloneAction
from orchestrator.records.gate import ColumnBounds, Gates
from orchestrator.records.lifecycle import Status
from orchestrator.wire import RegisterTrigger
from triggers import TriggerScheduler
from triggers.functions import Functions
from triggers.sdk import conditions, limits

TASK = "c" * 32
OTHER = "d" * 32


class Made:
    """What has an id, as a task and a dataset do."""

    id = TASK


def definition(**given: Any) -> RegisterTrigger:  # noqa: ANN401  keywords of any kind
    scheduler = TriggerScheduler()
    scheduler.add_dataset_trigger(schedule_task_id=TASK, **given)
    (found,) = scheduler.definitions
    return RegisterTrigger.model_validate(found)


def only(scheduler: TriggerScheduler) -> RegisterTrigger:
    (found,) = scheduler.definitions
    return RegisterTrigger.model_validate(found)


def task_trigger(**given: Any) -> RegisterTrigger:  # noqa: ANN401  likewise
    scheduler = TriggerScheduler()
    scheduler.add_task_trigger(TASK, **given)
    return only(scheduler)


def test_the_example_of_the_contract_makes_a_trigger() -> None:
    made = definition(
        name="retrain on dataset",
        schedule_queue="default",
        task_overrides={"General/CLEARML_DATASET_ID": "${dataset.id}"},
        trigger_project="occupancy",
        trigger_on_tags=["Production"],
    )
    assert made.name == "retrain on dataset"
    assert made.condition.project == "occupancy"
    assert made.condition.on_tags == ("Production",)
    assert made.action.parameters == {"General/CLEARML_DATASET_ID": "${dataset.id}"}
    assert made.action.queue == "default"
    assert made.max_active is None
    assert made.action.tags == ("retrain on dataset",)


def test_every_option_reaches_the_trigger() -> None:
    made = definition(
        name="n",
        schedule_queue="gpu",
        trigger_name="sales-*",
        trigger_on_tags="A",
        trigger_required_tags=("B",),
        target_project="made/here",
        add_tag="retrained",
        single_instance=True,
        task_parameters={"Args/lr": 0.1, "Args/flag": True, "Args/none": None, "Args/list": [1, 2]},
        task_overrides={"queue": "large", "name": "on ${dataset.version}", "tags": ["x"]},
        allow_new_parameters=True,
    )
    assert (made.condition.name, made.condition.on_tags, made.condition.required_tags) == ("sales-*", ("A",), ("B",))
    assert made.action.parameters == {"Args/lr": "0.1", "Args/flag": "true", "Args/none": "", "Args/list": "[1, 2]"}
    assert (made.action.queue, made.action.name, made.action.project) == ("large", "on ${dataset.version}", "made/here")
    assert made.action.tags == ("x", "retrained")
    assert made.action.allow_new
    assert made.max_active == 1


def test_a_tag_may_be_the_name_of_the_trigger() -> None:
    assert definition(name="nightly", add_tag=True).action.tags == ("nightly",)


def test_triggers_without_a_name_get_different_ones_and_the_same_one_the_same() -> None:
    assert definition(trigger_project="a").name != definition(trigger_project="b").name
    assert definition(trigger_project="a").name == definition(trigger_project="a").name


def test_two_triggers_of_one_name_are_refused() -> None:
    scheduler = TriggerScheduler()
    scheduler.add_dataset_trigger(schedule_task_id=TASK, name="n")
    with pytest.raises(InvalidRequest, match="trigger 'n' here already"):
        scheduler.add_dataset_trigger(schedule_task_id=TASK, name="n")


def test_an_override_that_changes_nothing_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        definition(task_overrides={"lr": 1})
    assert "General/lr" in str(caught.value)


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        definition(single_instance=True, max_active=3)


def test_a_keyword_that_is_not_known_is_not_swallowed() -> None:
    with pytest.raises(TypeError, match=r"trigger_on_tag.. Did you mean trigger_on_tags"):
        definition(trigger_on_tag="A")
    with pytest.raises(TypeError, match="schedule_queue"):
        TriggerScheduler().add_task_trigger(TASK, schedule_que="gpu")


def test_help_names_every_keyword() -> None:
    names = inspect.signature(TriggerScheduler.add_dataset_trigger).parameters
    assert {"schedule_task_id", "trigger_on_tags", "schedule_function", "debounce", "require", "promote"} <= set(names)


def test_both_spellings_of_the_polling_frequency_are_taken() -> None:
    assert TriggerScheduler(pooling_frequency_minutes=0.5).polling_seconds == 30
    assert TriggerScheduler(polling_frequency_minutes=2).polling_seconds == 120
    assert TriggerScheduler(3.0).polling_seconds == 180
    with pytest.raises(ValueError, match="more than 0"):
        TriggerScheduler(0)


def test_a_script_that_declares_triggers_imports_nothing_heavy() -> None:
    code = "import sys, triggers; triggers.TriggerScheduler(); print({'pydantic', 'apscheduler'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_task_may_be_given_as_a_task_or_first() -> None:
    scheduler = TriggerScheduler()
    scheduler.add_model_trigger(Made(), name="n")
    made = only(scheduler)
    assert isinstance(made.action, CloneAction)
    assert made.action.task == TASK
    with pytest.raises(InvalidRequest, match="neither an id nor has one"):
        scheduler.add_model_trigger(3, name="m")


def test_conditions_on_datasets_models_and_tasks_reach_the_trigger() -> None:
    scheduler = TriggerScheduler()
    scheduler.add_dataset_trigger(
        TASK,
        name="d",
        trigger_on_publish=True,
        trigger_on_archive=True,
        trigger_on_finalize=True,
        trigger_any_tags="A",
        trigger_excluded_tags=["B"],
    )
    scheduler.add_model_trigger(TASK, name="m", trigger_on_aliases="production", trigger_on_register=True)
    scheduler.add_task_trigger(
        TASK, name="t", trigger_on_status=["failed", "closed"], trigger_exclude_dev_tasks=True, trigger_made_by="d"
    )
    dataset, model, task = (RegisterTrigger.model_validate(found).condition for found in scheduler.get_triggers())
    assert (dataset.on_publish, dataset.on_archive, dataset.on_finalize) == (True, True, True)
    assert (dataset.any_tags, dataset.excluded_tags) == (("A",), ("B",))
    assert (model.on_aliases, model.on_register) == (("production",), True)
    assert (task.on_status, task.exclude_by_hand, task.trigger) == (("failed", "completed"), True, "d")


@pytest.mark.parametrize(
    ("sign", "meant"),
    [
        ("max", "above"),
        ("maximum", "above"),
        ("above", "above"),
        ("min", "below"),
        ("minimum", "below"),
        ("below", "below"),
        (None, "below"),
    ],
)
def test_a_metric_is_bound_in_the_words_that_people_know(sign: str | None, meant: str) -> None:
    bound = {"trigger_on_metric": "loss", "trigger_on_variant": "validation", "trigger_on_threshold": 0}
    metric = task_trigger(**bound, trigger_on_sign=sign).condition.metric
    assert (metric.title, metric.series, metric.threshold, metric.sign) == ("loss", "validation", 0.0, meant)


@pytest.mark.parametrize(
    "given",
    [
        {"trigger_on_metric": "loss", "trigger_on_variant": "validation"},
        {"trigger_on_threshold": 1.0},
        {"trigger_on_sign": "max"},
        {"trigger_on_metric": "a", "trigger_on_variant": "b", "trigger_on_threshold": True},
        {"trigger_on_metric": "a", "trigger_on_variant": "b", "trigger_on_threshold": float("nan")},
        {"trigger_on_metric": "a", "trigger_on_variant": "b", "trigger_on_threshold": 1, "trigger_on_sign": "more"},
        {"trigger_on_status": ["publishing"]},
        {"trigger_on_tags": [3]},
        {"trigger_name": "sensors.*"},
        {"trigger_name": "^sensors$"},
        {"require": {"min_rows": 1}},
        {"max_active": 0},
        {"when_busy": "queue"},
        {"max_active": 1, "when_busy": "wait"},
        {"debounce": 0},
        {"debounce": "10 fortnights"},
        {"debounce_max": 10},
        {"debounce": 20, "debounce_max": 10},
        {"limit_execution_time": "2h"},
        {"webhook": "https://example.com"},
        {"schedule_function": print},
        {"promote": {"model": "m"}},
        {"promote": {"model": "m", "metric": "loss"}},
        {"promote": {"model": "m", "metric": "a/b", "better": "max"}},
        {"task_overrides": {"script.entry_point": "x.py"}},
        {"task_parameters": ["Args/lr"]},
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        task_trigger(**given)


def test_a_trigger_does_one_thing() -> None:
    scheduler = TriggerScheduler()
    with pytest.raises(InvalidRequest, match="Nothing says what"):
        scheduler.add_dataset_trigger(name="n")
    with pytest.raises(InvalidRequest, match="makes none"):
        scheduler.add_dataset_trigger(name="n", webhook="https://example.com", target_project="p")
    assert scheduler.definitions == []


def test_overrides_edit_the_clone() -> None:
    action = definition(
        task_overrides={
            "script.version_num": None,
            "script.branch": "main",
            "container.image": "python:3.12",
            "priority": 3,
        }
    ).action
    assert (action.commit, action.branch, action.image, action.priority) == (None, "main", "python:3.12", 3)
    assert definition(task_overrides={"script.commit": "abc"}).action.commit == "abc"


def test_windows_limits_and_gates_reach_the_trigger() -> None:
    made = definition(
        debounce=timedelta(minutes=10),
        debounce_max="1h30m",
        cooldown=90,
        max_active=2,
        when_busy="replace",
        limit_execution_time=1.5,
        dry_run=True,
        require={"min_rows": 1000, "columns": {"CO2": {"max_psi": 0.1}}, "reference": Made()},
    )
    assert (made.debounce_seconds, made.debounce_max_seconds, made.cooldown_seconds) == (600, 5400, 90)
    assert (made.max_active, made.when_busy, made.limit_execution_seconds, made.dry_run) == (2, "replace", 5400, True)
    assert made.gates == Gates(min_rows=1000, columns={"CO2": ColumnBounds(max_psi=0.1)}, reference=TASK)


def test_a_gate_may_be_a_function_beside_others() -> None:
    scheduler = TriggerScheduler()
    scheduler.add_dataset_trigger(TASK, name="n", require=[{"min_files": 2}, any])
    assert only(scheduler).gates == Gates(min_files=2, function="n gate")
    assert scheduler.functions == {"n gate": any}
    for wrong in ([any, all], {"min_row": 1}, {"columns": {"a": {"max_ps": 1}}}, [{"min_rows": 1}, {"min_rows": 2}], 7):
        with pytest.raises(InvalidRequest):
            scheduler.add_dataset_trigger(TASK, name="m", require=wrong)


def test_a_function_is_called_by_the_name_of_its_trigger() -> None:
    def on_dataset(dataset_id: str) -> None:
        """Do nothing."""

    scheduler = TriggerScheduler()
    scheduler.add_dataset_trigger(name="call me", schedule_function=on_dataset, single_instance=True)
    made = only(scheduler)
    assert (made.action.kind, made.action.function, made.max_active) == ("function", "call me", 1)
    assert Functions(scheduler.functions).names == ("call me",)
    with pytest.raises(InvalidRequest, match="needs a name"):
        scheduler.add_dataset_trigger(schedule_function=on_dataset)
    with pytest.raises(InvalidRequest, match="cannot be called"):
        scheduler.add_dataset_trigger(name="n", schedule_function="on_dataset")


def test_a_chain_is_a_list_of_steps() -> None:
    scheduler = TriggerScheduler()
    train = {
        "step": "train",
        "task": OTHER,
        "queue": "gpu",
        "parameters": {"Args/table": "${steps.prepare.artifacts.table.url}"},
        "overrides": {"script.branch": "main", "priority": 2},
        "tags": "x",
    }
    scheduler.add_dataset_trigger(
        name="n", chain=[{"step": "prepare", "task": Made()}, train], schedule_queue="cpu", target_project="made"
    )
    prepare, train = only(scheduler).action.steps
    assert (prepare.task, prepare.queue, prepare.project, prepare.tags) == (TASK, "cpu", "made", ("n",))
    assert (train.queue, train.branch, train.priority, train.tags) == ("gpu", "main", 2, ("x", "n"))
    assert train.parameters == {"Args/table": "${steps.prepare.artifacts.table.url}"}
    for wrong in (
        [],
        [{"task": TASK}],
        [{"step": "a", "task": TASK, "parameter": {}}],
        [{"step": "a", "task": TASK}] * 2,
    ):
        with pytest.raises(InvalidRequest):
            scheduler.add_dataset_trigger(name="m", chain=wrong)
    with pytest.raises(InvalidRequest, match="of which step"):
        scheduler.add_dataset_trigger(name="m", chain=[{"step": "a", "task": TASK}], task_parameters={"Args/lr": 1})


def test_a_promotion_beside_a_training_is_a_trigger_on_its_tasks() -> None:
    scheduler = TriggerScheduler()
    promote = {"model": "occupancy", "metric": "loss/validation", "sign": "minimum", "margin": 0.01}
    scheduler.add_dataset_trigger(TASK, name="retrain", promote=promote | {"evaluation": "General/TEST"})
    _, promotion = (RegisterTrigger.model_validate(found) for found in scheduler.definitions)
    assert promotion.name == "retrain promotion"
    assert (promotion.condition.trigger, promotion.condition.on_status) == ("retrain", ("completed",))
    action = promotion.action
    assert (action.model, action.alias, action.title, action.series) == (
        "occupancy",
        "production",
        "loss",
        "validation",
    )
    assert (action.sign, action.margin, action.evaluation) == ("min", 0.01, "General/TEST")
    with pytest.raises(InvalidRequest, match="makes none"):
        scheduler.add_dataset_trigger(name="n", webhook="https://example.com", promote=promote)


def test_a_promotion_may_be_all_that_a_task_trigger_does() -> None:
    scheduler = TriggerScheduler()
    scheduler.add_task_trigger(name="n", promote={"model": "m", "title": "a/b", "series": "c", "alias": "best"})
    made = only(scheduler)
    assert (made.action.kind, made.action.title, made.action.alias) == ("promote", "a/b", "best")


def test_a_firing_trigger_tells_of_what_did_not_happen() -> None:
    scheduler = TriggerScheduler()
    message = {"to": ["slack:team", "mailto:a@example.com"], "subject": "s", "text": "${cause.reason}"}
    scheduler.add_firing_trigger("tell", trigger_name="retrain*", message=message)
    scheduler.add_firing_trigger("post", on="launched", webhook={"url": "https://example.com/x", "secret": "s"})
    tell, post = (RegisterTrigger.model_validate(found) for found in scheduler.definitions)
    assert (tell.condition.trigger, tell.condition.on) == ("retrain*", ("blocked", "failed"))
    assert (tell.action.to, tell.action.text) == (("slack:team", "mailto:a@example.com"), "${cause.reason}")
    assert (post.condition.on, post.action.url, post.action.secret) == (("launched",), "https://example.com/x", "s")
    for wrong in ({"on": ["skipped"]}, {"on": []}, {"message": {"text": "t"}}):
        with pytest.raises(InvalidRequest):
            scheduler.add_firing_trigger("n", **{"message": "slack:a"} | wrong)


def test_the_words_of_the_sdk_are_those_of_the_records() -> None:
    assert set(limits.GATES) == set(Gates.model_fields)
    assert set(limits.BOUNDS) == set(ColumnBounds.model_fields)
    assert set(conditions.STATUSES) == set(Status)
    assert len(limits.GATES) == len(set(limits.GATES))
