from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3

from orchestrator.api.testing import running_server
from orchestrator.errors import NotFound, UnknownParameter, UnknownTemplateName
from orchestrator.sdk.client import Client
from triggers import TriggerScheduler
from triggers.remote import Remote
from triggers.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PARAMETER = "General/CLEARML_DATASET_ID"
FILE = {"path": "a.csv", "size_bytes": 6, "digest": f"blake3:{blake3(b'a file').hexdigest()}"}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    with running_server(tmp_path) as server, Client(server.url, server.token) as client:
        monkeypatch.setenv("RETRAIN_URL", server.url)
        monkeypatch.setenv("RETRAIN_TOKEN", server.token)
        yield client


@pytest.fixture
def reference(client: Client) -> str:
    parameters = [{"name": PARAMETER, "type": "string", "value": ""}]
    return str(client.post("/tasks", {"project": "occupancy", "name": "training", "parameters": parameters})["id"])


def version(client: Client, *, project: str = "occupancy", tags: list[str] | None = None) -> str:
    """Make a final version with one file."""
    client.put_bytes(f"/blobs/{FILE['digest']}", b"a file")
    made = client.post("/datasets", {"project": project, "name": "sensors", "tags": tags or []})
    client.post(f"/datasets/{made['id']}/entries", {"put": [FILE]})
    client.post(f"/datasets/{made['id']}/finalize")
    return str(made["id"])


