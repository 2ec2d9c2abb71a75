"""Learn from one day when the room is occupied, and test on a day that never changes."""

import argparse
import json
from pathlib import Path

from room import accuracy, fit, read

from orchestrator import Dataset, Task

parser = argparse.ArgumentParser()
parser.add_argument("--dataset", help="id of the version to learn from")
parser.add_argument("--evaluation", help="id of the version to test on")

task = Task.init(project_name="night", task_name="training")
arguments = parser.parse_args()  # at an agent the task's values
known = read(Dataset.get(dataset_id=arguments.dataset).get_local_copy() / "day.csv")
unseen = read(Dataset.get(dataset_id=arguments.evaluation).get_local_copy() / "day.csv")

model = fit(known)
right = accuracy(model, unseen)
task.get_logger().report_scalar(title="accuracy", series="test", value=right, iteration=0)
print(f"learned from {len(known)} minutes; right about {right:.1%} of {len(unseen)} others")

Path("occupancy.json").write_text(json.dumps(model))
task.register_model("occupancy", "occupancy.json", metadata={"accuracy": right})
