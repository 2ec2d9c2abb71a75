"""What happens at night, declared once and served from here until Ctrl-C: python nightly.py DIARY.

It is not called triggers.py: Python would import that in place of the package.
"""

import sys
from pathlib import Path

from orchestrator import Model, Task
from triggers import TriggerScheduler

RECEIVER = "http://127.0.0.1:8500/deploy"  # receiver.py
diary = Path(sys.argv[1])


def note(model_id: str) -> str:
    """Write down what became production; this runs here."""
    model = Model.get(model_id=model_id)
    with diary.open("a") as file:
        file.write(f"version {model.version} is {model.metadata['accuracy']:.1%} right\n")
    return f"noted in {diary.name}"


night = TriggerScheduler()
night.add_dataset_trigger(
    name="night",
    trigger_project="night",
    trigger_name="sensors",
    trigger_on_tags=["Production"],
    # Nothing is trained on a version unless all of this holds.
    require={"min_rows": 1000, "same_columns": True, "columns": {"CO2": {"max_psi": 0.2}}},
    schedule_task_id=Task.get_task(project_name="night", task_name="training"),
    task_overrides={"Args/dataset": "${dataset.id}", "name": "training on ${dataset.version}"},
    max_active=1,
    when_busy="queue",
    # What it trained takes the place of what serves where it is better, both tested on the same version.
    promote={
        "model": "occupancy",
        "alias": "production",
        "metric": "accuracy/test",
        "margin": 0.01,
        "evaluation": "Args/evaluation",
    },
)
night.add_model_trigger(
    name="deploy",
    trigger_project="night",
    trigger_on_aliases=["production"],
    webhook={
        "url": RECEIVER,
        "secret": "deploy",
        "body": {"model": "${model.id}", "version": "${model.version}", "alias": "${model.alias}"},
    },
)
night.add_model_trigger(
    name="diary", trigger_project="night", trigger_on_aliases=["production"], schedule_function=note
)
night.add_firing_trigger(
    name="tell us",
    trigger_project="night",
    on=["blocked", "failed"],
    message="mailto:team@example.com",
)
night.start()
