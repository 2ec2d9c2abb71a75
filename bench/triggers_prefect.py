"""Prefect, a peer of `bench/triggers.py`: its server with an automation that runs a deployment for each event.

The server is started as its users start it, with its SQLite database and analytics off. Events are posted to it; its
own services match them and make a flow run each, scheduled for now. No worker is there that would run one.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS, _GIVE_UP_SECONDS = 120, 300
_LOOK_SECONDS, _LOOK_SELDOM_SECONDS = 0.005, 0.5
"""Looking for flow runs is work for the server, too: seldom while it has many to make."""
_EVENT = "dataset.tagged"


class PrefectFigures(NamedTuple):
    """What was measured: seconds from posting that many events to the last flow run, and those of single ones."""

    version: str
    events: int
    seconds: float
    latencies: list[float]

    @property
    def latency(self) -> float:
        """The median of the single ones, in seconds."""
        return statistics.median(self.latencies)


def measure_prefect(python: Path, *, events: int, singles: int) -> PrefectFigures:
    """Start a server and measure.

    Args:
        python: an interpreter that has Prefect.
        events: how many are posted at once.
        singles: how many are posted one after another, each after the flow run of the one before.
    """
    with tempfile.TemporaryDirectory(prefix="retrain-prefect-") as home, _running(python, home=Path(home)) as server:
        server.prepare()
        server.post_events(1)
        server.wait_for(1)  # what is loaded when first used
        latencies = []
        for number in range(singles):
            time.sleep(0.2)
            begun = time.perf_counter()
            server.post_events(1)
            server.wait_for(number + 2)
            latencies.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        server.post_events(events)
        server.wait_for(singles + 1 + events, look_seconds=_LOOK_SELDOM_SECONDS)
        seconds = time.perf_counter() - begun
        return PrefectFigures(server.call("GET", "/admin/version"), events, seconds, latencies)


class _Server:
    def __init__(self, url: str) -> None:
        self._url = url
        self._deployment = ""

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  JSON is any
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310  our own address
            f"{self._url}{path}", data, {"Content-Type": "application/json"}, method=method
        )
        give_up = time.monotonic() + _GIVE_UP_SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  likewise
                    received = answer.read()
                return json.loads(received) if received else None
            except urllib.error.HTTPError as error:
                # Its database is busy with one of its own services: its client asks again, too.
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > give_up:
                    raise RuntimeError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from error
            time.sleep(0.1)

    def prepare(self) -> None:
        """Make a flow, a deployment of it, and an automation that runs that for every event of ours."""
        flow = self.call("POST", "/flows/", {"name": "retrain"})
        deployment = {"name": "retrain", "flow_id": flow["id"], "enforce_parameter_schema": False}
        self._deployment = self.call("POST", "/deployments/", deployment)["id"]
        trigger = {
            "type": "event",
            "posture": "Reactive",
            "expect": [_EVENT],
            "match": {"prefect.resource.id": "bench.dataset.*"},
            "for_each": ["prefect.resource.id"],
            "threshold": 1,
            "within": 0,
        }
        action = {
            "type": "run-deployment",
            "source": "selected",
            "deployment_id": self._deployment,
            "parameters": {"dataset": "{{ event.resource.id }}"},
        }
        self.call("POST", "/automations/", {"name": "retrain", "trigger": trigger, "actions": [action]})
        time.sleep(2)  # until its services have heard of the automation

    def post_events(self, count: int) -> None:
        """Post events, each of a dataset of its own."""
        now = datetime.now(UTC).isoformat()
        resources = ({"prefect.resource.id": f"bench.dataset.{uuid.uuid4()}"} for _ in range(count))
        body = [
            {"occurred": now, "event": _EVENT, "resource": resource, "payload": {"version": "1.0.0"}, "id": _id()}
            for resource in resources
        ]
        self.call("POST", "/events", body)

    def wait_for(self, count: int, *, look_seconds: float = _LOOK_SECONDS) -> None:
        """Wait until there are so many flow runs, which are looked for that often."""
        give_up = time.monotonic() + _GIVE_UP_SECONDS
        mine = {"deployments": {"id": {"any_": [self._deployment]}}}
        while (found := self.call("POST", "/flow_runs/count", mine)) < count:
            if time.monotonic() > give_up:
                raise TimeoutError(f"Prefect made {found} of {count} flow runs in {_GIVE_UP_SECONDS} s")
            time.sleep(look_seconds)


def _id() -> str:
    return str(uuid.uuid4())


@contextlib.contextmanager
def _running(python: Path, *, home: Path) -> Iterator[_Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [str(python), "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        server = _Server(f"http://127.0.0.1:{port}/api")
        give_up = time.monotonic() + _START_SECONDS
        while True:
            try:
                server.call("GET", "/health")
                break
            except (urllib.error.URLError, ConnectionError) as error:
                if process.poll() is not None or time.monotonic() > give_up:
                    words = (home / "server.log").read_text()[-2000:]
                    raise RuntimeError(f"Prefect's server did not start:\n{words}") from error
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=_START_SECONDS)
