"""Third step of chain.yaml: test the model that the second one made."""

import argparse
import json

from room import accuracy, read

from orchestrator import Dataset, Model, Task

parser = argparse.ArgumentParser()
parser.add_argument("--model", help="id of a model version")
parser.add_argument("--evaluation", help="id of the dataset version to test on")

task = Task.init(project_name="night", task_name="evaluating", task_type="testing")
arguments = parser.parse_args()
model = Model.get(model_id=arguments.model)
unseen = read(Dataset.get(dataset_id=arguments.evaluation).get_local_copy() / "day.csv")
right = accuracy(json.loads(model.get_local_copy().read_text()), unseen)
task.get_logger().report_scalar(title="accuracy", series="test", value=right, iteration=0)
print(f"version {model.version} is right about {right:.1%}")
