"""Time `import orchestrator` and `Task.init` in a repository of 5,000 files, with a server on this machine.

    python bench/sdk.py [--runs 10]

Each figure is a whole interpreter's, less that of `python -c pass` measured in the same round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.api.testing import running_server

FILES = 5000
GOAL_IMPORT_MS, GOAL_INIT_MS = 150, 200
SCRIPTS = {
    "bare interpreter": "pass",
    "import orchestrator": "import orchestrator",
}
INIT = """\
import time
import orchestrator
begun = time.perf_counter()
orchestrator.Task.init(project_name="bench", task_name="init")
print("INIT", time.perf_counter() - begun)
"""


def make_repository(root: Path) -> None:
    """Commit `FILES` files of about 1 KiB in 50 folders, then edit one and leave one untracked."""
    for index in range(FILES):
        path = root / f"package_{index % 50}" / f"module_{index}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"VALUE = {index}\n" + "# padding\n" * 100)
    (root / "train.py").write_text(INIT)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "files"]):
        subprocess.run(
            ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", *command],
            cwd=root,
            check=True,
        )
    (root / "package_0" / "module_0.py").write_text("VALUE = -1\n")
    (root / "untracked.py").write_text("VALUE = 1\n")


def timed(argv: list[str], **options: object) -> float:
    """Return the seconds that a process took."""
    begun = time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True, **options)  # type: ignore[call-overload]
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    python = os.path.realpath(sys.executable) if sys.prefix == sys.base_prefix else sys.executable
    with tempfile.TemporaryDirectory() as scratch, running_server(Path(scratch) / "home") as server:
        repository = Path(scratch) / "repository"
        repository.mkdir()
        make_repository(repository)
        environment = os.environ | {"RETRAIN_URL": server.url, "RETRAIN_TOKEN": server.token, "RETRAIN_HOME": scratch}
        wall: dict[str, list[float]] = {name: [] for name in SCRIPTS}
        init = []
        for _ in range(runs + 1):
            for name, code in SCRIPTS.items():
                wall[name].append(timed([python, "-c", code]))
            printed = subprocess.run(
                [python, "train.py"],
                cwd=repository,
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            init.append(float(printed.split("INIT ")[1].split()[0]))
        bare = statistics.median(wall["bare interpreter"][1:])
        imported = statistics.median(wall["import orchestrator"][1:])
        print(f"bare interpreter      {bare * 1000:7.1f} ms")
        own = (imported - bare) * 1000
        print(f"import orchestrator   {own:7.1f} ms  ({imported / bare:.2f} x bare)   goal {GOAL_IMPORT_MS} ms")
        warm, cold = statistics.median(init[1:]) * 1000, init[0] * 1000
        times = warm / bare / 1000
        print(f"Task.init             {warm:7.1f} ms  ({times:.1f} x bare; first {cold:.0f})   goal {GOAL_INIT_MS} ms")
        if own > GOAL_IMPORT_MS or warm > GOAL_INIT_MS:
            raise SystemExit("a goal was missed")


if __name__ == "__main__":
    main()
