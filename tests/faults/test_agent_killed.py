"""Agents, supervisors and shims that are killed or restarted while a script runs."""

from __future__ import annotations

import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from agent.testing import create_script_task, end_everything, running_agent, start_agent, wait_for
from orchestrator.api.testing import running_server
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.api.testing import RunningServer

pytestmark = pytest.mark.redis

LEASE_SECONDS = 2
LINES = 100
SCRIPT = f"""
import sys, time
with open(sys.argv[1], "a") as starts:
    print("started", file=starts)
for number in range({LINES}):
    print("line", number)
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with (
        tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as made,
        running_server(Path(made), lease_seconds=LEASE_SECONDS, heartbeat_seconds=0.5, sweep_seconds=0.3) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url, server.token) as made:
        yield made


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="agent-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture
def submit(client: Client, tmp_path: Path) -> Callable[..., str]:
    def create_and_enqueue(script: str = SCRIPT) -> str:
        task = create_script_task(client, script, directory=tmp_path, arguments=[str(tmp_path / "starts")])
        client.post(f"/tasks/{task}/enqueue", {})
        return task

    return create_and_enqueue


def ended(client: Client, task: str, *, seconds: float = 30) -> dict[str, Any]:
    def detail() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/tasks/{task}")
        return found if found["task"]["status"] in {"completed", "failed", "stopped"} else None

    found: dict[str, Any] = wait_for(detail, seconds=seconds, what="the end of the task")
    return found


def lines(client: Client, task: str) -> list[str]:
    text: str = client.get(f"/tasks/{task}/console")["text"]
    return [line for line in text.splitlines() if not line.startswith("retrain: ")]


def wait_until_it_says(client: Client, task: str, word: str) -> None:
    wait_for(lambda: word in client.get(f"/tasks/{task}/console")["text"], what=f"{word!r} in the console")


WHOLE = [f"line {number}" for number in range(LINES)]


def test_a_node_that_dies_costs_one_lease_and_the_script_resumes(
    client: Client, server: RunningServer, submit: Callable[..., str], home: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint"
    task = submit(
        "import time\nfrom pathlib import Path\n"
        f"checkpoint = Path({str(checkpoint)!r})\n"
        "first = int(checkpoint.read_text()) if checkpoint.exists() else 0\n"
        "print('from', first)\n"
        "for step in range(first, 50):\n    checkpoint.write_text(str(step))\n    time.sleep(0.03)\n"
    )
    agent = start_agent(home / "first", server)
    wait_for(lambda: checkpoint.exists() and int(checkpoint.read_text() or 0) >= 10)
    began = time.monotonic()
    agent.kill_tree()
    end_everything(agent)
    with running_agent(home / "second", server):
        wait_for(lambda: client.get(f"/tasks/{task}")["attempts"][-1]["number"] == 2, seconds=LEASE_SECONDS + 10)
        assert time.monotonic() - began < LEASE_SECONDS + 10
        detail = ended(client, task)
    assert detail["task"]["status"] == "completed"
    assert [attempt["exit_reason"] for attempt in detail["attempts"]] == ["lost", "completed"]
    assert int(lines(client, task)[0].split()[1]) >= 10


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restarted_agent_takes_its_run_over(
    client: Client, server: RunningServer, submit: Callable[..., str], tmp_path: Path, how: signal.Signals
) -> None:
    task = submit()
    home = tmp_path / "home"
    agent = start_agent(home, server)
    wait_until_it_says(client, task, "line 10\n")
    agent.process.send_signal(how)
    agent.process.wait(timeout=10)
    with running_agent(home, server):
        detail = ended(client, task)
        assert detail["task"]["status"] == "completed"
        assert len(detail["attempts"]) == 1
        assert lines(client, task) == WHOLE
        assert (tmp_path / "starts").read_text() == "started\n"


def test_a_run_that_ends_while_no_agent_is_there_is_reported_by_its_supervisor(
    client: Client, server: RunningServer, submit: Callable[..., str], home: Path
) -> None:
    task = submit()
    agent = start_agent(home, server)
    wait_until_it_says(client, task, "line 10\n")
    agent.stop()
    assert ended(client, task)["task"]["status"] == "completed"
    assert lines(client, task) == WHOLE


def test_a_killed_supervisor_has_a_successor_and_the_script_notices_nothing(
    client: Client, server: RunningServer, submit: Callable[..., str], home: Path, tmp_path: Path
) -> None:
    task = submit()
    with running_agent(home, server) as agent:
        for number in (10, 40, 70):
            wait_until_it_says(client, task, f"line {number}\n")
            for supervisor in agent.supervisors():
                if supervisor.name() != "retrain-shim":
                    supervisor.kill()
        detail = ended(client, task)
    assert detail["task"]["status"] == "completed"
    assert len(detail["attempts"]) == 1
    assert lines(client, task) == WHOLE
    assert (tmp_path / "starts").read_text() == "started\n"


def test_everything_of_ours_but_the_shim_is_killed_and_the_next_agent_collects_the_exit_status(
    client: Client, server: RunningServer, submit: Callable[..., str], home: Path, tmp_path: Path
) -> None:
    task = submit(SCRIPT + "\nsys.exit(7)\n")
    agent = start_agent(home, server)
    wait_until_it_says(client, task, "line 10\n")
    shims = [each for each in agent.tree() if each.name() == "retrain-shim"]
    script = {child for shim in shims for child in shim.children()}
    for process in {*agent.tree()} - {*shims, *script}:
        process.kill()
    agent.process.wait()
    with running_agent(home, server):
        detail = ended(client, task)
    assert (detail["task"]["status"], detail["attempts"][-1]["exit_code"]) == ("failed", 7)
    assert len(detail["attempts"]) == 1
    assert lines(client, task) == WHOLE
    assert (tmp_path / "starts").read_text() == "started\n"


def test_a_task_that_kills_its_slot_each_time_fails_in_the_end_and_the_agent_goes_on(
    client: Client, server: RunningServer, submit: Callable[..., str], home: Path
) -> None:
    with running_agent(home, server) as agent:
        # Its shim, its supervisor and its worker, from the top.
        task = submit(
            "import os, signal\n"
            "def parent(pid):\n    return int(open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[1])\n"
            "shim = os.getppid()\nsupervisor = parent(shim)\nworker = parent(supervisor)\n"
            "for pid in (worker, supervisor, shim):\n    os.kill(pid, signal.SIGKILL)\n"
        )
        detail = ended(client, task)
        assert (detail["task"]["status"], detail["task"]["status_reason"]) == ("failed", "lost")
        assert len(detail["attempts"]) == server.settings.max_lost_attempts
        assert agent.process.poll() is None
        assert ended(client, submit())["task"]["status"] == "completed"


def test_nothing_is_left_of_a_script_when_it_has_ended(
    client: Client, server: RunningServer, submit: Callable[..., str], home: Path
) -> None:
    task = submit(
        "import os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    print('child', os.getpid(), flush=True)\n    time.sleep(600)\n"
        "time.sleep(0.3)\n"
    )
    with running_agent(home, server):
        assert ended(client, task)["task"]["status"] == "completed"
        (line,) = lines(client, task)
        assert not is_alive(int(line.split()[1]))


def is_alive(pid: int) -> bool:
    """A zombie is dead: it waits for the machine's first process to take notice."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
