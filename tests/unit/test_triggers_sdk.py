from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.wire import RegisterTrigger
from triggers import TriggerScheduler

TASK = "c" * 32


def definition(**given: object) -> RegisterTrigger:
    scheduler = TriggerScheduler()
    scheduler.add_dataset_trigger(schedule_task_id=TASK, **given)
    (found,) = scheduler.definitions
    return RegisterTrigger.model_validate(found)


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
    with pytest.raises(TypeError, match="schedule_function"):
        definition(schedule_function=print)


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
