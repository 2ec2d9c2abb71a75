"""A real agent for tests, as a process: `with running_agent(home, server) as agent: agent.kill_tree()`."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from orchestrator.sdk.blobs import store_file
from orchestrator.sdk.capture.source import capture_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from orchestrator.sdk.client import Client

_START_SECONDS = 30
_PROGRAM = """
import json, logging, sys
from pathlib import Path
from agent.daemon import run_agent
from agent.settings import AgentSettings, slots_for

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")
given = json.loads(sys.argv[1])
run_agent(
    AgentSettings(**given | {"home": Path(given["home"]), "slots": slots_for(given["slots"])}),
    ready=lambda: print("ready", flush=True),
)
"""


class Target(NamedTuple):
    """The server that an agent works for."""

    url: str
    token: str
    redis_url: str


@dataclass
class RunningAgent:
    """The process of an agent, and everything that descends from it."""

    process: subprocess.Popen[str]
    home: Path
    log: Path

    def tree(self) -> list[psutil.Process]:
        """Return the agent, its workers, their supervisors, and what those started."""
        try:
            agent = psutil.Process(self.process.pid)
            return [agent, *agent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def supervisors(self) -> list[psutil.Process]:
        """Return the supervisors that workers of this agent started."""
        workers = psutil.Process(self.process.pid).children()
        return [child for worker in workers for child in worker.children()]

    def kill_tree(self) -> None:
        """Kill all of it at once, as a machine does that loses its power."""
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask the agent to end, and wait until it has."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)


def start_agent(home: Path, target: Any, **settings: Any) -> RunningAgent:  # noqa: ANN401  anything with url, token, redis_url
    """Start an agent and return when it takes work.

    Args:
        home: its home directory; one that an agent used before is taken over.
        target: the server, with `url`, `token` and `redis_url`.
        **settings: fields of `AgentSettings`; `slots` is a list of queues, by default `["default"]`.

    Raises:
        TimeoutError: it was not ready in time; the message holds its log.
    """
    home.mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = {"slots": ["default"], "name": home.name, "stop_grace_seconds": 2} | settings
    given |= {"home": str(home), "url": target.url, "token": target.token, "redis_url": target.redis_url}
    log = home / "agent.log"
    with log.open("a") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(given)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("RETRAIN_")},
        )
    assert process.stdout is not None  # noqa: S101  it is a pipe
    with process.stdout as stdout:
        if stdout.readline().strip() != "ready":
            process.kill()
            process.wait()
            raise TimeoutError(f"the agent did not start: {log.read_text()}")
    return RunningAgent(process=process, home=home, log=log)


@contextlib.contextmanager
def running_agent(home: Path, target: Any, **settings: Any) -> Iterator[RunningAgent]:  # noqa: ANN401  as above
    """Run an agent until the context ends, and kill then whatever it left; see `start_agent`."""
    agent = start_agent(home, target, **settings)
    try:
        yield agent
    finally:
        end_everything(agent)


def end_everything(agent: RunningAgent) -> None:
    """Kill the agent and every process that has to do with its home."""
    agent.kill_tree()
    marks = (os.fsencode(agent.home),)
    for process in psutil.process_iter():
        try:
            variables = Path(f"/proc/{process.pid}/environ").read_bytes()
            names = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        except OSError:
            continue
        if process.pid != os.getpid() and any(mark in variables or mark in names for mark in marks):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def create_script_task(
    client: Client, script: str, *, directory: Path, arguments: Sequence[str] = (), name: str = "task"
) -> str:
    """Make a task that runs a script, as if it had been captured on a machine without packages; return its id.

    Args:
        client: an editor's.
        script: Python.
        directory: where to write it and capture it from; made a git repository.
        arguments: of its command line.
        name: of the task.
    """
    folder = directory / "repository"
    if not (folder / ".git").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _git(folder, "init", "--quiet")
        _git(folder, "commit", "--quiet", "--allow-empty", "--message", "begin")
    (folder / "script.py").write_text(script)
    captured = capture_source(folder / "script.py", scratch=directory / f"scratch-{time.monotonic_ns()}")
    source = {
        "repository": captured.repository,
        "branch": captured.branch,
        "commit": captured.commit,
        "tree": captured.tree,
        "patch": None if captured.patch is None else store_file(client, captured.patch)[0],
        "bundle": None if captured.bundle is None else store_file(client, captured.bundle)[0],
    }
    body = {
        "project": "tests",
        "name": name,
        "script": {"entry_point": "script.py", "arguments": list(arguments)},
        "source": source,
        "packages": {"python": platform.python_version(), "platform": "linux-x86_64"},
    }
    return str(client.post("/tasks", body)["id"])


def _git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True)


def wait_for(true: Callable[[], Any], *, seconds: float = 20, what: str = "it") -> Any:  # noqa: ANN401  whatever it returns
    """Return the first true answer.

    Raises:
        TimeoutError: there was none in time.
    """
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        answer = true()
        if answer:
            return answer
        time.sleep(0.02)
    raise TimeoutError(f"{what} did not happen within {seconds} s")
