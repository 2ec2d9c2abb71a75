"""The scripts that people write, each run as a process against a real server, as they would run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3

from agent.testing import wait_for
from orchestrator.api.testing import running_server
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.api.testing import RunningServer

REFERENCE = """\
from orchestrator import Task

reference = Task.get_task(project_name="occupancy", task_name="training")
"""
CONTRACT = """
from triggers import TaskScheduler, TriggerScheduler

trigger = TriggerScheduler(polling_frequency_minutes=1.0)        # pooling_frequency_minutes is accepted too
trigger.add_dataset_trigger(
    name="retrain on dataset", schedule_task_id=reference.id, schedule_queue="default",
    task_overrides={"General/CLEARML_DATASET_ID": "${dataset.id}"},
    trigger_project="occupancy", trigger_on_tags=["Production"])
trigger.start()                # here, blocking; or
trigger.start_remotely()       # as a service task on the services queue
"""
"""As the contract of what people type has it, comments and all."""
PATIENCE_SECONDS = 30.0
FILE = {"path": "a.csv", "size_bytes": 6, "digest": f"blake3:{blake3(b'a file').hexdigest()}"}
FUNCTIONS = """
import sys
from pathlib import Path
from triggers import TaskScheduler, TriggerScheduler

said = Path(sys.argv[1])

def on_dataset(dataset_id):
    (said / "dataset").write_text(dataset_id)

def every_event(events):
    (said / "events").write_text(" ".join(str(event.id) for event in events))

def enough(events):
    return len(events) > 0

def by_the_clock():
    (said / "clock").write_text("ticked")

scheduler = TaskScheduler()
scheduler.add_task(name="clock", schedule_function=by_the_clock, every=1, execute_immediately=True)

trigger = TriggerScheduler(pooling_frequency_minutes=1.0)
trigger.add_dataset_trigger(name="one", schedule_function=on_dataset, trigger_project="occupancy", require=enough)
trigger.add_dataset_trigger(name="all", schedule_function=every_event, trigger_project="occupancy", debounce=0.2)
trigger.start(also=[scheduler])
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), sweep_seconds=0.5) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url, server.token) as client:
        yield client
        for found in list(client.pages("/triggers")):
            client.delete(f"/triggers/{found['id']}")


@pytest.fixture
def reference(client: Client) -> str:
    parameters = [{"name": "General/CLEARML_DATASET_ID", "type": "string", "value": ""}]
    return str(client.post("/tasks", {"project": "occupancy", "name": "training", "parameters": parameters})["id"])


@contextmanager
def running(script: str, *arguments: str, server: RunningServer, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a script for as long as the block lasts, then press Ctrl-C."""
    (folder / "serve.py").write_text(script)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RETRAIN_")}
    logged_in = {"RETRAIN_URL": server.url, "RETRAIN_TOKEN": server.token, "RETRAIN_HOME": str(folder / "home")}
    process = subprocess.Popen(
        [sys.executable, "serve.py", *arguments], cwd=folder, env=kept | logged_in, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode in {1, 130, -signal.SIGINT}, errors
    assert "KeyboardInterrupt" in errors


def publish(client: Client) -> str:
    client.put_bytes(f"/blobs/{FILE['digest']}", b"a file")
    version = str(client.post("/datasets", {"project": "occupancy", "name": "sensors"})["id"])
    client.post(f"/datasets/{version}/entries", {"put": [FILE]})
    client.post(f"/datasets/{version}/finalize")
    return version


def clones(client: Client, reference: str) -> list[dict[str, Any]]:
    return list(client.pages("/tasks", parent=reference))


@pytest.mark.parametrize("keyword", ["polling_frequency_minutes", "pooling_frequency_minutes"])
def test_the_script_of_the_contract_clones_for_each_tagged_version(
    server: RunningServer, client: Client, reference: str, keyword: str, tmp_path: Path
) -> None:
    script = REFERENCE + CONTRACT.replace("(polling_frequency_minutes", f"({keyword}")
    with running(script, server=server, folder=tmp_path):
        wait_for(lambda: list(client.pages("/triggers")), seconds=PATIENCE_SECONDS, what="the trigger")
        version = publish(client)
        client.post(f"/datasets/{version}/tags", {"add": ["Production"]})
        (clone,) = wait_for(lambda: clones(client, reference), seconds=PATIENCE_SECONDS, what="the clone")
    (parameter,) = client.get(f"/tasks/{clone['id']}/parameters")["items"]
    assert (clone["status"], clone["queue"], parameter["value"]) == ("queued", "default", version)
    assert len(clones(client, reference)) == 1


def test_functions_are_called_by_the_script_that_registered_them(
    server: RunningServer, client: Client, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    said.mkdir()
    with running(FUNCTIONS, str(said), server=server, folder=tmp_path):
        wait_for(lambda: len(list(client.pages("/triggers"))) == 3, seconds=PATIENCE_SECONDS, what="the triggers")
        publish(client)
        version = publish(client)
        wait_for(lambda: (said / "dataset").exists() and (said / "dataset").read_text() == version, what="the call")
        wait_for((said / "clock").exists, what="the call by the clock")
        wait_for(lambda: (said / "events").exists() and len((said / "events").read_text().split()) == 2, what="both")


def test_what_is_wrong_with_a_trigger_is_said_before_it_serves(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "serve.py").write_text(REFERENCE.replace("training", "none such") + CONTRACT)
    logged_in = {"RETRAIN_URL": server.url, "RETRAIN_TOKEN": server.token, "RETRAIN_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "serve.py"],
        cwd=tmp_path,
        env=os.environ | logged_in,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 1
    assert "none such" in done.stderr