def tag(client: Client, dataset: str, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    client.post(f"/datasets/{dataset}/tags", {"add": add, "remove": remove})


def register(client: Client, reference: str, *, name: str = "nightly", **condition: object) -> dict[str, Any]:
    body = {
        "name": name,
        "condition": {"project": "occupancy", "on_tags": ["Production"]} | condition,
        "action": {"task": reference, "parameters": {PARAMETER: "${dataset.id}"}},
    }
    return dict(client.put("/triggers", body))


def clones(client: Client, reference: str) -> list[dict[str, Any]]:
    return list(client.pages("/tasks", parent=reference))


def drain(client: Client) -> None:
    scheduler = Scheduler(Remote(client))
    while scheduler.tick():
        pass


def test_a_tagged_version_becomes_a_queued_clone_with_its_id(client: Client, reference: str) -> None:
    register(client, reference)
    dataset = version(client)
    drain(client)
    assert clones(client, reference) == []
    tag(client, dataset, add=("Production",))
    drain(client)
    (clone,) = clones(client, reference)
    assert clone["status"] == "queued"
    (parameter,) = client.get(f"/tasks/{clone['id']}/parameters")["items"]
    assert parameter["value"] == dataset


def test_tagging_again_after_untagging_is_a_new_event(client: Client, reference: str) -> None:
    register(client, reference)
    dataset = version(client)
    tag(client, dataset, add=("Production",))
    tag(client, dataset, add=("Production",))
    tag(client, dataset, remove=("Production",))
    tag(client, dataset, add=("Production", "x"))
    drain(client)
    assert len(clones(client, reference)) == 2


def test_tags_put_on_a_draft_count_when_it_becomes_final(client: Client, reference: str) -> None:
    register(client, reference)
    version(client, tags=["Production"])
    drain(client)
    assert len(clones(client, reference)) == 1


def test_what_happened_before_a_trigger_was_registered_does_not_set_it_off(client: Client, reference: str) -> None:
    tag(client, version(client), add=("Production",))
    register(client, reference)
    drain(client)
    assert clones(client, reference) == []


def test_a_trigger_registered_while_the_scheduler_runs_is_served(client: Client, reference: str) -> None:
    scheduler = Scheduler(Remote(client))
    scheduler.tick()
    register(client, reference)
    tag(client, version(client), add=("Production",))
    while scheduler.tick():
        pass
    assert len(clones(client, reference)) == 1


def test_a_paused_trigger_records_what_it_skipped(client: Client, reference: str) -> None:
    register(client, reference)
    client.post("/triggers/nightly/pause")
    tag(client, version(client), add=("Production",))
    drain(client)
    (firing,) = client.get("/firings", trigger=client.get("/triggers/nightly")["trigger"]["id"])["items"]
    assert (firing["status"], clones(client, reference)) == ("skipped", [])
    client.post("/triggers/nightly/resume")
    tag(client, version(client), add=("Production",))
    drain(client)
    assert len(clones(client, reference)) == 1


def test_an_edited_trigger_acts_as_it_was_edited(client: Client, reference: str) -> None:
    register(client, reference)
    register(client, reference, on_tags=["Other"])
    tag(client, version(client), add=("Production",))
    tag(client, version(client), add=("Other",))
    drain(client)
    (firing,) = client.get("/firings")["items"]
    assert firing["revision"] == 2


def test_a_removed_trigger_does_not_act(client: Client, reference: str) -> None:
    register(client, reference)
    scheduler = Scheduler(Remote(client))
    scheduler.tick()
    client.delete("/triggers/nightly")
    tag(client, version(client), add=("Production",))
    while scheduler.tick():
        pass
    assert clones(client, reference) == []


def test_a_running_scheduler_is_woken_at_once(client: Client, reference: str) -> None:
    register(client, reference)
    dataset = version(client)
    scheduler = Scheduler(Remote(client), wait_seconds=5)
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    try:
        time.sleep(0.5)
        tagged_at = time.monotonic()
        tag(client, dataset, add=("Production",))
        while not clones(client, reference) and time.monotonic() - tagged_at < 5:
            time.sleep(0.005)
        seconds = time.monotonic() - tagged_at
    finally:
        scheduler.stop()
        tag(client, dataset, add=("wake",))
        thread.join(timeout=10)
    assert len(clones(client, reference)) == 1
    assert seconds < 2  # it polls every minute only


def declare(reference: str, **given: object) -> TriggerScheduler:
    scheduler = TriggerScheduler()
    given = {"task_overrides": {PARAMETER: "${dataset.id}"}} | given
    scheduler.add_dataset_trigger(schedule_task_id=reference, name="declared", trigger_project="occupancy", **given)
    return scheduler


def test_declared_triggers_are_registered_and_registering_again_changes_nothing(client: Client, reference: str) -> None:
    declare(reference, trigger_on_tags=["Production"]).register()
    declare(reference, trigger_on_tags=["Production"]).register()
    (found,) = client.get("/triggers")["items"]
    assert (found["name"], found["revision"]) == ("declared", 1)
    declare(reference, trigger_on_tags=["Other"]).register()
    (found,) = client.get("/triggers")["items"]
    assert found["revision"] == 2


@pytest.mark.parametrize(
    ("given", "error", "near_miss"),
    [
        ({"task_overrides": {"General/CLEARML_DATASET": "x"}}, UnknownParameter, PARAMETER),
        ({"task_overrides": {PARAMETER: "${dataset.ids}"}}, UnknownTemplateName, "dataset.id"),
        ({"schedule_queue": "defualt"}, NotFound, "default"),
    ],
)
def test_bad_input_is_refused_when_the_trigger_is_made_with_what_was_meant(
    client: Client, reference: str, given: dict[str, Any], error: type[Exception], near_miss: str
) -> None:
    with pytest.raises(error) as caught:
        declare(reference, **given).register()
    assert near_miss in str(caught.value)
    assert client.get("/triggers")["items"] == []


SCRIPT = """
from triggers import TriggerScheduler

scheduler = TriggerScheduler()
scheduler.add_dataset_trigger(
    name="declared", schedule_task_id={reference!r}, trigger_project="occupancy", trigger_on_tags=["Production"],
    task_overrides={{"General/CLEARML_DATASET_ID": "${{dataset.id}}"}})
scheduler.{start}()
"""


def started(script: Path, *, reference: str, start: str, more: str = "") -> subprocess.Popen[str]:
    script.write_text(SCRIPT.format(reference=reference, start=start) + more)
    return subprocess.Popen([sys.executable, script], cwd=script.parent, stderr=subprocess.PIPE, text=True)


def test_a_script_registers_its_triggers_and_serves_them_until_it_is_ended(
    client: Client, reference: str, tmp_path: Path
) -> None:
    dataset = version(client)
    with started(tmp_path / "serve.py", reference=reference, start="start") as script:
        wait_until(lambda: client.get("/triggers")["items"])
        tag(client, dataset, add=("Production",))
        assert script.stderr is not None
        fired = next(line for line in iter(script.stderr.readline, "") if "trigger fired" in line)
        script.send_signal(signal.SIGTERM)
        _, errors = script.communicate(timeout=10)
    assert script.returncode == 0, errors
    (clone,) = clones(client, reference)
    assert f"trigger fired: launched {clone['id']}" in fired
    assert "Traceback" not in errors


@pytest.mark.parametrize(("number", "goes_on"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_ctrl_c_ends_the_script_and_not_only_the_serving(
    client: Client, reference: str, tmp_path: Path, number: signal.Signals, *, goes_on: bool
) -> None:
    marker = tmp_path / "went-on"
    path = tmp_path / "serve.py"
    with started(path, reference=reference, start="start", more=f"open({str(marker)!r}, 'w').close()") as script:
        wait_until(lambda: client.get("/triggers")["items"])
        assert script.stderr is not None
        assert "scheduler started" in script.stderr.readline()
        script.send_signal(number)
        _, errors = script.communicate(timeout=10)
    assert marker.exists() == goes_on, errors
    assert script.returncode == (0 if goes_on else -signal.SIGINT)
    assert "scheduler stopped" in errors


def test_a_script_that_starts_remotely_ends_here_and_waits_as_a_service_task(
    client: Client, reference: str, tmp_path: Path
) -> None:
    home = tmp_path / "scripts"
    home.mkdir()
    with started(home / "serve.py", reference=reference, start="start_remotely") as script:
        _, errors = script.communicate(timeout=60)
    assert script.returncode == 0, errors
    (task,) = client.get("/tasks", type="service")["items"]
    assert (task["status"], task["queue"]) == ("queued", "services")
    assert task["script"]["entry_point"] == "serve.py"
    assert [item["name"] for item in client.get("/triggers")["items"]] == ["declared"]


def wait_until(fulfilled: Callable[[], object]) -> None:
    give_up = time.monotonic() + 30
    while not fulfilled():
        assert time.monotonic() < give_up, "it did not come about in time"
        time.sleep(0.02)
