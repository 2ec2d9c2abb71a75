"""The scheduler is killed, doubled and away, and its targets vanish; each event is acted on exactly once."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from blake3 import blake3

from orchestrator.api.testing import running_server
from orchestrator.sdk.client import Client
from triggers.remote import Remote
from triggers.scheduler import STEPS, Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_SECONDS = 30.0
PARAMETER = "General/CLEARML_DATASET_ID"
FILE = {"path": "a.csv", "size_bytes": 6, "digest": f"blake3:{blake3(b'a file').hexdigest()}"}
PROGRAM = """
import os, signal, sys
from triggers.scheduler import run_scheduler

url, token, calls, last_step = sys.argv[1:]

def step_done(step):
    if step == last_step:
        os.kill(os.getpid(), signal.SIGKILL)

def refresh(events):
    with open(calls, "a") as file:
        file.write(events.firing_id + "\\n")

run_scheduler(url, token, functions={"refresh": refresh}, checkpoint=step_done)
"""


class Place(NamedTuple):
    """A server and where its database lies."""

    client: Client
    token: str
    home: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("server")
    # Claims are short, so that the work of a scheduler that was killed is soon another's.
    settings = {"sweep_seconds": 0.2, "firing_retry_seconds": 0.2, "claim_seconds": 1.0}
    with running_server(home, **settings) as server, Client(server.url, server.token) as client:
        yield Place(client, server.token, home)


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """A project of each test's own: they share a server and its log."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


