"""A server that fails at one kind of write and answers everything else."""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from agent.testing import Target, create_script_task, running_agent, wait_for
from orchestrator.api.testing import running_server
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.api.testing import RunningServer

pytestmark = pytest.mark.redis

SCRIPT = """
from orchestrator import Task
logger = Task.init("room", "training").get_logger()
logger.report_scatter2d("CO2", "day", [(1, 2)])
for step in range(100):
    logger.report_scalar("loss", "train", 1 / (step + 1), step)
print("done")
"""


@contextmanager
def failing_at(server: RunningServer, *, part: str, status: int) -> Iterator[Target]:
    """Stand before a server and answer in its place whatever has this last part of the path."""
    behind = urlsplit(server.url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.command != "GET" and urlsplit(self.path).path.endswith(part):
                self._answer(status, json.dumps({"error": {"code": "server_failed", "message": "It failed."}}).encode())
                return
            headers = {name: value for name, value in self.headers.items() if name != "Host"}
            with closing(http.client.HTTPConnection(behind)) as connection:
                connection.request(self.command, self.path, body, headers)
                response = connection.getresponse()
                self._answer(response.status, response.read())

        do_POST = do_PUT = do_GET  # noqa: N815  names that the base class looks for

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # whoever asked was killed
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield Target(f"http://127.0.0.1:{proxy.server_port}", server.token, server.redis_url)
        proxy.shutdown()


@pytest.mark.parametrize(("part", "status"), [("/reports", 500), ("/console", 503)])
def test_a_run_ends_and_the_rest_is_told_though_the_server_always_fails_at_a_write(
    tmp_path: Path, part: str, status: int
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as home,
        running_server(Path(home) / "server", lease_seconds=3, heartbeat_seconds=1, sweep_seconds=0.3) as server,
        Client(server.url, server.token) as client,
        failing_at(server, part=part, status=status) as target,
        running_agent(Path(home) / "agent", target, orphan_timeout_seconds=4 if part == "/console" else 600) as agent,
    ):
        task = create_script_task(client, SCRIPT, directory=tmp_path)
        client.post(f"/tasks/{task}/enqueue", {"queue": "default"})
        wait_for(
            lambda: client.get(f"/tasks/{task}")["task"]["status"] == "completed", seconds=60, what="the end of the run"
        )
        (series,) = client.get(f"/tasks/{task}/series")["items"]
        assert series["count"] == 100
        set_aside = agent.home / "agent" / "runs" / f"{task}-1" / "set-aside"
        assert set_aside.exists() == (part == "/reports")
        further = create_script_task(client, "print('hello')", directory=tmp_path)
        client.post(f"/tasks/{further}/enqueue", {"queue": "default"})
        wait_for(lambda: client.get(f"/tasks/{further}")["task"]["status"] == "completed", what="the slot's next run")
