"""Agents that cannot reach the server, or do not run, for a while; servers and Redis that are away."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from agent.testing import Target, create_script_task, running_agent, wait_for
from orchestrator.api.testing import running_server
from orchestrator.redis_server import RedisServer
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.api.testing import RunningServer

pytestmark = pytest.mark.redis

LEASE = {"lease_seconds": 2, "heartbeat_seconds": 0.5, "sweep_seconds": 0.3}
ATTEMPTS = """
import os, sys, time
from pathlib import Path
number = os.environ["RETRAIN_ATTEMPT"]
from orchestrator.sdk.client import Client
client = Client(os.environ["RETRAIN_URL"])
task = os.environ["RETRAIN_TASK_ID"]
print("attempt", number)
if number == "1":
    for step in range(10_000):
        Path(sys.argv[1]).write_text(f"{os.getpid()} {step}")
        time.sleep(0.05)
report = {"title": "result", "series": "", "kind": "text", "data": f"of attempt {number}"}
client.post(f"/tasks/{task}/reports", report)
"""


class Line:
    """A network line to the server that can be cut: connections break and new ones are refused."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._is_cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._is_cut = True
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        with socket.create_connection(("127.0.0.1", self.port)):
            self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                if self._is_cut:
                    here.close()
                    continue
                there = socket.create_connection(("127.0.0.1", self._to))
                for ends in ((here, there), (there, here)):
                    self._open.add(ends[0])
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
        source.close()


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture
def server(home: Path) -> Iterator[RunningServer]:
    with running_server(home / "server", **LEASE) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url, server.token) as made:
        yield made


def enqueue(client: Client, script: str, *, directory: Path) -> str:
    task = create_script_task(client, script, directory=directory, arguments=[str(directory / "marks")])
    client.post(f"/tasks/{task}/enqueue", {})
    return task


def status(client: Client, task: str) -> str:
    return str(client.get(f"/tasks/{task}")["task"]["status"])


def wait_until_ended(client: Client, task: str, *, seconds: float = 30) -> dict[str, Any]:
    wait_for(lambda: status(client, task) in {"completed", "failed", "stopped"}, seconds=seconds, what="the end")
    detail: dict[str, Any] = client.get(f"/tasks/{task}")
    return detail


def wait_for_marks(directory: Path) -> int:
    """Wait until the first attempt is at work and return its process id."""
    marks = directory / "marks"
    wait_for(lambda: marks.exists() and len(marks.read_text().split()) == 2, what="the first attempt")
    return int(marks.read_text().split()[0])


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def check_that_the_second_attempt_stands(client: Client, task: str) -> None:
    detail = client.get(f"/tasks/{task}")
    assert (detail["task"]["status"], detail["task"]["attempt"]) == ("completed", 2)
    assert [attempt["exit_reason"] for attempt in detail["attempts"]] == ["lost", "completed"]
    (report,) = client.get(f"/tasks/{task}/reports")["items"]
    assert report["data"] == "of attempt 2"


def test_an_agent_that_was_cut_off_past_its_lease_changes_nothing_when_it_is_back(
    home: Path, server: RunningServer, client: Client
) -> None:
    line = Line(int(server.url.rsplit(":", 1)[1]))
    behind = Target(f"http://127.0.0.1:{line.port}", server.token, server.redis_url)
    with running_agent(home / "first", behind) as first:
        task = enqueue(client, ATTEMPTS, directory=home)
        script = wait_for_marks(home)
        line.cut()
        with running_agent(home / "second", server):
            wait_until_ended(client, task)
        assert is_alive(script)  # silence kills nobody
        line.mend()
        wait_for(lambda: not is_alive(script), what="the end of the first attempt's script")
        wait_for(lambda: not first.supervisors(), what="the end of its supervisor")
        check_that_the_second_attempt_stands(client, task)
        assert first.process.poll() is None
        again = enqueue(client, "print('back at work')", directory=home)
        assert wait_until_ended(client, again)["task"]["status"] == "completed"
    line.close()


def test_an_agent_that_was_frozen_past_its_lease_changes_nothing_when_it_is_thawed(
    home: Path, server: RunningServer, client: Client
) -> None:
    with running_agent(home / "first", server) as first:
        task = enqueue(client, ATTEMPTS, directory=home)
        script = wait_for_marks(home)
        tree = first.tree()
        for process in tree:
            process.suspend()
        with running_agent(home / "second", server):
            wait_until_ended(client, task)
        for process in tree:
            process.resume()
        wait_for(lambda: not is_alive(script), what="the end of the first attempt's script")
        wait_for(lambda: not first.supervisors(), what="the end of its supervisor")
        check_that_the_second_attempt_stands(client, task)


SERVE = """
import json, sys
from pathlib import Path
from orchestrator.api.serve import serve
from orchestrator.settings import Settings
given = json.loads(sys.argv[1])
serve(Settings(home=Path(given.pop("home")), **given), ready=lambda url: print(url, flush=True))
"""


