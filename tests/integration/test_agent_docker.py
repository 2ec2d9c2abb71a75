"""The agent with containers: what differs from processes, from the claim to the end."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.testing import create_script_task, running_agent, wait_for
from orchestrator.api.testing import running_server
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.testing import RunningAgent
    from orchestrator.api.testing import RunningServer

pytestmark = [pytest.mark.docker, pytest.mark.redis]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="agent-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[RunningServer]:
    with running_server(home / "server", lease_seconds=4, heartbeat_seconds=1, sweep_seconds=0.3) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url, server.token) as made:
        yield made


@pytest.fixture(scope="module")
def agent(home: Path, server: RunningServer, docker_image: str) -> Iterator[RunningAgent]:
    with running_agent(home / "agent", server, executor="docker", image=docker_image) as running:
        yield running


def run(client: Client, script: str, *, directory: Path) -> str:
    task = create_script_task(client, script, directory=directory)
    client.post(f"/tasks/{task}/enqueue", {})
    return task


def ended(client: Client, task: str) -> dict[str, Any]:
    def detail() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/tasks/{task}")
        return found if found["task"]["status"] in {"completed", "failed", "stopped"} else None

    found: dict[str, Any] = wait_for(detail, seconds=60, what="the end of the task")
    return found


def console(client: Client, task: str) -> str:
    text: str = client.get(f"/tasks/{task}/console")["text"]
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("retrain: "))


def test_a_container_is_tracked_without_a_network_of_ours_and_sees_no_secret(
    client: Client, agent: RunningAgent, tmp_path: Path, server: RunningServer
) -> None:
    assert agent is not None
    task = run(
        client,
        "import os\nfrom pathlib import Path\nfrom orchestrator import Task\n"
        "task = Task.init(project_name='tests', task_name='container')\n"
        "task.get_logger().report_scalar(title='loss', series='train', value=0.5, iteration=1)\n"
        "print(Path('/.dockerenv').exists(), task.id == os.environ['RETRAIN_TASK_ID'])\n"
        "run = Path(os.environ['RETRAIN_TASK_FILE']).parent.parent\n"
        "print(sorted(path.name for path in run.iterdir()))\n",
        directory=tmp_path,
    )
    detail = ended(client, task)
    assert detail["task"]["status"] == "completed", console(client, task)
    assert detail["attempts"][-1]["executor"] == "docker"
    assert console(client, task) == "True True\n['attempt', 'console', 'source']\n"
    (loss,) = client.get(f"/tasks/{task}/series")["items"]
    assert loss["last"] == 0.5
    assert server.token not in console(client, task)


def test_a_killed_supervisor_finds_its_container_again(client: Client, agent: RunningAgent, tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(60)]
    script = "import time\nfor number in range(60):\n    print('line', number)\n    time.sleep(0.05)\n"
    task = run(client, script, directory=tmp_path)
    wait_for(lambda: "line 10\n" in client.get(f"/tasks/{task}/console")["text"])
    for supervisor in agent.supervisors():
        supervisor.kill()
    detail = ended(client, task)
    assert (detail["task"]["status"], detail["task"]["attempt"]) == ("completed", 1)
    assert console(client, task).splitlines() == lines


def test_a_container_stops_within_its_grace(client: Client, agent: RunningAgent, tmp_path: Path) -> None:
    assert agent is not None
    task = run(client, "import time\nprint('running')\ntime.sleep(60)\n", directory=tmp_path)
    wait_for(lambda: "running" in client.get(f"/tasks/{task}/console")["text"])
    began = time.monotonic()
    client.post(f"/tasks/{task}/stop")
    assert ended(client, task)["task"]["status"] == "stopped"
    assert time.monotonic() - began < 4


def test_a_task_can_bring_its_own_image_and_an_absent_one_is_named(
    client: Client, agent: RunningAgent, tmp_path: Path
) -> None:
    assert agent is not None
    task = create_script_task(client, "print(1)", directory=tmp_path)
    client.patch(f"/tasks/{task}", {"container": {"image": "no-such-image:1"}})
    client.post(f"/tasks/{task}/enqueue", {})
    detail = ended(client, task)
    assert (detail["task"]["status"], detail["task"]["status_reason"]) == ("failed", "infrastructure")
    assert "no-such-image:1" in detail["task"]["status_message"]


def test_memory_that_runs_out_is_told_apart(
    client: Client, agent: RunningAgent, tmp_path: Path, docker_image: str
) -> None:
    assert agent is not None
    script = "block = []\nwhile True:\n    block.append(bytearray(10_000_000))\n"
    task = create_script_task(client, script, directory=tmp_path)
    client.patch(f"/tasks/{task}", {"container": {"image": docker_image, "memory_bytes": 128 << 20}})
    client.post(f"/tasks/{task}/enqueue", {})
    detail = ended(client, task)
    assert (detail["task"]["status"], detail["task"]["status_reason"]) == ("failed", "out_of_memory")
