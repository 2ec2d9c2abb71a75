"""Everything on one machine: Redis, server, scheduler and one agent as child processes that live and die together."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from orchestrator.errors import Conflict, OrchestratorError, Unauthenticated, Unavailable
from orchestrator.redis_server import RedisServer
from orchestrator.sdk.client import Client
from orchestrator.settings import Server, read_credentials, write_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 20.0
RESTART_SECONDS = 1.0
"""Between the end of a child and its next start, so that one that cannot start does not eat a core."""
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_prctl = ctypes.CDLL(None).prctl


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends: a stack that is killed leaves nothing behind."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Stack:
    """The processes of `retrain up`: each is started again when it ends by itself.

    Args:
        home: holds all state; made with mode 0700.
        port: of the server on the loopback interface; 0 takes a free one, None the one of the settings.
        image: run attempts in containers of this image; None runs processes.
    """

    def __init__(self, home: Path, *, port: int | None, image: str | None) -> None:
        self.home = home
        self._port = port
        self._image = image
        self._agent_name = f"up-{os.uname().nodename}"
        self._redis = RedisServer(home / "redis")
        self._own_redis = "REDIS_URL" not in os.environ
        self._redis_url = os.environ.get("REDIS_URL", self._redis.url)
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: dict[str, float] = {}

    @contextlib.contextmanager
    def running(self, *, say: Callable[[str], None]) -> Iterator[Server]:
        """Start everything, and end everything at the end of the block, whatever ends it.

        Args:
            say: called with a line for each part that is there.

        Raises:
            Conflict: another stack runs in this home.
            Unavailable: a part did not start; the message names its log.
        """
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.home / "logs").mkdir(exist_ok=True)
        with (self.home / "up.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(
                    f"retrain up runs already in {self.home}.",
                    hint="Use it, end it, or choose another home: --home DIR.",
                ) from None
            try:
                yield self._start(say)
            finally:
                self._stop()

    def watch(self, *, say: Callable[[str], None]) -> None:
        """Start again what ended by itself; to be called about every second."""
        if self._own_redis and not self._redis.running:
            say("Redis ended, starting it again; the server rings again for what waits")
            try:
                self._redis.start(before_exec=die_with_parent)
            except Unavailable as error:
                say(str(error))
        for name, child in list(self._children.items()):
            if child.poll() is None:
                continue
            ended = self._ended.setdefault(name, time.monotonic())
            if time.monotonic() - ended >= RESTART_SECONDS:
                say(f"{name} ended with {child.returncode}, starting it again; see {self._log(name)}")
                del self._ended[name]
                self._launch(name)

    def _start(self, say: Callable[[str], None]) -> Server:
        if self._own_redis:
            self._redis.start(before_exec=die_with_parent)
        say(f"Redis at {self._redis_url if self._own_redis else 'REDIS_URL'}")
        port = [] if self._port is None else ["--port", str(self._port)]
        self._commands["server"] = (["server", *port], {"REDIS_URL": self._redis_url})
        self._launch("server")
        server = self._wait_for_server()
        # A server that has to be started again must come back where everybody looks for it.
        self._commands["server"] = (["server", "--port", server.url.rpartition(":")[2]], {"REDIS_URL": self._redis_url})
        say(f"server at {server.url}")
        with Client(server.url, server.token) as client:
            self._start_followers(server, client=client)
        say("scheduler and agent, queues default and services")
        return server

    def _start_followers(self, server: Server, *, client: Client) -> None:
        seen = self._agent_seen(client)
        for name, command, extra in (
            ("scheduler", ["scheduler"], {}),
            ("agent", ["agent", "--queue", "default", *self._agent_options()], {"REDIS_URL": self._redis_url}),
        ):
            token = self._token(server, role=name)
            self._commands[name] = (command, extra | {"RETRAIN_URL": server.url, "RETRAIN_TOKEN": token})
            self._launch(name)
        self._wait_for_agent(client, since=seen)

    def _agent_options(self) -> list[str]:
        options = ["--stop-runs", "--name", self._agent_name]
        return options if self._image is None else [*options, "--docker", self._image]

    def _log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _launch(self, name: str) -> None:
        arguments, extra = self._commands[name]
        environment = {key: value for key, value in os.environ.items() if key not in {"RETRAIN_URL", "RETRAIN_TOKEN"}}
        with self._log(name).open("ab") as log:
            self._children[name] = subprocess.Popen(
                [sys.executable, "-m", "orchestrator.cli.main", *arguments],
                env=environment | {"RETRAIN_HOME": str(self.home)} | extra,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for us: we end the children in order
                preexec_fn=die_with_parent,  # noqa: PLW1509  there are no threads here
            )

    def _wait_for_server(self) -> Server:
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up and self._children["server"].poll() is None:
            found = read_credentials(self.home / "up.json")
            if found is not None:
                # The file of an earlier time names a port where nobody answers, or somebody else.
                with contextlib.suppress(OrchestratorError), Client(found.url, found.token) as client:
                    client.get("/tokens/self")
                    return found
            time.sleep(0.02)
        raise Unavailable(f"The server did not start: {self._last_line('server')}", hint=f"See {self._log('server')}.")

    def _wait_for_agent(self, client: Client, *, since: str | None) -> None:
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up and self._children["agent"].poll() is None:
            seen = self._agent_seen(client)
            if seen is not None and seen != since:
                return
            time.sleep(0.05)
        raise Unavailable(f"The agent did not start: {self._last_line('agent')}", hint=f"See {self._log('agent')}.")

    def _agent_seen(self, client: Client) -> str | None:
        """Return when this stack's agent was last heard of, None when it never was."""
        return next((one["seen_at"] for one in client.get("/agents")["items"] if one["name"] == self._agent_name), None)

    def _last_line(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing."

    def _token(self, server: Server, *, role: str) -> str:
        """Return this home's token of a role, no wider than the child needs; a new one where the old is dead."""
        kept = self.home / f"up-{role}.json"
        found = read_credentials(kept)
        if found is not None:
            with contextlib.suppress(Unauthenticated), Client(server.url, found.token) as client:
                client.get("/tokens/self")
                return found.token
        with Client(server.url, server.token) as client:
            made = client.post("/tokens", {"name": f"retrain up: {role}", "role": role})
        write_credentials(kept, Server(url=server.url, token=made["token"]))
        return str(made["token"])

    def _stop(self) -> None:
        # The agent first: its runs still have a server to report their end to.
        for name in ("agent", "scheduler", "server"):
            child = self._children.pop(name, None)
            if child is None:
                continue
            child.terminate()
            try:
                child.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._redis.stop()


def choose_image(executor: str | None, *, image: str | None) -> tuple[str | None, str]:
    """Decide whether attempts run in containers.

    Args:
        executor: "docker", "process", or None for Docker where an engine and the image are.
        image: the image to use; the official one of this Python where none is named.

    Returns:
        The image, or None for processes; and a sentence that says so, and why.

    Raises:
        Unavailable: Docker is asked for and no engine answers.
        ExecutorUnavailable: Docker is asked for and the image is not there.
    """
    if executor == "process":
        return None, "attempts run as processes"
    wanted = image or f"python:{sys.version_info.major}.{sys.version_info.minor}-slim-bookworm"
    from agent.execution.factory import executor as find_executor  # noqa: PLC0415  the docker package costs 0.3 s

    try:
        find_executor("docker", image=wanted).ready()
    except OrchestratorError as error:
        if executor == "docker":
            raise
        return None, f"attempts run as processes: {error.message}"
    return wanted, f"attempts run in containers of {wanted}"
