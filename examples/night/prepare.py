"""First step of chain.yaml: of a dataset version, the minutes that can be learned from, as one table."""

import argparse
import csv

from room import SENSORS, read

from orchestrator import Dataset, Task

parser = argparse.ArgumentParser()
parser.add_argument("--dataset", help="id of a dataset version")

task = Task.init(project_name="night", task_name="preparing", task_type="data_processing")
arguments = parser.parse_args()
minutes = read(Dataset.get(dataset_id=arguments.dataset).get_local_copy() / "day.csv")

with open("table.csv", "w", newline="") as file:  # noqa: PTH123  as many write it
    table = csv.DictWriter(file, [*SENSORS, "occupied"])
    table.writeheader()
    table.writerows(minutes)
task.upload_artifact("table", "table.csv")
