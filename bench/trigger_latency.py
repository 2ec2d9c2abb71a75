"""Time from tagging a dataset version to the first line of the script that the trigger's clone runs.

    python bench/trigger_latency.py [--runs 20] [--executor process|docker] [--image IMAGE]

The environment is reused. The peer is measured in the same round: for processes `python -c pass` of the environment's
own interpreter, for Docker the same container created and started by hand, up to its first line.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import threading
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from orchestrator import Dataset
from orchestrator.cli.demo.repository import make_environment
from orchestrator.cli.stack import Stack, choose_image
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.settings import Server

SCRIPT = """\
import time
print("FIRST", time.time(), flush=True)
import sys
print("PYTHON", sys.executable, flush=True)
from orchestrator import Task
Task.init(project_name="bench", task_name="latency")
"""
GOAL_SECONDS, GOAL_PROCESS, GOAL_DOCKER = 0.250, 12.0, 1.3


def make_reference(work: Path, client: Client, server: Server) -> str:
    """Run the script once by hand, so that there is a task to clone; return its id."""
    repository = work / "repository"
    repository.mkdir(parents=True)
    (repository / "train.py").write_text(SCRIPT)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "script"]):
        subprocess.run(
            ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", *command],
            cwd=repository,
            check=True,
        )
    python = make_environment(work / "environment", sdk_root=work / "sdk", log=work / "uv.log", packages=())
    variables = os.environ | {"RETRAIN_URL": server.url, "RETRAIN_TOKEN": server.token}
    subprocess.run([python, "train.py"], cwd=repository, env=variables, check=True, capture_output=True)
    (task,) = client.get("/tasks", project="bench")["items"]
    return str(task["id"])


def tag_and_wait(client: Client, *, folder: Path, index: int) -> tuple[dict[str, float], str]:
    """Publish and tag a version; return the seconds from the tag to each stage, and the task's id."""
    (folder / f"{index}.txt").write_text(str(index))
    dataset = Dataset.get(dataset_project="bench", dataset_name="latency", auto_create=True, writable_copy=True)
    dataset.add_files(path=folder)
    dataset.finalize(auto_upload=True)
    tagged = time.time()
    dataset.add_tags(["Production"])
    while True:
        for task in client.get("/tasks", project="bench")["items"]:
            if task["name"] == f"run {dataset.version}" and task["status"] in {"completed", "failed"}:
                console = client.get(f"/tasks/{task['id']}/console")["text"]
                if task["status"] == "failed":
                    raise SystemExit(f"{task['status_message']}\n{console}")
                first_line = float(console.split("FIRST ")[1].split()[0])
                return hops_of(client, task["id"], tagged=tagged, first_line=first_line), str(task["id"])
        time.sleep(0.1)


def hops_of(client: Client, task: str, *, tagged: float, first_line: float) -> dict[str, float]:
    """Return the seconds from the tag to each stage of a task."""
    detail = client.get(f"/tasks/{task}")
    moments = {
        "queued": detail["task"]["queued_at"],
        "claimed": detail["attempts"][-1]["claimed_at"],
        "script started": detail["attempts"][-1]["started_at"],
    }
    reached = {name: datetime.fromisoformat(moment).timestamp() - tagged for name, moment in moments.items()}
    return reached | {"first line": first_line - tagged}


def interpreter_of(client: Client, task: str) -> Path:
    """Return the interpreter of the environment in which a task ran."""
    console = client.get(f"/tasks/{task}/console")["text"]
    return Path(console.split("PYTHON ")[1].split()[0])


def bare_process(python: Path) -> float:
    """Return the seconds of `python -c pass`."""
    begun = time.perf_counter()
    subprocess.run([python, "-c", "pass"], check=True)
    return time.perf_counter() - begun


