"""`retrain up` as a person runs it: it comes up once, heals itself, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from orchestrator.errors import ServerUnreachable
from orchestrator.sdk.client import Client
from orchestrator.settings import read_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.redis

PATIENCE_SECONDS = 40


def start(home: Path, *options: str) -> subprocess.Popen[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("RETRAIN_", "REDIS_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli.main", "up", "--home", str(home), "--port", "0", *options],
        env=variables | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(up: subprocess.Popen[str], word: str) -> str:
    assert up.stdout is not None
    lines = []
    for line in up.stdout:
        lines.append(line)
        if word in line:
            break
    return "".join(lines)


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="up-", ignore_cleanup_errors=True) as made:
        yield Path(made) / "home"


@pytest.fixture
def up(home: Path) -> Iterator[subprocess.Popen[str]]:
    with start(home) as process:
        assert "ready: http" in read_until(process, "ready: "), "it did not come up"
        yield process
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)


def child(up: subprocess.Popen[str], word: str) -> psutil.Process | None:
    for process in psutil.Process(up.pid).children():
        if process.status() != psutil.STATUS_ZOMBIE and word in " ".join(process.cmdline()):
            return process
    return None


def wait_for(fulfilled: Callable[[], object], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not fulfilled():
        assert time.monotonic() < give_up, f"{what} did not come about"
        time.sleep(0.1)


def test_whatever_part_is_killed_is_started_again(up: subprocess.Popen[str], home: Path) -> None:
    killed = {}
    for part in ("redis-server", "scheduler", "agent", "server --port"):
        process = child(up, part)
        assert process is not None, part
        killed[part] = process.pid
        process.kill()
    for part, pid in killed.items():
        wait_for(lambda part=part, pid=pid: (found := child(up, part)) and found.pid != pid, f"another {part}")
    found = read_credentials(home / "up.json")
    assert found is not None
    with Client(found.url, found.token) as client:
        wait_for(lambda: _answers(client), "an answer of the server")


def _answers(client: Client) -> bool:
    try:
        return bool(client.get("/tokens/self"))
    except ServerUnreachable:
        return False


def test_a_second_one_in_the_same_home_says_so_and_the_first_goes_on(up: subprocess.Popen[str], home: Path) -> None:
    with start(home) as second:
        output, _ = second.communicate(timeout=PATIENCE_SECONDS)
    assert second.returncode == 1
    assert str(home) in output
    assert "--home" in output
    assert up.poll() is None


def test_a_second_server_in_the_same_home_says_so_and_nobody_is_sent_astray(
    up: subprocess.Popen[str], home: Path
) -> None:
    before = read_credentials(home / "up.json")
    second = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli.main", "server", "--port", "0"],
        env=os.environ | {"RETRAIN_HOME": str(home), "REDIS_URL": f"unix://{home}/redis/redis.sock"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert second.returncode == 1
    assert "A server runs already" in second.stderr
    assert read_credentials(home / "up.json") == before
    assert up.poll() is None


def test_it_comes_up_again_at_the_same_port(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    for _ in range(2):
        with start(home, "--port", port) as up:
            assert f"ready: http://127.0.0.1:{port}" in read_until(up, "ready: ")
            up.send_signal(signal.SIGTERM)
            up.communicate(timeout=PATIENCE_SECONDS)


def test_the_end_leaves_no_process_behind(home: Path) -> None:
    with start(home) as up:
        read_until(up, "ready: ")
        family = psutil.Process(up.pid).children(recursive=True)
        assert len(family) >= 4
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=PATIENCE_SECONDS)
    assert up.returncode == 0
    assert [process for process in family if process.is_running()] == []


def test_a_stack_that_is_killed_leaves_no_process_behind(home: Path) -> None:
    with start(home) as up:
        read_until(up, "ready: ")
        family = psutil.Process(up.pid).children(recursive=True)
        up.kill()
        up.communicate(timeout=PATIENCE_SECONDS)
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
    assert alive == []


def test_a_port_that_is_taken_is_named(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start(home, "--port", str(port)) as up:
            output, _ = up.communicate(timeout=PATIENCE_SECONDS)
    assert up.returncode == 1
    assert str(port) in output
    assert "--port" in output


def test_an_agent_that_cannot_start_is_told_of_also_the_second_time(home: Path) -> None:
    with start(home) as up:
        read_until(up, "ready: ")
        up.send_signal(signal.SIGTERM)
        up.communicate(timeout=PATIENCE_SECONDS)
    agent = home / "agent"
    agent.rename(home / "agent-before")
    agent.write_text("in the way")
    with start(home) as up:
        output, _ = up.communicate(timeout=PATIENCE_SECONDS)
    assert up.returncode == 1
    assert "The agent did not start" in output
