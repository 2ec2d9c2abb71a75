"""Servers of objects on this machine: moto for S3, azurite for Azure, an emulator for Google Cloud Storage."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_START_SECONDS = 60
AZURITE_INSTALL = 'npm install --prefix "${RETRAIN_CI_CACHE:-$HOME/.cache/retrain}/azurite" azurite@^3.35'
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of the emulator: the same everywhere, published by its maker."""


@contextlib.contextmanager
def running(command: list[str], *, port: int, folder: Path) -> Iterator[None]:
    """Run a server until the context ends."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        give_up = time.monotonic() + _START_SECONDS
        while not answers(port):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < give_up, log.read_text(errors="replace")
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


def s3_command(port: int) -> list[str]:
    """Return what starts an S3 server."""
    return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]


def gcs_command(port: int) -> list[str]:
    """Return what starts a server of Google Cloud Storage with one bucket."""
    program = Path(sys.executable).with_name("gcp-storage-emulator")
    return [str(program), "start", "--host=127.0.0.1", f"--port={port}", "--in-memory", "--default-bucket=bucket"]


def azure_command(port: int) -> list[str] | None:
    """Return what starts an Azure server, or None where it is not installed."""
    cache = Path(os.environ.get("RETRAIN_CI_CACHE") or Path.home() / ".cache" / "retrain")
    program = cache / "azurite" / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists() or shutil.which("node") is None:
        return None
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--skipApiVersionCheck"]
    return [str(program), *options, "--disableTelemetry"]


def azure_connection(port: int, *, key: str = AZURE_KEY) -> str:
    """Return a connection string."""
    endpoint = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
    return f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={key};BlobEndpoint={endpoint};"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    """Tell whether someone listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class CuttingProxy:
    """Passes bytes on to a server, and can cut every line that goes there.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._every_bytes = self._left = 0
        self._cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_every(self, sent_bytes: int, *, times: int) -> None:
        """Cut a line each time when so many bytes have gone to the server."""
        with self._lock:
            self._every_bytes = self._left = sent_bytes
            self._cuts = times

    def cut_after(self, sent_bytes: int) -> None:
        """Let so many bytes through, then none until `mend`."""
        with self._lock:
            self._every_bytes, self._left = 0, sent_bytes
            self._cuts = 1_000_000

    def mend(self) -> None:
        """Cut no more."""
        with self._lock:
            self._cuts = 0

    @property
    def cuts_left(self) -> int:
        """How many cuts are still to come."""
        with self._lock:
            return self._cuts

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                threading.Thread(target=self._send, args=(client, server), daemon=True).start()
                threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()

    def _send(self, client: socket.socket, server: socket.socket) -> None:
        _pass_on(client, server, is_cut=self._is_cut)

    def _is_cut(self, count: int) -> bool:
        with self._lock:
            if not self._cuts:
                return False
            self._left -= count
            if self._left > 0:
                return False
            self._cuts -= 1
            self._left = self._every_bytes
            return True


def _pass_on(source: socket.socket, target: socket.socket, *, is_cut: Callable[[int], bool] = lambda _: False) -> None:
    with contextlib.suppress(OSError):  # the other direction was cut
        while data := source.recv(1 << 16):
            if is_cut(len(data)):
                break
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
