"""The whole loop, with the scheduler killed between detection and firing and the agent killed in mid-run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3

from agent.testing import create_script_task, end_everything, start_agent, wait_for
from orchestrator.api.testing import running_server
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.api.testing import RunningServer

pytestmark = pytest.mark.redis

LEASE_SECONDS = 2
VERSIONS = 4
SCRIPT = """
import time
print("begun", flush=True)
for _ in range(10):
    time.sleep(0.1)
print("done")
"""
SCHEDULER = """
import os, signal, sys
from triggers.scheduler import run_scheduler

url, token, last_step = sys.argv[1:]
run_scheduler(url, token, checkpoint=lambda step: step == last_step and os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with (
        tempfile.TemporaryDirectory(prefix="loop-", ignore_cleanup_errors=True) as made,
        running_server(Path(made), lease_seconds=LEASE_SECONDS, heartbeat_seconds=0.5, sweep_seconds=0.3) as running,
    ):
        yield running


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="agent-", ignore_cleanup_errors=True) as made:
        yield Path(made)


def scheduler(server: RunningServer, *, killed_after: str = "never") -> subprocess.Popen[bytes]:
    """A real scheduler; it kills itself when it reaches that step of a tick."""
    return subprocess.Popen(
        [sys.executable, "-c", SCHEDULER, server.url, server.token, killed_after],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if not name.startswith("RETRAIN_")},
    )


def make_version(client: Client, *, number: int) -> str:
    """Make a final version of one file and return its id."""
    content = f"day {number}".encode()
    digest = f"blake3:{blake3(content).hexdigest()}"
    client.put_bytes(f"/blobs/{digest}", content)
    made = client.post("/datasets", {"project": "tests", "name": "sensors"})
    entry = {"path": f"{number}.csv", "size_bytes": len(content), "digest": digest}
    client.post(f"/datasets/{made['id']}/entries", {"put": [entry]})
    client.post(f"/datasets/{made['id']}/finalize")
    return str(made["id"])


def clones(client: Client, reference: str) -> list[dict[str, Any]]:
    return list(client.pages("/tasks", parent=reference))


def begun(client: Client, reference: str) -> bool:
    """Whether a clone's script runs now."""
    running = [task for task in clones(client, reference) if task["status"] == "in_progress"]
    return any(
        "begun" in client.get(f"/tasks/{task['id']}/console", attempt=task["attempt"])["text"] for task in running
    )


def test_each_version_is_trained_on_once_whatever_is_killed(server: RunningServer, home: Path, tmp_path: Path) -> None:
    with Client(server.url, server.token) as client:
        reference = create_script_task(client, SCRIPT, directory=tmp_path)
        client.put(
            "/triggers",
            {
                "name": "retrain",
                "condition": {"project": "tests", "on_tags": ["Production"]},
                "action": {"task": reference, "name": "training on ${dataset.version}"},
            },
        )
        for number in range(VERSIONS):
            client.post(f"/datasets/{make_version(client, number=number)}/tags", {"add": ["Production"]})

        # It has seen the tags and dies before it tells the server what to fire.
        assert scheduler(server, killed_after="matched").wait(timeout=30) == -signal.SIGKILL
        assert clones(client, reference) == []
        # Its successor has fired, and dies before it notes how far it came.
        assert scheduler(server, killed_after="fired").wait(timeout=30) == -signal.SIGKILL
        assert len(clones(client, reference)) == VERSIONS

        follower = scheduler(server)
        agents = [start_agent(home, server)]
        try:
            wait_for(lambda: begun(client, reference), what="a script that runs")
            agents[0].kill_tree()
            agents.append(start_agent(home, server))
            wait_for(
                lambda: all(task["status"] == "completed" for task in clones(client, reference)),
                seconds=60,
                what="the end of every training",
            )
        finally:
            follower.terminate()
            follower.wait(timeout=30)
            end_everything(agents[-1])

        made = clones(client, reference)
        assert sorted(task["name"] for task in made) == [f"training on 1.0.{patch}" for patch in range(VERSIONS)]
        attempts = [client.get(f"/tasks/{task['id']}")["attempts"] for task in made]
        reasons = sorted([attempt["exit_reason"] for attempt in each] for each in attempts)
        assert reasons == [*[["completed"]] * (VERSIONS - 1), ["lost", "completed"]]
        for task in made:
            assert client.get(f"/tasks/{task['id']}/console", attempt=task["attempt"])["text"].count("done\n") == 1
