"""A scheduler that serves as a task: declared in a script, run by a real agent in the lane for services."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3

import triggers
from agent.testing import running_agent, wait_for
from orchestrator.api.testing import running_server
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.api.testing import RunningServer

pytestmark = pytest.mark.redis

SCRIPT = """
from orchestrator import Task
from triggers import TaskScheduler, TriggerScheduler

reference = Task.get_task(project_name="occupancy", task_name="training")

trigger = TriggerScheduler(pooling_frequency_minutes=1.0)
trigger.add_dataset_trigger(
    name="retrain on dataset", schedule_task_id=reference.id, schedule_queue="default",
    task_overrides={"General/CLEARML_DATASET_ID": "${dataset.id}"},
    trigger_project="occupancy", trigger_on_tags=["Production"])

def on_dataset(dataset_id):
    print("called with", dataset_id, flush=True)

trigger.add_dataset_trigger(name="call", schedule_function=on_dataset, trigger_on_tags="Production")
trigger.start_remotely()       # as a service task on the services queue
print("never by hand")
"""
CONTENT = b"a file"
FILE = {"path": "a.csv", "size_bytes": len(CONTENT), "digest": f"blake3:{blake3(CONTENT).hexdigest()}"}


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="service-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture
def server(home: Path) -> Iterator[RunningServer]:
    with running_server(home / "server", sweep_seconds=0.5) as running:
        yield running


def environment(path: Path, *packages: str) -> Path:
    """Make a virtual environment and return its interpreter."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(path)], check=True)
    python = path / "bin" / "python"
    install = [*uv, "pip", "install", "--quiet", "--python", str(python), *packages]
    installed = subprocess.run(install, check=False, capture_output=True, text=True)
    if installed.returncode != 0:
        reason = f"the package index gave no {' '.join(packages)}: {installed.stderr}"
        pytest.fail(reason) if os.environ.get("RETRAIN_REQUIRE_PARTS") else pytest.skip(reason)
    # Ourselves without our metadata: at the agent, too, the SDK is none of the environment's packages.
    (next(path.glob("lib/*/site-packages")) / "ourselves.pth").write_text(str(Path(triggers.__path__[0]).parent))
    return python


def run_by_hand(python: Path, *, home: Path, server: RunningServer) -> subprocess.CompletedProcess[str]:
    folder = home / "repository"
    folder.mkdir()
    (folder / "serve.py").write_text(SCRIPT)
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "first")):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], cwd=folder, check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RETRAIN_", "PYTHON"))}
    logged_in = {"RETRAIN_URL": server.url, "RETRAIN_TOKEN": server.token, "RETRAIN_HOME": str(home / "by-hand")}
    return subprocess.run(
        [str(python), "serve.py"],
        cwd=folder,
        env=kept | logged_in,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def publish(client: Client) -> str:
    client.put_bytes(f"/blobs/{FILE['digest']}", CONTENT)
    version = str(client.post("/datasets", {"project": "occupancy", "name": "sensors"})["id"])
    client.post(f"/datasets/{version}/entries", {"put": [FILE]})
    client.post(f"/datasets/{version}/finalize")
    client.post(f"/datasets/{version}/tags", {"add": ["Production"]})
    return version


def tasks(client: Client, **query: str) -> list[dict[str, Any]]:
    return list(client.pages("/tasks", **query))


def make_reference(client: Client) -> str:
    parameters = [{"name": "General/CLEARML_DATASET_ID", "type": "string", "value": ""}]
    return str(client.post("/tasks", {"project": "occupancy", "name": "training", "parameters": parameters})["id"])


def test_a_scheduler_serves_from_the_lane_for_services(home: Path, server: RunningServer) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(Client(server.url, server.token))
        reference = make_reference(client)
        python = environment(home / "venv", "apscheduler<4", "pydantic")
        by_hand = run_by_hand(python, home=home, server=server)
        assert by_hand.returncode == 0, by_hand.stderr
        assert by_hand.stdout == ""
        (service,) = tasks(client, project="services")
        assert (service["status"], service["queue"], service["type"]) == ("queued", "services", "service")

        client.post("/queues", {"name": "elsewhere"})  # nobody shall run the clone
        stack.enter_context(running_agent(home / "agent", server, slots=["elsewhere"]))

        def console() -> str:
            detail = client.get(f"/tasks/{service['id']}")["task"]
            assert detail["status"] not in {"failed", "stopped", "completed"}, detail["status_message"]
            return str(client.get(f"/tasks/{service['id']}/console")["text"]) if detail["attempt"] == 2 else ""

        wait_for(lambda: "scheduler started" in console(), seconds=120, what="the scheduler's start at the agent")
        version = publish(client)
        (clone,) = wait_for(lambda: tasks(client, parent=reference), what="a clone of the reference")
        (parameter,) = client.get(f"/tasks/{clone['id']}/parameters")["items"]
        assert (clone["status"], parameter["value"]) == ("queued", version)
        wait_for(lambda: f"called with {version}" in console(), what="the call of the function at the agent")

        client.post(f"/tasks/{service['id']}/stop")
        wait_for(lambda: client.get(f"/tasks/{service['id']}")["task"]["status"] == "stopped", what="the end")


def test_what_cannot_serve_there_is_not_handed_over(home: Path, server: RunningServer) -> None:
    with Client(server.url, server.token) as client:
        python = environment(home / "venv", "pydantic")
        make_reference(client)
        by_hand = run_by_hand(python, home=home, server=server)
        assert by_hand.returncode == 1
        assert "needs the package apscheduler" in by_hand.stderr
        assert "pip install 'retrain-orchestrator[scheduler]'" in by_hand.stderr
        assert tasks(client, project="services") == []
        assert list(client.pages("/triggers")) == []
