"""What a scheduler performs for a real server: functions, webhooks, messages, gates; and what it knows when."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3

from orchestrator.api.testing import running_server
from orchestrator.sdk.client import Client
from triggers.actions import Actions
from triggers.remote import Remote
from triggers.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from orchestrator.api.testing import RunningServer
    from triggers.events import EventBatch

PATIENCE_SECONDS = 30.0
SETTINGS = {"claim_seconds": 1.0, "firing_retry_seconds": 0.2, "sweep_seconds": 0.5}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), **SETTINGS) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url, server.token) as client:
        yield client


def wait_until(fulfilled: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not fulfilled():
        assert time.monotonic() < give_up, "it did not come about in time"
        time.sleep(0.02)


def make_version(client: Client, project: str, *, rows: int = 3) -> str:
    content = b"CO2,Occupancy\n" + b"".join(b"%d.5,1\n" % number for number in range(rows))
    digest = f"blake3:{blake3(content).hexdigest()}"
    client.put_bytes(f"/blobs/{digest}", content)
    made = client.post("/datasets", {"project": project, "name": "sensors"})
    file = {"path": "a.csv", "size_bytes": len(content), "digest": digest}
    client.post(f"/datasets/{made['id']}/entries", {"put": [file]})
    client.post(f"/datasets/{made['id']}/finalize")
    return str(made["id"])


def register(client: Client, project: str, action: Mapping[str, Any], **fields: Any) -> str:  # noqa: ANN401  JSON
    body = {
        "name": f"{project} {action['kind']}",
        "condition": {"kind": "dataset", "project": project},
        "action": action,
    } | fields
    return str(client.put("/triggers", body)["id"])


def firings(client: Client, trigger: str) -> list[dict[str, Any]]:
    return list(client.pages("/firings", trigger=trigger))


def the_firing(client: Client, trigger: str) -> dict[str, Any]:
    (firing,) = firings(client, trigger)
    return firing


class Serving:
    """A scheduler in a thread."""

    def __init__(
        self,
        client: Client,
        *,
        functions: Mapping[str, Callable[..., object]] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        remote = Remote(client)
        self._scheduler = Scheduler(remote, actions=Actions(remote, functions=functions, environ=environ or {}))
        self._thread = threading.Thread(target=self._scheduler.run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._scheduler.stop()
        self._thread.join(timeout=PATIENCE_SECONDS)
        assert not self._thread.is_alive()


def test_a_function_is_called_with_the_event_and_its_answer_stands_in_the_firing(client: Client, project: str) -> None:
    heard: list[EventBatch] = []

    def note(events: EventBatch) -> dict[str, int]:
        heard.append(events)
        return {"rows": 3}

    trigger = register(client, project, {"kind": "function", "function": "note"})
    with Serving(client, functions={"note": note}):
        version = make_version(client, project)
        wait_until(lambda: [each["status"] for each in firings(client, trigger)] == ["launched"])
    firing = the_firing(client, trigger)
    assert firing["result"] == {"returned": {"rows": 3}}
    assert [(each.dataset_id, each.firing_id) for each in heard] == [(version, firing["id"])]


def test_a_function_is_called_soon_after_its_event(client: Client, project: str) -> None:
    called_at: list[float] = []
    register(client, project, {"kind": "function", "function": "note"})
    with Serving(client, functions={"note": lambda: called_at.append(time.monotonic())}):
        make_version(client, project)  # the scheduler has begun by the time that this one was seen
        wait_until(lambda: len(called_at) == 1)
        before = time.monotonic()
        make_version(client, project)
        wait_until(lambda: len(called_at) == 2)
    assert called_at[1] - before < 2.0


def test_a_function_that_raises_fails_the_firing_and_is_called_again(client: Client, project: str) -> None:
    heard: list[str] = []

    def note(events: EventBatch) -> None:
        heard.append(events.firing_id)
        if len(heard) == 1:
            raise ValueError("not yet")

    trigger = register(client, project, {"kind": "function", "function": "note"})
    with Serving(client, functions={"note": note}):
        make_version(client, project)
        wait_until(lambda: [each["status"] for each in firings(client, trigger)] == ["failed"] or len(heard) == 2)
        wait_until(lambda: [each["status"] for each in firings(client, trigger)] == ["launched"])
    assert heard == [the_firing(client, trigger)["id"]] * 2


def test_a_function_that_is_registered_elsewhere_waits_for_that_process(client: Client, project: str) -> None:
    trigger = register(client, project, {"kind": "function", "function": "elsewhere"})
    with Serving(client):
        make_version(client, project)
        wait_until(lambda: len(firings(client, trigger)) == 1)
        time.sleep(0.3)
    assert the_firing(client, trigger)["status"] == "due"
    with Serving(client, functions={"elsewhere": lambda: None}):
        wait_until(lambda: the_firing(client, trigger)["status"] == "launched")


def test_a_function_that_outlasts_its_claim_is_called_once_by_two_schedulers(client: Client, project: str) -> None:
    calls: list[str] = []

    def note(events: EventBatch) -> None:
        calls.append(events.firing_id)
        time.sleep(3 * SETTINGS["claim_seconds"])

    trigger = register(client, project, {"kind": "function", "function": "note"})
    with Serving(client, functions={"note": note}), Serving(client, functions={"note": note}):
        make_version(client, project)
        wait_until(lambda: [each["status"] for each in firings(client, trigger)] == ["launched"])
    assert len(calls) == 1


def test_a_webhook_and_its_failure_are_told_in_the_firing_and_it_is_sent_again(client: Client, project: str) -> None:
    received: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append((self.headers["webhook-id"], body))
            self.send_response(503 if len(received) == 1 else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{receiver.server_port}/"
        action = {"kind": "webhook", "url": f"{url}hook", "secret": "deploy", "body": {"version": "${dataset.id}"}}
        trigger = register(client, project, action)
        environ = {"RETRAIN_WEBHOOK_PREFIXES": url, "RETRAIN_SECRET_DEPLOY": "between us"}
        with Serving(client, environ=environ):
            version = make_version(client, project)
            wait_until(lambda: [each["status"] for each in firings(client, trigger)] == ["launched"])
        receiver.shutdown()
        thread.join()
    firing = the_firing(client, trigger)
    assert received == [(firing["id"], {"version": version})] * 2
    assert firing["result"] == {"status": 200, "answer": ""}


def test_an_address_inside_is_refused_with_the_line_that_allows_it(client: Client, project: str) -> None:
    trigger = register(client, project, {"kind": "webhook", "url": "https://127.0.0.1:9/hook"})
    with Serving(client):
        make_version(client, project)
        wait_until(lambda: [each["status"] for each in firings(client, trigger)] == ["failed"])
    assert "RETRAIN_WEBHOOK_PREFIXES=" in the_firing(client, trigger)["reason"]


def test_a_gate_is_open_or_closed_by_the_statistics_of_the_version(client: Client, project: str) -> None:
    calls: list[str] = []

    def note(dataset_id: str) -> None:
        calls.append(dataset_id)

    trigger = register(
        client, project, {"kind": "function", "function": "note"}, gates={"min_rows": 10, "max_missing_share": 0.1}
    )
    with Serving(client, functions={"note": note}):
        make_version(client, project, rows=5)
        wait_until(lambda: [each["status"] for each in firings(client, trigger)] == ["blocked"])
        large = make_version(client, project, rows=20)
        wait_until(lambda: firings(client, trigger)[0]["status"] == "launched")
    assert calls == [large]
    blocked = firings(client, trigger)[1]
    assert not blocked["gate"]["open"]
    assert "5 rows" in blocked["reason"]


def test_a_gate_of_ones_own_says_why(client: Client, project: str) -> None:
    reference = client.post("/tasks", {"project": project, "name": "training"})["id"]
    trigger = register(client, project, {"kind": "clone", "task": reference}, gates={"function": "weather"})
    with Serving(client, functions={"weather": lambda _events: (False, "It rains.")}):
        make_version(client, project)
        wait_until(lambda: [each["status"] for each in firings(client, trigger)] == ["blocked"])
    assert "It rains." in the_firing(client, trigger)["reason"]
    assert list(client.pages("/tasks", parent=reference)) == []


def test_a_window_is_closed_on_time_with_all_its_events(client: Client, project: str) -> None:
    heard: list[int] = []
    trigger = register(client, project, {"kind": "function", "function": "note"}, debounce_seconds=0.7)
    with Serving(client, functions={"note": lambda events: heard.append(len(events))}):
        for _ in range(3):
            make_version(client, project)
        before = time.monotonic()
        wait_until(lambda: [each["status"] for each in firings(client, trigger)] == ["launched"])
        assert time.monotonic() - before < 3.0
    assert heard == [3]


def test_a_schedule_fires_on_time(client: Client, project: str) -> None:
    calls: list[Any] = []
    condition = {"kind": "schedule", "project": project, "every_seconds": 1}
    trigger = register(client, project, {"kind": "function", "function": "note"}, condition=condition)
    with Serving(client, functions={"note": lambda events: calls.append(events.occurrence_at)}):
        wait_until(lambda: len(calls) >= 3)
    client.delete(f"/triggers/{trigger}")
    gaps = [(later - sooner).total_seconds() for sooner, later in itertools.pairwise(calls)]
    assert set(gaps) == {1.0}


PROGRAM = """
import sys, time
from pathlib import Path
from triggers.scheduler import run_scheduler