class SameContainer:
    """Makes by hand the container that the agent made: same image, mounts, limits, user, entry point and variables.

    Use it around an attempt: it looks at the attempt's container while that runs.
    """

    def __init__(self) -> None:
        import docker  # noqa: PLC0415  only this peer needs it

        self._client = docker.from_env()
        self._seen: dict[str, Any] = {}
        self._watcher = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._watcher.join()

    def _watch(self) -> None:
        while not self._seen:
            for container in self._client.containers.list(filters={"label": "retrain.task"}):
                self._seen = container.attrs
            time.sleep(0.01)

    def first_line_seconds(self) -> float:
        """Create and start one; return the seconds to the first line of its script."""
        config, host = self._seen["Config"], self._seen["HostConfig"]
        console = Path(config["Entrypoint"][-1])
        for mount in host["Mounts"]:  # the agent removed the source tree of the run that was looked at
            if mount["Type"] == "bind" and not Path(mount["Source"]).exists():
                Path(mount["Source"]).mkdir(parents=True)
        kept = ("Image", "User", "Env", "Entrypoint", "WorkingDir", "Labels")
        wanted = {name: config[name] for name in kept} | {"HostConfig": host}
        wanted |= {"Cmd": [config["Cmd"][0], "-c", "import time; print(time.time(), flush=True)"]}
        begun = time.time()
        identity = self._client.api.create_container_from_config(wanted)["Id"]
        try:
            self._client.api.start(identity)
            self._client.api.wait(identity)
            return float(console.read_text().split()[-1]) - begun
        finally:
            self._client.api.remove_container(identity, force=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--executor", choices=["process", "docker"], default="process")
    parser.add_argument("--image", default=os.environ.get("RETRAIN_DOCKER_IMAGE"))
    options = parser.parse_args()
    image, how = choose_image(options.executor, image=options.image)
    print(how)
    with tempfile.TemporaryDirectory(prefix="retrain-latency-") as scratch:
        home = Path(scratch) / "home"
        with Stack(home, port=0, image=image).running(say=lambda _: None) as server:
            os.environ |= {"RETRAIN_URL": server.url, "RETRAIN_TOKEN": server.token, "RETRAIN_HOME": str(home)}
            client = Client(server.url, server.token)
            reference = make_reference(Path(scratch) / "work", client, server)
            action = {"task": reference, "queue": "default", "name": "run ${dataset.version}"}
            condition = {"project": "bench", "on_tags": ["Production"]}
            client.put("/triggers", {"name": "latency", "condition": condition, "action": action})
            folder = Path(scratch) / "files"
            folder.mkdir()
            _, task = tag_and_wait(client, folder=folder, index=0)  # builds the environment
            python = interpreter_of(client, task)
            peer: Callable[[], float] = partial(bare_process, python)
            if image is not None:
                with SameContainer() as container:
                    tag_and_wait(client, folder=folder, index=1)
                peer = container.first_line_seconds
            hops, peers = [], []
            for index in range(2, options.runs + 2):
                hops.append(tag_and_wait(client, folder=folder, index=index)[0])
                peers.append(peer())
    ours = [one["first line"] for one in hops]
    median, bare = statistics.median(ours), statistics.median(peers)
    ratio = statistics.median(one / other for one, other in zip(ours, peers, strict=True))
    name = "python -c pass" if image is None else "the same container by hand"
    goal = f"{GOAL_SECONDS * 1000:.0f} ms and {GOAL_PROCESS:.0f} x" if image is None else f"{GOAL_DOCKER} x"
    print(
        f"tag to first line  median {median * 1000:6.0f} ms  (min {min(ours) * 1000:.0f}, max {max(ours) * 1000:.0f})"
    )
    reached = {stage: statistics.median(one[stage] for one in hops) * 1000 for stage in hops[0]}
    print("stages             " + ", ".join(f"{stage} {moment:.0f} ms" for stage, moment in reached.items()))
    print(f"{name:18} median {bare * 1000:6.0f} ms")
    print(f"ratio              median {ratio:6.2f} x   goal {goal}, {options.runs} runs")
    if ratio > (GOAL_PROCESS if image is None else GOAL_DOCKER) or (image is None and median > GOAL_SECONDS):
        raise SystemExit("a goal was missed")


if __name__ == "__main__":
    main()
