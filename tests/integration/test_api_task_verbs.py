"""Publishing, archiving and resetting tasks, and clones that run something else: over HTTP, by command, in a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from orchestrator.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.api.testing import Requests, RunningServer

SOURCE = {"repository": "https://git.example.org/x.git", "commit": "1" * 40, "tree": "2" * 40}


@pytest.fixture
def make(api: Requests, project: str) -> Callable[..., str]:
    def made(**fields: object) -> str:
        return str(api.post("/tasks", {"project": project, "name": "n"} | fields).body["id"])

    return made


@pytest.fixture
def run(api: Requests) -> Callable[..., None]:
    """Runs a task by hand to its end, with a value that it reports."""

    def ran(task: str, *values: object, reason: str = "completed") -> None:
        attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
        steps = list(range(len(values)))
        points = {
            "title": "loss",
            "series": "validation",
            "steps": steps,
            "times": [0.0] * len(steps),
            "values": values,
        }
        if values:
            attempt.post(f"/tasks/{task}/series", {"writer": "w", "sequence": 0, "points": [points]})
        assert attempt.post(f"/tasks/{task}/finish", {"reason": reason}).status == 200

    return ran


@pytest.fixture
def variables(api_server: RunningServer, tmp_path: Path) -> dict[str, str]:
    return {"RETRAIN_URL": api_server.url, "RETRAIN_TOKEN": api_server.token, "RETRAIN_HOME": str(tmp_path / "home")}


@pytest.fixture
def retrain(variables: dict[str, str]) -> Callable[..., str]:
    def command(*arguments: str, code: int = 0) -> str:
        result = CliRunner(env=variables).invoke(main, arguments)
        assert result.exit_code == code, result.output
        return result.output

    return command


def ids(api: Requests, path: str) -> list[str]:
    return [item["id"] for item in api.get(path).body["items"]]


def test_a_task_is_published_archived_and_taken_out_again(
    api: Requests, project: str, make: Callable[..., str], run: Callable[..., None]
) -> None:
    task = make()
    refused = api.post(f"/tasks/{task}/publish")
    assert (refused.status, refused.body["error"]["code"]) == (409, "illegal_transition")
    run(task)
    assert api.post(f"/tasks/{task}/publish").body["status"] == "published"
    assert api.post(f"/tasks/{task}/archive").body["archived_at"] is not None
    assert ids(api, f"/tasks?project={project}") == []
    assert ids(api, f"/tasks?project={project}&archived=true") == [task]
    assert api.get(f"/tasks/{task}").body["task"]["status"] == "published"
    assert api.post(f"/tasks/{task}/unarchive").body["archived_at"] is None
    assert ids(api, f"/tasks?project={project}") == [task]
    types = [event["type"] for event in api.get(f"/events/recent?subject={task}").body["items"]]
    assert types == ["task.archived", "task.published", "task.completed", "task.started", "task.created"]


def test_a_task_that_ended_is_reset_edited_and_run_again(
    api: Requests, make: Callable[..., str], run: Callable[..., None]
) -> None:
    task = make(parameters=[{"name": "Args/lr", "type": "float", "value": "0.1"}])
    change = {"parameters": [{"name": "Args/lr", "type": "float", "value": "0.2"}]}
    run(task, 0.5, reason="script_failed")
    assert api.put(f"/tasks/{task}/parameters", change).status == 409
    reset = api.post(f"/tasks/{task}/reset").body
    assert (reset["status"], reset["attempt"], reset["ended_at"]) == ("created", 1, None)
    assert api.put(f"/tasks/{task}/parameters", change).body["items"][0]["value"] == "0.2"
    assert api.post(f"/tasks/{task}/reset").status == 409
    assert api.get(f"/tasks/{task}/series").body["items"][0]["last"] == 0.5
    run(task)
    detail = api.get(f"/tasks/{task}").body
    assert [attempt["exit_reason"] for attempt in detail["attempts"]] == ["script_failed", "completed"]


def test_events_of_ended_tasks_are_json_that_everybody_reads(
    api: Requests, make: Callable[..., str], run: Callable[..., None]
) -> None:
    task = make()
    run(task, 1.0, "NaN")
    (ended,) = api.get(f"/events/recent?subject={task}&type=task.completed").body["items"]
    assert ended["data"]["metrics"] == {"loss": {"validation": {"last": "NaN", "min": 1.0, "max": 1.0}}}
    assert (ended["data"]["metrics_total"], ended["data"]["by_hand"], ended["data"]["trigger"]) == (1, True, None)
    json.dumps(ended, allow_nan=False)


def test_a_clone_of_another_commit_branch_and_image(api: Requests, make: Callable[..., str]) -> None:
    task = make(source=SOURCE, container={"image": "old", "memory_bytes": 1 << 30})
    clone = api.post(
        f"/tasks/{task}/clone", {"branch": "next", "image": "new", "queue": "default", "priority": -2}
    ).body
    assert (clone["source"]["repository"], clone["source"]["branch"]) == (SOURCE["repository"], "next")
    assert (clone["source"]["commit"], clone["source"]["tree"]) == (None, None)
    assert clone["container"] == {"image": "new", "memory_bytes": 1 << 30}
    assert (clone["queue"], clone["priority"], clone["attempt"]) == ("default", -2, 1)
    api.post(f"/tasks/{clone['id']}/stop")
    refused = api.post(f"/tasks/{make()}/clone", {"commit": "4" * 40})
    assert (refused.status, refused.body["error"]["code"]) == (422, "invalid_request")
    assert "has no source" in refused.body["error"]["message"]
    assert refused.body["error"]["hint"]
    assert api.post(f"/tasks/{task}/clone", {"commit": "abc"}).status == 422
    assert api.post("/tasks", {"project": "p", "name": "n", "source": {"repository": "x"}}).status == 422


def test_the_command_does_what_the_routes_do(
    api: Requests, project: str, make: Callable[..., str], run: Callable[..., None], retrain: Callable[..., str]
) -> None:
    task = make(source=SOURCE)
    run(task)
    assert "created" in retrain("task", "reset", task)
    run(task)
    assert "published" in retrain("task", "publish", f"{project}/n")
    assert "published, archived" in retrain("task", "archive", f"{project}/n")
    assert json.loads(retrain("task", "list", "--project", project, "--json")) == []
    assert task in retrain("task", "list", "--project", project, "--archived")
    assert "archived" in retrain("task", "show", task[:30])
    assert "cannot reset" in retrain("task", "reset", task, code=1)
    assert f"no task '{project}/n'" in retrain("task", "publish", f"{project}/n", code=1)
    newer = make()
    assert task in retrain("task", "unarchive", f"{project}/n")
    asked = ("--commit", "4" * 40, "--image", "new", "--name", "c", "--priority", "3", "--enqueue", "default")
    clone = json.loads(retrain("task", "clone", task, *asked, "--json"))
    api.post(f"/tasks/{clone['id']}/stop")
    assert (clone["source"]["commit"], clone["container"]["image"], clone["priority"]) == ("4" * 40, "new", 3)
    clone = json.loads(retrain("task", "clone", task, "--branch", "next", "--json"))
    shown = retrain("task", "show", clone["id"])
    assert "next" in shown
    assert "captured" not in shown
    assert "has no source" in retrain("task", "clone", newer, "--branch", "next", code=2)


def test_a_script_publishes_archives_and_resets(
    project: str, make: Callable[..., str], run: Callable[..., None], variables: dict[str, str]
) -> None:
    task = make()
    run(task)
    script = """
import sys
from orchestrator import Task
task = Task.get_task(sys.argv[1])
said = [task.status]
task.reset()
said.append(task.status)
task.archive()
said.append(Task.get_task(sys.argv[1][:30]).status)
task.unarchive()
said.append(Task.get_task(project_name=sys.argv[2], task_name="n").id == task.id)
try:
    task.publish()
except Exception as error:
    said.append(error.code)
print(*said)
"""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-c", script, task, project], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["completed", "created", "created", "True", "illegal_transition"]


@pytest.mark.parametrize("verb", ["publish", "archive", "unarchive", "reset"])
def test_a_request_that_is_sent_again_is_answered_like_the_first(
    api: Requests, make: Callable[..., str], run: Callable[..., None], verb: str
) -> None:
    task = make()
    run(task)
    replies: list[Any] = [
        api.send("POST", f"/tasks/{task}/{verb}", headers={"Idempotency-Key": f"{task}-{verb}"}) for _ in range(2)
    ]
    assert replies[0].status == 200
    assert replies[0].body == replies[1].body