class ServerProcess:
    """A server that can be killed."""

    def __init__(self, home: Path, redis_url: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        # A lease outlasts a start of the server here, as one of a minute does: a start takes a second or two.
        self._settings = {"home": str(home), "redis_url": redis_url, "port": port, **LEASE, "lease_seconds": 8}
        self._home = home
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Target:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE, json.dumps(self._settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("RETRAIN_")},
        )
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            url = stdout.readline().strip()
        token = json.loads((self._home / "up.json").read_text())["token"]
        return Target(url, token, str(self._settings["redis_url"]))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def server_process(home: Path, redis_url: str) -> Iterator[ServerProcess]:
    made = ServerProcess(home / "server", redis_url)
    yield made
    made.kill()


TRACKED = """
import time
from orchestrator import Task
task = Task.init(project_name="tests", task_name="tracked")
logger = task.get_logger()
for step in range(150):
    print("line", step)
    logger.report_scalar(title="loss", series="train", value=step, iteration=step)
    time.sleep(0.03)
"""


def test_a_server_that_is_killed_and_started_again_has_every_line_and_every_point(
    home: Path, server_process: ServerProcess
) -> None:
    target = server_process.start()
    with running_agent(home / "agent", target), Client(target.url, target.token) as client:
        task = enqueue(client, TRACKED, directory=home)
        wait_for(lambda: "line 30\n" in client.get(f"/tasks/{task}/console")["text"])
        server_process.kill()
        time.sleep(1)
        server_process.start()
        detail = wait_until_ended(client, task)
        assert (detail["task"]["status"], detail["task"]["attempt"]) == ("completed", 1)
        lines = client.get(f"/tasks/{task}/console")["text"].splitlines()
        assert [line for line in lines if line.startswith("line ")] == [f"line {step}" for step in range(150)]
        (loss,) = client.get(f"/tasks/{task}/series")["items"]
        assert (loss["count"], loss["minimum"], loss["maximum"], loss["last"]) == (150, 0, 149, 149)


def test_a_script_that_ends_while_the_server_is_away_is_reported_when_it_is_back(
    home: Path, server_process: ServerProcess
) -> None:
    target = server_process.start()
    with running_agent(home / "agent", target), Client(target.url, target.token) as client:
        task = enqueue(client, "import time\nprint('begun')\ntime.sleep(0.5)\nprint('done')\n", directory=home)
        wait_for(lambda: "begun" in client.get(f"/tasks/{task}/console")["text"])
        server_process.kill()
        time.sleep(3)  # longer than the lease
        server_process.start()
        detail = wait_until_ended(client, task)
        assert (detail["task"]["status"], detail["task"]["attempt"]) == ("completed", 1)
        assert client.get(f"/tasks/{task}/console")["text"].endswith("begun\ndone\n")


@pytest.fixture
def redis(home: Path) -> Iterator[RedisServer]:
    made = RedisServer(home / "redis")
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("comes_back_empty", [False, True])
def test_an_agent_outlives_redis_and_takes_work_again_at_once(
    home: Path, redis: RedisServer, comes_back_empty: bool
) -> None:
    with (
        running_server(home / "server", redis_url=redis.url, **LEASE) as server,
        Client(server.url, server.token) as client,
        running_agent(home / "agent", server) as agent,
    ):
        wait_until_ended(client, enqueue(client, "print('before')", directory=home))
        redis.process.send_signal(signal.SIGKILL)
        redis.stop()
        meanwhile = enqueue(client, "print('meanwhile')", directory=home)
        assert wait_until_ended(client, meanwhile)["task"]["status"] == "completed"
        time.sleep(2)
        if comes_back_empty:
            for kept in redis.directory.glob("appendonly*"):
                shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
        redis.start()
        began = time.monotonic()
        after = enqueue(client, "print('after')", directory=home)
        assert wait_until_ended(client, after)["task"]["status"] == "completed"
        assert time.monotonic() - began < 5
        assert agent.process.poll() is None


def test_tickets_that_are_gone_cost_no_task(home: Path, redis: RedisServer) -> None:
    import redis as redis_client  # noqa: PLC0415  for this one test

    with (
        running_server(home / "server", redis_url=redis.url, **LEASE) as server,
        Client(server.url, server.token) as client,
    ):
        tasks = [enqueue(client, "print('hello')", directory=home) for _ in range(5)]
        with running_agent(home / "agent", server):
            for _ in range(10):
                with redis_client.Redis.from_url(redis.url) as connection:
                    connection.flushall()
                time.sleep(0.1)
            details = [wait_until_ended(client, task) for task in tasks]
        assert [detail["task"]["status"] for detail in details] == ["completed"] * 5
        assert [len(detail["attempts"]) for detail in details] == [1] * 5
