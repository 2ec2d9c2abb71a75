"""Second step of chain.yaml: learn from the table that the first one made."""

import argparse
import json
from pathlib import Path

from room import fit, read

from orchestrator import StorageManager, Task

parser = argparse.ArgumentParser()
parser.add_argument("--table", help="URL of a table, or its path")

task = Task.init(project_name="night", task_name="fitting")
arguments = parser.parse_args()
Path("stepwise.json").write_text(json.dumps(fit(read(StorageManager.get_local_copy(arguments.table)))))
task.register_model("stepwise", "stepwise.json")
