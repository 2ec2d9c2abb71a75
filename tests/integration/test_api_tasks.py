"""Tasks and their attempts over HTTP."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.api.testing import Reply, Requests

PARAMETERS = [
    {"name": "Args/lr", "type": "float", "value": "0.1"},
    {"name": "Args/epochs", "type": "int", "value": "3"},
]


@pytest.fixture
def make(api: Requests, project: str) -> Callable[..., str]:
    def made(**fields: object) -> str:
        return str(api.post("/tasks", {"project": project, "name": "n"} | fields).body["id"])

    return made


@pytest.fixture
def claim(api: Requests, project: str) -> Callable[[], Reply]:
    """An agent with a queue of its own, named like the project."""
    api.post("/queues", {"name": project})
    slots = [{"name": "s", "queues": [project]}]
    body = {"name": project, "hostname": "h", "version": "1", "executor": "process", "slots": slots}
    agent = api.post("/agents", body).body["id"]
    return lambda: api.post(f"/agents/{agent}/claim", {"slot": "s"})


def test_the_whole_way_from_created_to_completed(
    api: Requests, project: str, make: Callable[..., str], claim: Callable[[], Reply]
) -> None:
    task = make(parameters=PARAMETERS)
    queued = api.post(f"/tasks/{task}/enqueue", {"queue": project}).body
    assert (queued["status"], queued["attempt"], queued["queue"]) == ("queued", 1, project)
    claimed = claim().body
    assert claimed["task"]["id"] == task
    assert claimed["attempt"]["number"] == 1
    assert {each["name"] for each in claimed["parameters"]} == {"Args/lr", "Args/epochs"}
    attempt = api.using(claimed["token"])
    told = {
        "executor": "process",
        "environment": "key",
        "environment_reused": True,
        "started_at": "2026-01-01T00:00:00Z",
    }
    assert attempt.post(f"/tasks/{task}/heartbeat", told).body["stop_requested"] is False
    batch = {
        "writer": "w",
        "sequence": 0,
        "points": [{"title": "loss", "series": "train", "steps": [1, 2], "times": [1.0, 2.0], "values": [0.5, "NaN"]}],
    }
    assert attempt.post(f"/tasks/{task}/series", batch).body == {"stored": True}
    assert attempt.post(f"/tasks/{task}/series", batch).body == {"stored": False}
    assert attempt.put(f"/tasks/{task}/console?offset=0", b"hello\n").body == {"length": 6}
    assert (
        attempt.post(f"/tasks/{task}/reports", {"title": "t", "series": "s", "kind": "text", "data": "x"}).status == 200
    )
    finished = attempt.post(f"/tasks/{task}/finish", {"reason": "completed", "exit_code": 0}).body
    assert (finished["status"], finished["status_reason"]) == ("completed", "completed")
    detail = api.get(f"/tasks/{task}").body
    assert detail["attempts"][0]["environment"] == "key"
    assert detail["attempts"][0]["exit_reason"] == "completed"
    assert api.get(f"/tasks/{task}/series").body["items"][0]["count"] == 2
    assert api.get(f"/tasks/{task}/series/points?title=loss&series=train").body["values"] == [0.5, "NaN"]
    assert api.get(f"/tasks/{task}/console").body == {
        "attempt": 1,
        "offset": 0,
        "next": 6,
        "text": "hello\n",
        "ended": True,
    }
    types = [each["type"] for each in api.get(f"/events/recent?subject={task}").body["items"]]
    assert types == ["task.completed", "task.started", "task.queued", "task.created"]


def test_agents_get_tasks_by_priority_then_in_the_order_of_queueing(
    api: Requests, project: str, make: Callable[..., str], claim: Callable[[], Reply]
) -> None:
    first, second, urgent, later = (make() for _ in range(4))
    for task, order in (
        (first, {}),
        (second, {}),
        (urgent, {"priority": 5}),
        (later, {"not_before": "2100-01-01T00:00:00Z"}),
    ):
        api.post(f"/tasks/{task}/enqueue", {"queue": project} | order)
    assert [claim().body["task"]["id"] for _ in range(3)] == [urgent, first, second]
    assert claim().status == 204


def test_an_unknown_queue_is_named_with_the_line_that_makes_it(api: Requests, make: Callable[..., str]) -> None:
    reply = api.post(f"/tasks/{make()}/enqueue", {"queue": "defualt"})
    assert reply.status == 404
    assert "Did you mean default?" in reply.body["error"]["hint"]
    assert "retrain queue create defualt" in reply.body["error"]["hint"]


def test_a_waiting_task_says_how_many_agents_listen(
    api: Requests, project: str, make: Callable[..., str], claim: Callable[[], Reply]
) -> None:
    alone = f"{project}-alone"
    api.post("/queues", {"name": alone})
    task = make()
    assert api.get(f"/tasks/{task}").body["listening_agents"] is None
    api.post(f"/tasks/{task}/enqueue", {"queue": alone})
    assert api.get(f"/tasks/{task}").body["listening_agents"] == 0
    api.post(f"/tasks/{task}/dequeue")
    api.post(f"/tasks/{task}/enqueue", {"queue": project})
    assert api.get(f"/tasks/{task}").body["listening_agents"] == 1
    queues = {each["name"]: each for each in api.get("/queues").body["items"]}
    assert (queues[project]["waiting"], queues[project]["agents"]) == (1, [project])
    assert claim().body["attempt"]["number"] == 2


def test_a_clone_keeps_everything_but_what_is_overridden(api: Requests, make: Callable[..., str]) -> None:
    script = {"entry_point": "train.py", "arguments": ["--fast"]}
    reference = make(parameters=PARAMETERS, script=script, tags=["a"], container={"image": "x"})
    clone = api.post(f"/tasks/{reference}/clone", {"parameters": {"Args/lr": "1e-2"}, "queue": "default"}).body
    assert (clone["parent"], clone["status"], clone["tags"]) == (reference, "queued", ["a"])
    assert clone["script"]["arguments"] == ["--fast"]
    values = {each["name"]: each["value"] for each in api.get(f"/tasks/{clone['id']}/parameters").body["items"]}
    assert values == {"Args/lr": "0.01", "Args/epochs": "3"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"parameters": {"Args/epoch": "1"}}, "unknown_parameter"),
        ({"parameters": {"Args/epochs": "many"}}, "invalid_request"),
        ({"queue": "nowhere"}, "not_found"),
        ({"parent": "0" * 32}, "not_found"),
    ],
)
def test_a_clone_that_cannot_be_made_leaves_nothing(
    api: Requests, project: str, make: Callable[..., str], body: dict[str, Any], code: str
) -> None:
    reference = make(parameters=PARAMETERS)
    reply = api.post(f"/tasks/{reference}/clone", body)
    assert reply.body["error"]["code"] == code
    assert [task["id"] for task in api.get(f"/tasks?project={project}").body["items"]] == [reference]


def test_connect_adds_what_is_missing_and_set_overwrites_by_type(api: Requests, make: Callable[..., str]) -> None:
    task = make(parameters=PARAMETERS)
    new = [{"name": "Args/lr", "type": "string", "value": "9"}, {"name": "Args/x", "type": "bool", "value": "true"}]
    connected = api.put(f"/tasks/{task}/parameters", {"mode": "connect", "parameters": new}).body["items"]
    assert {each["name"]: each["value"] for each in connected} == {
        "Args/lr": "0.1",
        "Args/epochs": "3",
        "Args/x": "true",
    }
    written = api.put(f"/tasks/{task}/parameters", {"parameters": new}).body["items"]
    assert next(each for each in written if each["name"] == "Args/lr") == {
        "name": "Args/lr",
        "type": "float",
        "value": "9.0",
    }


def test_what_has_been_queued_is_a_record_that_only_its_own_run_adds_to(
    api: Requests, make: Callable[..., str]
) -> None:
    task = make(parameters=PARAMETERS)
    attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
    body = {"parameters": [{"name": "Args/y", "type": "int", "value": "1"}]}
    assert api.put(f"/tasks/{task}/parameters", body).status == 409
    assert attempt.put(f"/tasks/{task}/parameters", body).status == 200
    assert api.send("PATCH", f"/tasks/{task}", body={"script": {"entry_point": "other.py"}}).status == 409
    assert api.send("PATCH", f"/tasks/{task}", body={"comment": "good"}).body["comment"] == "good"


def test_tags_make_one_event_a_call_and_none_where_nothing_changes(api: Requests, make: Callable[..., str]) -> None:
    task = make(tags=["a"])
    assert api.post(f"/tasks/{task}/tags", {"add": ["b", "a"], "remove": ["c"]}).body["tags"] == ["a", "b"]
    api.post(f"/tasks/{task}/tags", {"add": ["b"]})
    events = api.get(f"/events/recent?subject={task}&type=task.tagged").body["items"]
    assert [(each["data"]["added"], each["data"]["removed"]) for each in events] == [(["b"], [])]


def test_lists_are_paged_and_filtered(api: Requests, project: str, make: Callable[..., str]) -> None:
    made = [make(name=f"n{number}", type="testing" if number % 2 else "training") for number in range(5)]
    got: list[str] = []
    query = f"/tasks?project={project}&limit=2"
    reply = api.get(query).body
    got += [task["id"] for task in reply["items"]]
    while reply["next"]:
        reply = api.get(f"{query}&after={reply['next']}").body
        got += [task["id"] for task in reply["items"]]
    assert got == made[::-1]
    assert [task["name"] for task in api.get(f"/tasks?project={project}&type=testing").body["items"]] == ["n3", "n1"]
    assert api.get("/tasks?status=sleeping").status == 422
    assert api.get("/tasks?limit=0").status == 422


def test_a_queued_task_stops_at_once_and_a_running_one_is_asked(api: Requests, make: Callable[..., str]) -> None:
    queued, running = make(), make()
    api.post(f"/tasks/{queued}/enqueue", {})
    assert api.post(f"/tasks/{queued}/stop").body["status"] == "stopped"
    attempt = api.using(api.post(f"/tasks/{running}/start", {}).body["token"])
    assert api.post(f"/tasks/{running}/stop").body["status"] == "in_progress"
    assert attempt.post(f"/tasks/{running}/heartbeat", {}).body["stop_requested"] is True
    assert attempt.post(f"/tasks/{running}/finish", {"reason": "stopped"}).body["status"] == "stopped"
    assert api.post(f"/tasks/{running}/stop").status == 409


def test_a_waiting_heartbeat_hears_of_a_stop_at_once(api: Requests, make: Callable[..., str]) -> None:
    task = make()
    attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
    answered: list[tuple[float, Reply]] = []

    def beat() -> None:
        reply = attempt.post(f"/tasks/{task}/heartbeat", {"wait_seconds": 10})
        answered.append((time.monotonic(), reply))

    thread = threading.Thread(target=beat)
    thread.start()
    time.sleep(0.3)
    assert not answered
    stopped_at = time.monotonic()
    api.post(f"/tasks/{task}/stop")
    thread.join()
    assert answered[0][1].body["stop_requested"] is True
    assert answered[0][0] - stopped_at < 0.5


def test_a_waiting_heartbeat_of_a_superseded_attempt_is_refused_at_once(
    api: Requests, make: Callable[..., str]
) -> None:
    task = make()
    attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
    answered: list[Reply] = []
    thread = threading.Thread(
        target=lambda: answered.append(attempt.post(f"/tasks/{task}/heartbeat", {"wait_seconds": 10}))
    )
    thread.start()
    time.sleep(0.2)
    began = time.monotonic()
    attempt.post(f"/tasks/{task}/enqueue", {})
    thread.join()
    assert time.monotonic() - began < 2
    assert answered[0].body["error"]["code"] == "stale_attempt"


def test_finishing_twice_is_answered_twice_but_not_otherwise(api: Requests, make: Callable[..., str]) -> None:
    task = make()
    attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
    failed = {"reason": "script_failed", "exit_code": 3, "message": "Traceback"}
    first = attempt.post(f"/tasks/{task}/finish", failed)
    assert (first.body["status"], first.body["status_message"]) == ("failed", "Traceback")
    assert attempt.post(f"/tasks/{task}/finish", failed) == first
    assert attempt.post(f"/tasks/{task}/finish", {"reason": "completed"}).body["error"]["code"] == "stale_attempt"
    assert attempt.post(f"/tasks/{task}/finish", {"reason": "handed_over"}).status == 422
    assert api.post(f"/tasks/{task}/enqueue", {}).body["attempt"] == 2
    assert attempt.post(f"/tasks/{task}/finish", failed).body["status"] == "queued"


def test_the_first_lock_stands_and_clones_inherit_it(api: Requests, make: Callable[..., str]) -> None:
    locks = [api.post("/blobs", f"lock {number}".encode()).body["digest"] for number in range(2)]
    task = make(packages={"python": "3.11.7"})
    attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
    for lock in locks:
        assert attempt.put(f"/tasks/{task}/lock", {"lock": lock}).body["packages"]["lock"] == locks[0]
    assert attempt.put(f"/tasks/{task}/lock", {"lock": "blake3:" + "0" * 64}).status == 422
    assert api.post(f"/tasks/{task}/clone", {}).body["packages"]["lock"] == locks[0]


def test_artifacts_name_stored_bytes(api: Requests, make: Callable[..., str]) -> None:
    blob = api.post("/blobs", b"{}").body
    task = make()
    attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
    body = {"name": "a", "kind": "json", "filename": "a.json", "digest": blob["digest"], "size_bytes": 2}
    assert attempt.put(f"/tasks/{task}/artifacts", body).body["attempt"] == 1
    assert attempt.put(f"/tasks/{task}/artifacts", body | {"digest": "blake3:" + "0" * 64}).status == 422
    assert [each["name"] for each in api.get(f"/tasks/{task}/artifacts").body["items"]] == ["a"]


def test_console_is_read_in_whole_characters_and_gaps_are_refused(api: Requests, make: Callable[..., str]) -> None:
    task = make()
    assert api.get(f"/tasks/{task}/console").body == {"attempt": 0, "offset": 0, "next": 0, "text": "", "ended": False}
    attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
    crab = "🦀".encode()
    attempt.put(f"/tasks/{task}/console?offset=0", b"a" + crab[:2])
    first = api.get(f"/tasks/{task}/console").body
    assert (first["text"], first["next"], first["ended"]) == ("a", 1, False)
    assert attempt.put(f"/tasks/{task}/console?offset=3", crab[2:]).body == {"length": 5}
    assert attempt.put(f"/tasks/{task}/console?offset=1", crab + b"b\xff").body == {"length": 7}
    assert attempt.put(f"/tasks/{task}/console?offset=9", b"x").status == 409
    assert attempt.put(f"/tasks/{task}/console?offset=7", b"x" * (9 << 20)).status == 422
    attempt.post(f"/tasks/{task}/finish", {"reason": "completed"})
    rest = api.get(f"/tasks/{task}/console?after=1").body
    assert (rest["text"], rest["next"], rest["ended"]) == ("🦀b\ufffd", 7, True)


def test_a_name_of_a_live_agent_is_not_taken_by_another_token(api: Requests, project: str) -> None:
    slots = [{"name": "s", "queues": ["default"]}]
    body = {"name": project, "hostname": "h", "version": "1", "executor": "process", "slots": slots}
    tokens = [api.post("/tokens", {"name": "x", "role": "agent"}).body for _ in range(2)]
    agent = api.using(tokens[0]["token"]).post("/agents", body).body["id"]
    assert api.using(tokens[1]["token"]).post("/agents", body).body["error"]["code"] == "already_exists"
    api.send("DELETE", f"/tokens/{tokens[0]['id']}")
    assert api.using(tokens[1]["token"]).post("/agents", body).body["id"] == agent
    assert api.post("/agents", body | {"slots": [{"name": "s", "queues": ["nowhere"]}]}).status == 404
    assert api.post("/agents", body | {"slots": slots * 2}).status == 422
