"""The server's part of the dispatch protocol while things around it fail: faults 3, 5, 7, 14 and their like."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from orchestrator.api.serve import serve
from orchestrator.api.testing import Reply, Requests, RunningServer, running_server
from orchestrator.errors import InvalidRequest
from orchestrator.queues import RqQueue
from orchestrator.redis_server import RedisServer
from orchestrator.settings import Settings, read_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHORT = {"lease_seconds": 1.0, "heartbeat_seconds": 0.3, "sweep_seconds": 0.1, "firing_retry_seconds": 0.2}


@pytest.fixture
def server(tmp_path: Path, redis_url: str) -> Iterator[RunningServer]:
    with running_server(tmp_path / "home", redis_url=redis_url, **SHORT) as running:
        yield running


@pytest.fixture
def api(server: RunningServer) -> Requests:
    return Requests(server.url, token=server.token)


def new_task(api: Requests) -> str:
    return str(api.post("/tasks", {"project": "p", "name": "n", "packages": {"python": "3.11.7"}}).body["id"])


def new_agent(api: Requests) -> Callable[[], Reply]:
    slots = [{"name": "s", "queues": ["default"]}]
    body = {"name": "a", "hostname": "h", "version": "1", "executor": "process", "slots": slots}
    agent = api.post("/agents", body).body["id"]
    return lambda: api.post(f"/agents/{agent}/claim", {"slot": "s"})


def wait_until(condition: Callable[[], Any], seconds: float = 8) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def status_of(api: Requests, task: str) -> tuple[str, int]:
    body = api.get(f"/tasks/{task}").body["task"]
    return body["status"], body["attempt"]


def test_a_silent_agent_loses_its_task_to_the_next_attempt(api: Requests) -> None:
    task, claim = new_task(api), new_agent(api)
    api.post(f"/tasks/{task}/enqueue", {})
    assert claim().body["attempt"]["number"] == 1
    wait_until(lambda: status_of(api, task) == ("queued", 2))
    assert claim().body["attempt"]["number"] == 2
    types = [each["type"] for each in api.get(f"/events/recent?subject={task}").body["items"]][::-1]
    assert types[2:] == ["task.started", "task.attempt_lost", "task.queued", "task.started"]


def test_heartbeats_keep_a_lease(api: Requests) -> None:
    task = new_task(api)
    attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert attempt.post(f"/tasks/{task}/heartbeat", {"wait_seconds": 30}).status == 200
    assert status_of(api, task) == ("in_progress", 1)
    wait_until(lambda: status_of(api, task) == ("failed", 1))


def own_routes(api: Requests) -> list[tuple[str, str]]:
    """Every route by which something of a task is written, from the description of the API."""
    paths = api.get("/api/openapi.json").body["paths"]
    return [
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if "{task_id}" in path and method != "get"
    ]


def test_a_cut_off_attempt_is_refused_on_every_route_and_changes_nothing(api: Requests) -> None:
    task, claim = new_task(api), new_agent(api)
    api.post(f"/tasks/{task}/enqueue", {})
    old = claim().body
    blob = api.post("/blobs", b"x").body["digest"]
    wait_until(lambda: status_of(api, task) == ("queued", 2))
    new = claim().body
    fresh = api.using(new["token"])
    before = api.get(f"/tasks/{task}").body
    stale = api.using(old["token"])
    bodies: dict[str, Any] = {
        "finish": {"reason": "completed"},
        "series": {
            "writer": "w",
            "sequence": 0,
            "points": [{"title": "t", "series": "s", "steps": [1], "times": [1], "values": [1]}],
        },
        "artifacts": {"name": "a", "kind": "text", "filename": "a", "digest": blob, "size_bytes": 1},
        "reports": {"title": "t", "series": "s", "kind": "text", "data": "x"},
        "lock": {"lock": blob},
        "parameters": {"parameters": []},
        "console": b"from the dead",
    }
    routes = own_routes(api)
    assert len(routes) > 12
    for method, path in routes:
        end = path.rsplit("/", 1)[1]
        target = path.replace("{task_id}", task) + ("?offset=0" if end == "console" else "")
        reply = stale.send(method, target, body=bodies.get(end, {}))
        assert (reply.status, reply.body["error"]["code"]) == (409, "stale_attempt"), (method, path, reply)
    for path in ("/tasks", f"/tasks/{task}", f"/blobs/{blob}"):
        assert stale.get(path).status == 409
    assert stale.post("/datasets", {"project": "p", "name": "d"}).status == 409
    assert stale.put("/blobs/" + blob, b"x").status == 409
    assert api.get(f"/tasks/{task}").body == before
    assert fresh.put(f"/tasks/{task}/console?offset=0", b"alive").body == {"length": 5}
    assert fresh.post(f"/tasks/{task}/finish", {"reason": "completed"}).body["status"] == "completed"


def tickets(redis_url: str) -> int:
    queue = RqQueue(redis_url)
    try:
        return queue.waiting("default")
    finally:
        queue.close()


def test_every_queued_task_rings_at_once(tmp_path: Path, redis_url: str) -> None:
    with running_server(tmp_path / "home", redis_url=redis_url, sweep_seconds=60) as server:
        api = Requests(server.url, token=server.token)
        api.post(f"/tasks/{new_task(api)}/enqueue", {})
        wait_until(lambda: tickets(redis_url) == 1)


def test_flushall_costs_one_sweep(api: Requests, redis_url: str) -> None:
    for _ in range(5):
        api.post(f"/tasks/{new_task(api)}/enqueue", {})
    wait_until(lambda: tickets(redis_url) == 5)
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushall()
    wait_until(lambda: tickets(redis_url) == 5)


def test_a_redis_that_comes_back_empty_is_rung_again(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:  # short, for the path of the socket
        broker = RedisServer(Path(directory))
        broker.start()
        try:
            with running_server(tmp_path / "home", redis_url=broker.url, **SHORT) as server:
                api = Requests(server.url, token=server.token)
                for _ in range(3):
                    api.post(f"/tasks/{new_task(api)}/enqueue", {})
                wait_until(lambda: tickets(broker.url) == 3)
                assert broker.process is not None
                broker.process.kill()
                broker.stop()
                shutil.rmtree(directory)
                assert api.post(f"/tasks/{new_task(api)}/enqueue", {}).status == 200
                broker.start()
                wait_until(lambda: tickets(broker.url) == 4)
        finally:
            broker.stop()


def test_a_server_that_comes_back_knows_its_attempts(tmp_path: Path, redis_url: str) -> None:
    home = tmp_path / "home"
    settings: dict[str, Any] = SHORT | {"redis_url": redis_url, "lease_seconds": 1.5}
    with running_server(home, **settings) as server:
        api = Requests(server.url, token=server.token)
        task, claim = new_task(api), new_agent(api)
        api.post(f"/tasks/{task}/enqueue", {})
        claimed = claim().body
        admin = server.token
    time.sleep(2)  # longer than the lease: nobody could extend it
    with running_server(home, **settings) as server:
        assert server.token == admin
        attempt = Requests(server.url, token=claimed["token"])
        assert attempt.post(f"/tasks/{task}/heartbeat", {}).status == 200
        assert attempt.post(f"/tasks/{task}/finish", {"reason": "completed"}).body["status"] == "completed"


def tagged_version(api: Requests) -> dict[str, Any]:
    version = api.post("/datasets", {"project": "p", "name": "d"}).body["id"]
    blob = api.post("/blobs", b"x").body
    api.post(f"/datasets/{version}/entries", {"put": [{"path": "a", "size_bytes": 1, "digest": blob["digest"]}]})
    api.post(f"/datasets/{version}/finalize")
    return dict(api.get(f"/events/recent?subject={version}").body["items"][0])


def test_a_failed_firing_is_tried_again_and_launches_once_the_reason_is_gone(api: Requests) -> None:
    parameters = [{"name": "Args/n", "type": "int", "value": "1"}]
    reference = api.post("/tasks", {"project": "p", "name": "n", "parameters": parameters}).body["id"]
    body = {
        "name": "t",
        "condition": {"project": "p"},
        "action": {"task": reference, "parameters": {"Args/n": "${dataset.version}"}},
    }
    trigger = api.put("/triggers", body).body
    event = tagged_version(api)
    posted = {"firings": [{"trigger_id": trigger["id"], "revision": 1, "event": event["id"]}]}
    assert api.post("/firings", posted).body["items"][0]["outcome"] == "failed"

    def firing() -> dict[str, Any]:
        api.post("/firings/due", {"scheduler": "s"})  # as a scheduler asks, over and over
        return dict(api.get("/firings?trigger=t").body["items"][0])

    wait_until(lambda: firing()["tries"] >= 2)
    assert "Args/n" in firing()["reason"]
    body["action"] = {"task": reference, "parameters": {"Args/n": "${dataset.file_count}"}}
    api.put("/triggers", body)
    wait_until(lambda: firing()["status"] == "launched")
    assert (firing()["revision"], firing()["next_try_at"]) == (2, None)
    assert len(api.get("/tasks?status=queued").body["items"]) == 1
    assert api.post("/firings", posted).body["items"][0]["outcome"] == "stale_revision"


def start_process(home: Path, redis_url: str) -> subprocess.Popen[bytes]:
    code = (
        "from orchestrator.settings import Settings\n"
        "from orchestrator.api.serve import serve\n"
        "serve(Settings.from_environ(), ready=lambda url: print(url, flush=True))\n"
        "print('closed', flush=True)\n"
    )
    environ = os.environ | {"RETRAIN_HOME": str(home), "RETRAIN_PORT": "0", "REDIS_URL": redis_url}
    return subprocess.Popen([sys.executable, "-W", "error", "-c", code], env=environ, stdout=subprocess.PIPE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_within_two_seconds_with_long_polls_open(
    tmp_path: Path, redis_url: str, number: signal.Signals
) -> None:
    with start_process(tmp_path, redis_url) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        credentials = read_credentials(tmp_path / "up.json")
        assert credentials is not None
        assert credentials.url == url
        api = Requests(url, token=credentials.token)
        task = new_task(api)
        attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
        replies: list[Reply] = []
        polls = [
            threading.Thread(target=lambda: replies.append(api.get("/events?after=1000000&wait=25"))),
            threading.Thread(
                target=lambda: replies.append(attempt.post(f"/tasks/{task}/heartbeat", {"wait_seconds": 15}))
            ),
        ]
        for poll in polls:
            poll.start()
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(number)
        assert process.stdout.readline() == b"closed\n"
        assert process.wait(5) == 0
        assert time.monotonic() - began < 2
        for poll in polls:
            poll.join()
        assert [reply.status for reply in replies] == [200, 200]


def test_a_server_that_is_killed_loses_nothing_that_it_acknowledged(tmp_path: Path, redis_url: str) -> None:
    with start_process(tmp_path, redis_url) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        credentials = read_credentials(tmp_path / "up.json")
        assert credentials is not None
        api = Requests(url, token=credentials.token)
        made: list[str] = []

        def work() -> None:
            while True:
                try:
                    made.append(new_task(api))
                except (OSError, http.client.HTTPException):
                    return

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(made) > 50)
        process.kill()
        for thread in threads:
            thread.join()
    with running_server(tmp_path, redis_url=redis_url) as server:
        api = Requests(server.url, token=server.token)
        kept = {task["id"] for task in api.get("/tasks?limit=1000").body["items"]}
        assert set(made) <= kept


def test_a_server_without_redis_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"REDIS_URL is not set.*retrain up"):
        serve(Settings(home=tmp_path))


def test_an_address_that_is_taken_is_named(server: RunningServer, tmp_path: Path, redis_url: str) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    with (
        pytest.raises(InvalidRequest, match=str(port)),
        running_server(tmp_path / "other", redis_url=redis_url, port=port),
    ):
        pass
