"""Starts what `bench/datasets.py` measures, each step in a process of its own, and reads time and memory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import psutil
from datasets_clock import peak_bytes, sync_seconds
from datasets_figures import Run

from orchestrator.redis_server import RedisServer
from orchestrator.settings import read_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.settings import Server

Caches = Literal["warm", "cold"]

_STEP = Path(__file__).with_name("datasets_step.py")
_DROP = Path("/proc/sys/vm/drop_caches")
_FRESH_BYTES = 2 << 30
"""More than any step writes, but for those of a million files."""
_START_SECONDS, _IDLE_SECONDS, _SETTLE_SECONDS = 60, 0.3, 600


def may_drop_caches() -> bool:
    """Tell whether this process may empty the kernel's caches."""
    return os.access(_DROP, os.W_OK)


def prepare(caches: Caches, *roots: Path) -> None:
    """Wait until nothing is left to be written back, then empty the kernel's caches or fill them with some trees."""
    os.sync()
    buffer = bytearray(1 << 20)
    if caches == "cold":
        _DROP.write_text("3")
    _take_memory(buffer)
    if caches == "cold":
        return
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                with Path(folder, name).open("rb", buffering=0) as file:
                    while file.readinto(buffer):
                        pass


def _take_memory(buffer: bytearray) -> None:
    """Use and free as much memory as a step may write to.

    A virtual machine gives free memory back to its host, and whoever touches it next waits for it: four times as long
    as for the copying itself was seen, at random, for us and for the floors alike.
    """
    descriptor = os.memfd_create("retrain-bench")
    try:
        for _ in range(_FRESH_BYTES // len(buffer)):
            os.write(descriptor, buffer)
    finally:
        os.close(descriptor)


class RetrainServer:
    """A server with its Redis, as separate processes, that tells how much memory they had.

    Args:
        home: its home directory; the disk that it stands on is the one that is measured.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        # Not below the home: the path of a unix socket has at most 107 bytes.
        self._sockets = tempfile.TemporaryDirectory(prefix="redis-")
        self._redis = RedisServer(Path(self._sockets.name))
        self._process: subprocess.Popen[str] | None = None
        self._server: Server | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[RetrainServer]:
        """Start both, and end both at the end of the block.

        Raises:
            RuntimeError: the server did not start; the message names its log.
        """
        self.home.mkdir(parents=True)
        self._redis.start()
        try:
            with (self.home / "server.log").open("w") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "orchestrator.cli.main", "server", "--port", "0", "--home", str(self.home)],
                    env=_environment() | {"REDIS_URL": self._redis.url},
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            self._server = read_credentials(self.home / "up.json")
            if not line.startswith("ready: ") or self._server is None:
                raise RuntimeError(f"the server did not start:\n{self._last_words()}")
            yield self
        finally:
            ended = None
            if self._process is not None:
                ended = self._process.poll()
                self._process.terminate()
                self._process.wait(timeout=_START_SECONDS)
                assert self._process.stdout is not None
                self._process.stdout.close()
            self._redis.stop()
            self._sockets.cleanup()
            if ended is not None:
                raise RuntimeError(f"the server ended by itself with {ended}:\n{self._last_words()}")

    def _last_words(self) -> str:
        return (self.home / "server.log").read_text()[-2000:]

    def environment(self, home: Path) -> dict[str, str]:
        """Return the variables of a client of this server.

        Args:
            home: where the client keeps what it fetched.
        """
        assert self._server is not None
        return _environment() | {
            "RETRAIN_URL": self._server.url,
            "RETRAIN_TOKEN": self._server.token,
            "RETRAIN_HOME": str(home),
        }

    def processes(self) -> list[psutil.Process]:
        """Return the server, its children and Redis."""
        assert self._process is not None
        assert self._redis.process is not None
        server = psutil.Process(self._process.pid)
        return [server, *server.children(recursive=True), psutil.Process(self._redis.process.pid)]

    def wait_until_idle(self) -> float:
        """Wait until the server has nothing left to do; return for how many processor seconds it went on."""
        begun, give_up = self._processor_seconds(), time.monotonic() + _SETTLE_SECONDS
        before = begun
        while time.monotonic() < give_up:
            time.sleep(_IDLE_SECONDS)
            now = self._processor_seconds()
            if now - before < _IDLE_SECONDS / 10:
                return now - begun
            before = now
        raise RuntimeError(f"the server works on for more than {_SETTLE_SECONDS} s after a step")

    def _processor_seconds(self) -> float:
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        total = sum(server.cpu_times()[:4])  # user, system, and both of children that have ended
        for child in server.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += sum(child.cpu_times()[:2])
        return float(total)


class _Memory:
    """The most memory that a server's processes have resident while a block runs.

    All together are looked at twenty times a second; the kernel, which keeps the peak of each, sees shorter ones, too.
    Pages that several of them share count in each.
    """

    def __init__(self, server: RetrainServer | None) -> None:
        self._server = server
        self._most = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        if self._server is not None:
            for process in self._server.processes():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a child that has ended meanwhile
                    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
            self._thread.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        if self._server is not None:
            self._end.set()
            self._thread.join()

    def peak_bytes(self) -> int:
        """Return it."""
        most = self._most
        for process in [] if self._server is None else self._server.processes():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # likewise
                most = max(most, peak_bytes(process.pid))
        return most

    def _sample(self) -> None:
        assert self._server is not None
        while not self._end.wait(0.05):
            total = 0
            for process in self._server.processes():
                with contextlib.suppress(psutil.NoSuchProcess):  # likewise
                    total += process.memory_info().rss
            self._most = max(self._most, total)


def run_step(
    step: str,
    arguments: Mapping[str, object],
    *,
    server: RetrainServer | None = None,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Run a step of `datasets_step.py` in a process of its own.

    Args:
        step: its name.
        arguments: of the step; paths become text.
        server: whose memory is looked at.
        environment: of the process.
    """
    with _Memory(server) as memory:
        printed = subprocess.run(
            [sys.executable, str(_STEP), step, json.dumps(arguments, default=str)],
            env=environment or _environment(),
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout
        server_bytes = memory.peak_bytes()
    found = json.loads(printed.splitlines()[-1])
    return Run(**found, server_bytes=server_bytes)


def run_command(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    server: RetrainServer | None = None,
) -> Run:
    """Run a command, from its start to its end.

    Raises:
        RuntimeError: it failed; the message ends with what it wrote.
    """
    with _Memory(server) as memory, (cwd / ".output").open("w+") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        settled = seconds + sync_seconds(cwd)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output.read()[-2000:]}")
        server_bytes = memory.peak_bytes()
    return Run(seconds, settled, usage.ru_maxrss * 1024, server_bytes, {})


def _environment() -> dict[str, str]:
    # Nor may a script compile anew what it imports, as PYTHONDONTWRITEBYTECODE would have it do.
    foreign = ("RETRAIN_", "REDIS_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