def wait_until(fulfilled: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not fulfilled():
        assert time.monotonic() < give_up, "it did not come about in time"
        time.sleep(0.05)


def make_reference(client: Client, project: str, *, kind: str = "string", value: str = "") -> str:
    parameters = [{"name": PARAMETER, "type": kind, "value": value}]
    return str(client.post("/tasks", {"project": project, "name": "training", "parameters": parameters})["id"])


def register(client: Client, project: str, *, name: str = "", **spec: object) -> str:
    """Register a trigger on versions that are tagged: a clone of `reference`, unless an action is given."""
    reference, queue = spec.pop("reference", ""), spec.pop("queue", "default")
    action = {"kind": "clone", "task": reference, "queue": queue, "parameters": {PARAMETER: "${dataset.id}"}}
    condition = {"kind": "dataset", "project": project, "on_tags": ["Production"]}
    body = {"name": f"{project} {name}", "condition": condition, "action": action} | spec
    return str(client.put("/triggers", body)["id"])


def make_version(client: Client, project: str) -> str:
    client.put_bytes(f"/blobs/{FILE['digest']}", b"a file")
    made = client.post("/datasets", {"project": project, "name": "sensors"})
    client.post(f"/datasets/{made['id']}/entries", {"put": [FILE]})
    client.post(f"/datasets/{made['id']}/finalize")
    return str(made["id"])


def tag(client: Client, version: str, *, times: int = 1) -> None:
    for _ in range(times):
        client.post(f"/datasets/{version}/tags", {"remove": ["Production"]})
        client.post(f"/datasets/{version}/tags", {"add": ["Production"]})


def clones(client: Client, reference: str) -> list[dict[str, Any]]:
    return list(client.pages("/tasks", parent=reference))


def firings(client: Client, trigger: str) -> list[dict[str, Any]]:
    return list(client.pages("/firings", trigger=trigger))


def firings_made(place: Place, trigger: str) -> int:
    """Count the firings of a trigger, without asking for each."""
    with contextlib.closing(sqlite3.connect(place.home / "database.sqlite", timeout=10)) as database:
        return int(database.execute("SELECT count(*) FROM firings WHERE trigger_id = ?", (trigger,)).fetchone()[0])


def drain(client: Client) -> None:
    scheduler = Scheduler(Remote(client))
    while scheduler.tick():
        pass


@contextlib.contextmanager
def running_scheduler(place: Place, *, last_step: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Run a scheduler as a process; it kills itself when a step of that name is done."""
    arguments = [sys.executable, "-c", PROGRAM, place.client.url, place.token, str(calls_of(place)), last_step]
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_SECONDS)


def calls_of(place: Place) -> Path:
    """Return the file in which functions of schedulers write that they were called."""
    return place.home / "calls"


@pytest.mark.parametrize("step", STEPS)
def test_a_scheduler_killed_after_any_step_leaves_one_task_an_event(place: Place, project: str, step: str) -> None:
    client = place.client
    reference = make_reference(client, project)
    trigger = register(client, project, reference=reference)
    function = {"kind": "function", "function": "refresh"}
    called = register(client, project, name="function", action=function)
    tag(client, make_version(client, project), times=3)
    with running_scheduler(place, last_step=step) as scheduler:
        assert scheduler.wait(timeout=PATIENCE_SECONDS) == -signal.SIGKILL
    with running_scheduler(place) as scheduler:
        wait_until(lambda: len(clones(client, reference)) >= 3)
        tag(client, make_version(client, project))
        wait_until(lambda: len(clones(client, reference)) >= 4)
        wait_until(lambda: [each["status"] for each in firings(client, called)] == ["launched"] * 4)
    assert scheduler.returncode == 0
    assert len(clones(client, reference)) == 4
    assert len({firing["event_key"] for firing in firings(client, trigger)}) == 4
    # A function is called at least once, by the same key each time; a clone is made once.
    assert {firing["id"] for firing in firings(client, called)} <= set(calls_of(place).read_text().split())


def test_two_schedulers_and_many_events_make_one_task_an_event(place: Place, project: str) -> None:
    client = place.client
    reference = make_reference(client, project)
    trigger = register(client, project, reference=reference)
    versions = [make_version(client, project) for _ in range(4)]
    with running_scheduler(place), running_scheduler(place):
        with ThreadPoolExecutor(4) as people:
            list(people.map(lambda version: tag(client, version, times=250), versions))
        wait_until(lambda: firings_made(place, trigger) >= 1000)
        marker = make_version(client, project)
        tag(client, marker)
        wait_until(lambda: firings_made(place, trigger) >= 1001)
    assert len(clones(client, reference)) == 1001
    assert len(firings(client, trigger)) == 1001


def test_versions_tagged_while_no_scheduler_runs_fire_on_its_return_in_order(place: Place, project: str) -> None:
    client = place.client
    reference = make_reference(client, project)
    register(client, project, reference=reference)
    drain(client)
    versions = [make_version(client, project) for _ in range(5)]
    for version in reversed(versions):
        tag(client, version)
    with running_scheduler(place):
        wait_until(lambda: len(clones(client, reference)) >= 5)
    made = sorted(task["id"] for task in clones(client, reference))
    values = [client.get(f"/tasks/{task}/parameters")["items"][0]["value"] for task in made]
    assert values == versions[::-1]


def test_a_trigger_that_collects_acts_once_on_all_that_was_tagged_while_no_scheduler_ran(
    place: Place, project: str
) -> None:
    client = place.client
    reference = make_reference(client, project)
    collected = {"action": {"kind": "clone", "task": reference, "parameters": {PARAMETER: "${datasets.ids}"}}}
    trigger = register(client, project, debounce_seconds=1, **collected)
    drain(client)
    versions = [make_version(client, project) for _ in range(5)]
    for version in versions:
        tag(client, version)
    with running_scheduler(place):
        wait_until(lambda: len(clones(client, reference)) >= 1)
    (clone,) = clones(client, reference)
    assert client.get(f"/tasks/{clone['id']}/parameters")["items"][0]["value"] == ",".join(versions)
    (firing,) = firings(client, trigger)
    assert len(firing["events"]) == 5


def test_the_same_event_delivered_a_hundred_times_makes_one_task(place: Place, project: str) -> None:
    client = place.client
    reference = make_reference(client, project)
    trigger = register(client, project, reference=reference)
    tag(client, make_version(client, project))
    event = client.get("/events/recent", limit=1)["items"][0]["id"]
    body = {"firings": [{"trigger_id": trigger, "revision": 1, "event": event}] * 10}
    with ThreadPoolExecutor(4) as schedulers:
        answers = list(schedulers.map(lambda _: client.post("/firings", body), range(10)))
    outcomes = [result["outcome"] for answer in answers for result in answer["items"]]
    assert sorted(outcomes) == ["duplicate"] * 99 + ["launched"]
    assert len(clones(client, reference)) == 1
    assert len(firings(client, trigger)) == 1


@contextlib.contextmanager
def row_taken_away(place: Place, table: str, *, column: str, value: str) -> Iterator[None]:
    """Delete a row behind the server's back, as no route of it can, and put it back."""
    with contextlib.closing(sqlite3.connect(place.home / "database.sqlite", timeout=10)) as database:
        row = database.execute(f"SELECT * FROM {table} WHERE {column} = ?", (value,)).fetchone()  # noqa: S608  literals
        database.execute(f"DELETE FROM {table} WHERE {column} = ?", (value,))  # noqa: S608  likewise
        database.commit()
        yield
        database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608  likewise
        database.commit()


@pytest.mark.parametrize("gone", ["queue", "reference"])
def test_a_target_that_is_gone_fails_the_firing_with_the_reason_and_it_is_tried_again(
    place: Place, project: str, gone: str
) -> None:
    client = place.client
    reference = make_reference(client, project)
    client.post("/queues", {"name": project})
    trigger = register(client, project, reference=reference, queue=project)
    other = make_reference(client, project)
    register(client, project, reference=other, name="other")
    tag(client, make_version(client, project))
    table, column, value = ("queues", "name", project) if gone == "queue" else ("tasks", "id", reference)
    with row_taken_away(place, table, column=column, value=value):
        drain(client)
        (firing,) = firings(client, trigger)
        assert firing["status"] == "failed"
        assert value in firing["reason"]
        assert firing["next_try_at"]
        assert len(clones(client, other)) == 1
    with running_scheduler(place):
        wait_until(lambda: firings(client, trigger)[0]["status"] == "launched")
    assert len(clones(client, reference)) == 1


def test_a_value_that_the_reference_cannot_take_fails_the_firing_alone(place: Place, project: str) -> None:
    client = place.client
    reference, other = make_reference(client, project, kind="int", value="1"), make_reference(client, project)
    trigger = register(client, project, reference=reference)
    register(client, project, reference=other, name="other")
    tag(client, make_version(client, project))
    drain(client)
    (firing,) = firings(client, trigger)
    assert firing["status"] == "failed"
    assert PARAMETER in firing["reason"]
    assert len(clones(client, other)) == 1