url, token, path, seconds = sys.argv[1:]

def note(events):
    with Path(path).open("a") as file:
        print(events.firing_id, file=file)
    time.sleep(float(seconds))

run_scheduler(url, token, functions={"note": note})
"""


@pytest.mark.parametrize(
    ("seconds", "status", "end"),
    [(1.0, "launched", signal.SIGTERM), (60.0, "due", signal.SIGTERM), (60.0, "due", signal.SIGKILL)],
)
def test_a_scheduler_that_ends_waits_a_little_and_leaves_the_rest_to_others(
    server: RunningServer,
    client: Client,
    project: str,
    tmp_path: Path,
    seconds: float,
    status: str,
    end: signal.Signals,
) -> None:
    trigger = register(client, project, {"kind": "function", "function": "note"})
    calls = tmp_path / "calls"
    arguments = [sys.executable, "-c", PROGRAM, server.url, server.token, str(calls), str(seconds)]
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process:
        make_version(client, project)
        wait_until(calls.exists)
        process.send_signal(end)
        ended = time.monotonic()
        process.wait(timeout=PATIENCE_SECONDS)
    assert time.monotonic() - ended < 8
    assert the_firing(client, trigger)["status"] == status
    if status == "due":
        with Serving(client, functions={"note": lambda: None}):
            wait_until(lambda: the_firing(client, trigger)["status"] == "launched")
