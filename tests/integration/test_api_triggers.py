"""Events, triggers and firings over HTTP: what a scheduler relies on."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.api.testing import Reply, Requests

    Register = Callable[..., Reply]
    Tagged = Callable[..., dict[str, Any]]
    Fire = Callable[..., list[dict[str, Any]]]

SET = {"General/CLEARML_DATASET_ID": "${dataset.id}"}


@pytest.fixture
def reference(api: Requests, project: str) -> str:
    parameters = [
        {"name": "General/CLEARML_DATASET_ID", "type": "string", "value": "none"},
        {"name": "Args/epochs", "type": "int", "value": "3"},
    ]
    body = {"project": project, "name": "training", "parameters": parameters, "tags": ["reference"]}
    return str(api.post("/tasks", body).body["id"])


@pytest.fixture
def register(api: Requests, project: str, reference: str) -> Callable[..., Reply]:
    def registered(
        *, condition: dict[str, Any] | None = None, max_active: int | None = None, **action: object
    ) -> Reply:
        body = {
            "name": project,
            "condition": {"project": project, "on_tags": ["Production"]} | (condition or {}),
            "action": {"task": reference, "parameters": SET} | action,
            "max_active": max_active,
        }
        return api.put("/triggers", body)

    return registered


@pytest.fixture
def tagged(api: Requests, project: str) -> Callable[..., dict[str, Any]]:
    """Publish and tag a version; return the event that tells of it."""

    def made(*tags: str) -> dict[str, Any]:
        base = api.get(f"/datasets?project={project}&state=final&limit=1").body["items"]
        body = {"project": project, "name": "sensors", "parents": [each["id"] for each in base]}
        version = api.post("/datasets", body).body["id"]
        blob = api.post("/blobs", version.encode()).body
        entry = {"path": f"{version}.csv", "size_bytes": blob["size_bytes"], "digest": blob["digest"]}
        api.post(f"/datasets/{version}/entries", {"put": [entry]})
        assert api.post(f"/datasets/{version}/finalize").status == 200
        api.post(f"/datasets/{version}/tags", {"add": list(tags or ("Production",))})
        return dict(api.get(f"/events/recent?subject={version}").body["items"][0])

    return made


@pytest.fixture
def fire(api: Requests) -> Callable[..., list[dict[str, Any]]]:
    def fired(trigger: dict[str, Any], *events: dict[str, Any]) -> list[dict[str, Any]]:
        firings = [
            {"trigger_id": trigger["id"], "revision": trigger["revision"], "event": each["id"]} for each in events
        ]
        reply = api.post("/firings", {"firings": firings})
        assert reply.status == 200, reply
        return list(reply.body["items"])

    return fired


def test_a_tagged_version_becomes_a_queued_clone_with_its_parameter(
    api: Requests,
    project: str,
    reference: str,
    register: Register,
    tagged: Tagged,
    fire: Fire,
) -> None:
    trigger = register(tags=["auto"], name="retrain ${dataset.version}").body
    event = tagged()
    (result,) = fire(trigger, event)
    assert result["outcome"] == "launched"
    detail = api.get(f"/tasks/{result['task_id']}").body
    task = detail["task"]
    assert (task["name"], task["status"], task["parent"]) == ("retrain 1.0.0", "queued", reference)
    assert (task["tags"], task["chain"]) == (["auto", "reference"], [trigger["id"]])
    values = {each["name"]: each["value"] for each in detail["parameters"]}
    assert values == {"General/CLEARML_DATASET_ID": event["subject"], "Args/epochs": "3"}
    (firing,) = api.get(f"/firings?trigger={project}").body["items"]
    assert (firing["status"], firing["task_id"], firing["revision"]) == ("launched", task["id"], 1)
    assert task["firing"] == firing["id"]
    causes = {each["cause"] for each in api.get(f"/events/recent?subject={task['id']}").body["items"]}
    assert causes == {firing["id"]}
    shown = api.get(f"/triggers/{project}").body
    assert (shown["active"], len(shown["firings"])) == (1, 1)


def test_the_same_event_delivered_a_hundred_times_makes_one_task(
    api: Requests, project: str, register: Register, tagged: Tagged, fire: Fire
) -> None:
    trigger, event = register().body, tagged()
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: fire(trigger, event, event), range(50)))
    outcomes = [result["outcome"] for batch in batches for result in batch]
    assert outcomes.count("launched") == 1
    assert outcomes.count("duplicate") == 99
    assert len({result["task_id"] for batch in batches for result in batch}) == 1
    assert len(api.get(f"/tasks?project={project}&status=queued").body["items"]) == 1


def test_two_schedulers_with_two_hundred_events_make_two_hundred_tasks(
    api: Requests, project: str, register: Register, tagged: Tagged, fire: Fire
) -> None:
    trigger, first = register().body, tagged()
    for _ in range(99):
        for change in ({"remove": ["Production"]}, {"add": ["Production"]}):
            api.post(f"/datasets/{first['subject']}/tags", change)
    events = api.get(f"/events/recent?subject={first['subject']}&type=dataset.tagged&limit=1000").body["items"]
    assert len(events) == 100
    with ThreadPoolExecutor(2) as pool:
        order = [events, events[::-1]]
        runs = list(pool.map(lambda mine: [fire(trigger, *mine[at : at + 7]) for at in range(0, 100, 7)], order))
    outcomes = [result["outcome"] for run in runs for batch in run for result in batch]
    assert outcomes.count("launched") == 100
    assert outcomes.count("duplicate") == 100
    assert len(api.get(f"/tasks?project={project}&status=queued&limit=1000").body["items"]) == 100


def test_what_does_not_match_is_not_launched_whatever_a_scheduler_says(
    register: Register, tagged: Tagged, fire: Fire
) -> None:
    earlier = tagged()
    trigger = register().body
    other = tagged("Candidate")
    results = fire(trigger, earlier, other, {"id": 10**9})
    assert [result["outcome"] for result in results] == ["skipped", "skipped", "failed"]
    assert "older" in results[0]["reason"]
    assert "Production" in results[1]["reason"]
    assert fire({"id": "0" * 32, "revision": 1}, other)[0]["outcome"] == "stale_revision"


def test_registering_again_makes_a_revision_where_something_differs(
    register: Register, tagged: Tagged, fire: Fire
) -> None:
    first = register().body
    assert register().body == first
    second = register(tags=["x"])
    assert (second.body["id"], second.body["revision"]) == (first["id"], 2)
    assert second.body["starts_after"] == first["starts_after"]
    event = tagged()
    assert fire(first, event)[0]["outcome"] == "stale_revision"
    assert fire(second.body, event)[0]["outcome"] == "launched"


def test_a_paused_trigger_records_what_it_skips(
    api: Requests, project: str, register: Register, tagged: Tagged, fire: Fire
) -> None:
    trigger = register().body
    assert api.post(f"/triggers/{project}/pause").body["state"] == "paused"
    event = tagged()
    (result,) = fire(trigger, event)
    assert (result["outcome"], result["reason"]) == ("skipped", "paused")
    assert api.post(f"/triggers/{trigger['id']}/resume").body["state"] == "active"
    assert fire(trigger, event)[0]["outcome"] == "duplicate"
    assert fire(trigger, tagged())[0]["outcome"] == "launched"
    assert api.send("DELETE", f"/triggers/{project}").body["state"] == "removed"
    assert fire(trigger, tagged())[0]["outcome"] == "stale_revision"
    assert api.get(f"/triggers/{project}").status == 404
    assert api.post(f"/triggers/{trigger['id']}/resume").status == 409
    assert register().body["id"] != trigger["id"]


def test_no_more_tasks_are_active_than_a_trigger_allows(
    api: Requests, register: Register, tagged: Tagged, fire: Fire
) -> None:
    trigger = register(max_active=1).body
    first, second, third = tagged(), tagged(), tagged()
    with ThreadPoolExecutor(2) as pool:
        results = [batch[0] for batch in pool.map(lambda event: fire(trigger, event), (first, second))]
    assert sorted(result["outcome"] for result in results) == ["launched", "skipped"]
    launched = next(result for result in results if result["outcome"] == "launched")
    assert "busy" in next(result for result in results if result["outcome"] == "skipped")["reason"]
    api.post(f"/tasks/{launched['task_id']}/stop")
    assert fire(trigger, third)[0]["outcome"] == "launched"


def test_a_trigger_that_would_set_itself_off_again_is_held(
    api: Requests, project: str, register: Register, tagged: Tagged, fire: Fire
) -> None:
    trigger = register().body
    (launched,) = fire(trigger, tagged())
    api.post(f"/tasks/{launched['task_id']}/dequeue")
    attempt = api.using(api.post(f"/tasks/{launched['task_id']}/start", {}).body["token"])
    head = api.get(f"/datasets/newest?project={project}&name=sensors").body["id"]
    version = attempt.post("/datasets", {"project": project, "name": "sensors", "parents": [head]}).body["id"]
    attempt.post(f"/datasets/{version}/finalize")
    attempt.post(f"/datasets/{version}/tags", {"add": ["Production"]})
    event = api.get(f"/events/recent?subject={version}").body["items"][0]
    (result,) = fire(trigger, event)
    assert result["outcome"] == "skipped"
    assert "loop" in result["reason"]
    made = attempt.post(f"/tasks/{launched['task_id']}/clone", {}).body
    assert made["chain"] == [trigger["id"]]


def test_a_reference_that_cannot_be_launched_does_not_disturb_the_next_match(
    api: Requests, project: str, register: Register, tagged: Tagged, fire: Fire
) -> None:
    bad = register(parameters=SET | {"Args/epochs": "${dataset.version}"}).body
    good = api.put(
        "/triggers",
        {"name": f"{project}-good", "condition": bad["condition"], "action": bad["action"] | {"parameters": SET}},
    ).body
    event = tagged()
    results = fire(bad, event) + fire(good, event)
    assert [result["outcome"] for result in results] == ["failed", "launched"]
    assert "Args/epochs" in results[0]["reason"]
    (firing,) = api.get(f"/firings?trigger={project}").body["items"]
    assert (firing["status"], firing["tries"]) == ("failed", 1)
    assert firing["next_try_at"] > firing["created_at"]
    assert len(api.get(f"/tasks?project={project}&status=queued").body["items"]) == 1


def test_the_rights_of_a_trigger_end_with_the_token_that_registered_it(
    api: Requests, project: str, register: Register, reference: str, tagged: Tagged, fire: Fire
) -> None:
    made = api.post("/tokens", {"name": "x", "role": "editor", "project": project}).body
    body = {"name": project, "condition": {"project": project}, "action": {"task": reference}}
    trigger = api.using(made["token"]).put("/triggers", body).body
    api.send("DELETE", f"/tokens/{made['id']}")
    version = tagged()["subject"]
    event = api.get(f"/events/recent?subject={version}&type=dataset.finalized").body["items"][0]
    (result,) = fire(trigger, event)
    assert result["outcome"] == "failed"
    assert "revoked" in result["reason"]
    assert register().body["revision"] == 2


@pytest.mark.parametrize(
    ("action", "code", "told"),
    [
        ({"parameters": {"General/CLEARML_DATASET_IDS": "x"}}, "unknown_parameter", "General/CLEARML_DATASET_ID"),
        ({"parameters": {"General/CLEARML_DATASET_ID": "${dataset.ids}"}}, "unknown_template_name", "dataset.id"),
        ({"parameters": {"Args/epochs": "many"}}, "invalid_request", "int"),
        ({"name": "${nothing}"}, "unknown_template_name", "dataset.id"),
        ({"queue": "defualt"}, "not_found", "default"),
        ({"name": "line\n${dataset.id}"}, "invalid_request", "one line"),
        ({"tags": ["${nothing}"]}, "unknown_template_name", "dataset.id"),
        ({"queue": "${dataset.name}"}, "invalid_request", "templates"),
        ({"project": "p/${dataset.name}"}, "invalid_request", "templates"),
        ({"task": "0" * 32}, "not_found", "retrain task list"),
    ],
)
def test_what_would_fail_when_it_fires_is_refused_when_it_is_made(
    api: Requests, project: str, register: Register, action: dict[str, Any], code: str, told: str
) -> None:
    error = register(**action).body["error"]
    assert error["code"] == code
    assert told in error["hint"]
    assert api.get(f"/triggers/{project}").status == 404


def test_a_trigger_may_add_parameters_where_it_says_so(
    api: Requests, register: Register, tagged: Tagged, fire: Fire
) -> None:
    trigger = register(parameters={"General/new": "s3://b/${dataset.id}/x"}, allow_new=True).body
    event = tagged()
    (result,) = fire(trigger, event)
    values = {each["name"]: each["value"] for each in api.get(f"/tasks/{result['task_id']}/parameters").body["items"]}
    assert values["General/new"] == f"s3://b/{event['subject']}/x"


def test_tags_of_a_clone_are_filled_and_a_list_becomes_all_of_them(
    api: Requests, register: Register, tagged: Tagged, fire: Fire
) -> None:
    trigger = register(tags=["v${dataset.version}", "${dataset.tags}", "plain"]).body
    (result,) = fire(trigger, tagged("Blue", "Production"))
    tags = api.get(f"/tasks/{result['task_id']}").body["task"]["tags"]
    assert tags == ["Blue", "Production", "plain", "reference", "v1.0.0"]


def test_a_clone_that_was_taken_out_of_its_queue_is_not_active(
    api: Requests, register: Register, tagged: Tagged, fire: Fire
) -> None:
    trigger = register(max_active=1).body
    (launched,) = fire(trigger, tagged())
    api.post(f"/tasks/{launched['task_id']}/dequeue")
    assert fire(trigger, tagged())[0]["outcome"] == "launched"


def test_a_dry_run_says_what_would_be_and_makes_nothing(
    api: Requests, project: str, register: Register, tagged: Tagged
) -> None:
    early = tagged("Candidate")
    event = tagged()
    register(name="n ${dataset.version}")
    said = api.post(f"/triggers/{project}/test", {}).body
    assert (said["event"], said["matches"], said["name"], said["queue"]) == (event["id"], True, "n 1.0.1", "default")
    assert said["parameters"] == {"General/CLEARML_DATASET_ID": event["subject"]}
    said = api.post(f"/triggers/{project}/test", {"event": early["id"]}).body
    assert (said["matches"], "Production" in said["reason"]) == (False, True)
    register(parameters={"Args/epochs": "${dataset.version}"})
    assert "would fail" in api.post(f"/triggers/{project}/test", {}).body["reason"]
    assert api.get(f"/firings?trigger={project}").body["items"] == []


def test_whoever_waits_for_events_is_woken_at_once(api: Requests, project: str) -> None:
    last = int(api.get("/events?after=0&limit=1000").body["next"])
    while items := api.get(f"/events?after={last}&limit=1000").body["items"]:
        last = items[-1]["id"]
    heard: list[tuple[float, Reply]] = []

    def follow() -> None:
        reply = api.get(f"/events?after={last}&wait=10")
        heard.append((time.monotonic(), reply))

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.3)
    assert not heard
    began = time.monotonic()
    api.post("/tasks", {"project": project, "name": "n"})
    thread.join()
    assert heard[0][0] - began < 0.2
    assert [each["type"] for each in heard[0][1].body["items"]] == ["task.created"]
    assert heard[0][1].body["next"] == str(heard[0][1].body["items"][-1]["id"])


def test_waiting_for_events_ends_with_the_cursor_that_was_sent(api: Requests) -> None:
    began = time.monotonic()
    assert api.get("/events?after=1000000000&wait=0.2").body == {"items": [], "next": "1000000000"}
    assert 0.2 <= time.monotonic() - began < 2
    assert api.get("/events?wait=26").status == 422


def test_a_reader_of_a_part_of_the_log_moves_past_what_it_may_not_see(api: Requests, project: str) -> None:
    token = api.post("/tokens", {"name": "s", "role": "scheduler", "project": project}).body["token"]
    reader = api.using(token)
    api.post("/tasks", {"project": project, "name": "own"})
    api.post("/tasks", {"project": f"{project}-other", "name": "foreign"})
    newest = api.get("/events/recent?limit=1").body["items"][0]["id"]
    page = reader.get("/events?after=0&limit=5").body
    assert len(page["items"]) == 1
    assert int(page["next"]) >= newest
    assert reader.get("/events?after=0&limit=1").body["next"] == str(page["items"][0]["id"])
    api.post("/tasks", {"project": f"{project}-other", "name": "foreign"})
    page = reader.get(f"/events?after={newest}&wait=0.2").body
    assert page["items"] == []
    assert int(page["next"]) > newest


def test_a_reader_never_goes_back(api: Requests, project: str) -> None:
    assert api.get(f"/events/cursors/{project}").body == {"event": 0}
    assert api.put(f"/events/cursors/{project}", {"event": 7}).body == {"event": 7}
    assert api.put(f"/events/cursors/{project}", {"event": 3}).body == {"event": 7}
    assert api.get(f"/events/cursors/{project}").body == {"event": 7}


def test_a_trigger_that_a_run_registers_outlives_the_run(
    api: Requests, project: str, reference: str, tagged: Tagged, fire: Fire
) -> None:
    task = api.post("/tasks", {"project": project, "name": "scheduler", "type": "service"}).body["id"]
    attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
    body = {
        "name": project,
        "condition": {"project": project, "on_tags": ["Production"]},
        "action": {"task": reference},
    }
    trigger = attempt.put("/triggers", body).body
    attempt.post(f"/tasks/{task}/finish", {"reason": "completed"})
    assert fire(trigger, tagged())[0]["outcome"] == "launched"


def test_triggers_of_a_group_are_applied_and_found_by_group_and_ids(
    api: Requests, project: str, register: Register, reference: str
) -> None:
    alone = register().body
    spec = {
        "condition": {"kind": "dataset", "project": project},
        "action": {"kind": "clone", "task": reference, "parameters": SET},
    }
    body = {"group": project, "triggers": [spec | {"name": f"{project} {letter}"} for letter in "ab"]}
    planned = api.post("/triggers/apply", body | {"plan": True}).body
    assert (planned["applied"], [each["change"] for each in planned["changes"]]) == (False, ["create", "create"])
    assert api.get(f"/triggers?group={project}").body["items"] == []
    done = api.post("/triggers/apply", body).body
    assert (done["applied"], done["changes"]) == (True, planned["changes"])
    a, b = api.get(f"/triggers?group={project}").body["items"]
    ids = "&".join(f"id={each['id']}" for each in (b, alone, {"id": "0" * 32}))
    assert [each["id"] for each in api.get(f"/triggers?{ids}").body["items"]] == [alone["id"], b["id"]]
    changed = api.post("/triggers/apply", {"group": project, "triggers": body["triggers"][:1]}).body
    assert [(each["name"], each["change"]) for each in changed["changes"]] == [
        (a["name"], "unchanged"),
        (b["name"], "remove"),
    ]
    taken = api.post("/triggers/apply", {"group": project, "triggers": [spec | {"name": project}]})
    assert (taken.status, taken.body["error"]["code"]) == (409, "already_exists")
    assert "retrain trigger remove" in taken.body["error"]["hint"]
    too_many = "&".join(f"id={number:032x}" for number in range(101))
    assert api.get(f"/triggers?{too_many}").status == 422


def test_a_reader_of_some_types_is_woken_and_moves_past_all_others(api: Requests, project: str) -> None:
    last = int(api.get("/events/recent?limit=1").body["items"][0]["id"])
    heard: list[Reply] = []

    def follow() -> None:
        heard.append(api.get(f"/events?after={last}&wait=10&type=task.published&type=task.queued"))

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.1)
    task = api.post("/tasks", {"project": project, "name": "n"}).body["id"]
    time.sleep(0.1)
    assert not heard
    api.post(f"/tasks/{task}/enqueue", {})
    thread.join()
    (event,) = heard[0].body["items"]
    assert (event["type"], event["subject"]) == ("task.queued", task)
    newest = api.get("/events/recent?limit=1").body["items"][0]["id"]
    page = api.get(f"/events?after={event['id']}&type=task.published").body
    assert (page["items"], int(page["next"])) == ([], newest)
    assert api.get("/events?type=task.eaten").status == 422


def test_every_trigger_says_why_it_fired_or_not(
    api: Requests, project: str, register: Register, tagged: Tagged, fire: Fire
) -> None:
    trigger, event = register().body, tagged()
    other = {"kind": "dataset", "project": project, "on_tags": ["Candidate"]}
    message = {"kind": "message", "to": ["slack:x"]}
    for name, condition in (("other", other), ("tasks", {"kind": "task", "project": project})):
        body = {"name": f"{project} {name}", "condition": condition, "action": message}
        assert api.put("/triggers", body).status == 200
    late = tagged()
    (launched,) = fire(trigger, late)
    told = {
        each["trigger"]: each
        for each in api.get(f"/events/{late['id']}/why?limit=1000").body["items"]
        if each["trigger"].startswith(project)
    }
    assert set(told) == {project, f"{project} other"}
    mine = told[project]
    assert (mine["fired"], mine["status"], mine["task_id"]) == (True, "launched", launched["task_id"])
    assert "Candidate" in told[f"{project} other"]["reason"]
    everything = api.get(f"/events/{late['id']}/why?all=true&limit=1000").body["items"]
    assert f"{project} tasks" in {each["trigger"] for each in everything}
    early = api.get(f"/events/{event['id']}/why?limit=1000").body["items"]
    assert "registered later" in next(each for each in early if each["trigger"] == f"{project} other")["reason"]
    page = api.get(f"/events/{late['id']}/why?all=true&limit=1").body
    assert api.get(f"/events/{late['id']}/why?all=true&limit=1&after={page['next']}").body["items"] == everything[1:2]
    assert api.get(f"/events/{10**9}/why").status == 404
    shown = api.get(f"/triggers/{project}").body
    assert [each["event"] for each in shown["recent"]][:2] == [late["id"], late["id"] - 1]
    assert [task["id"] for task in shown["running"]] == [launched["task_id"]]
    assert shown["waiting"] == []


def test_a_trigger_acts_on_the_past_when_it_is_asked_to(
    api: Requests, project: str, register: Register, tagged: Tagged
) -> None:
    events = [tagged(), tagged()]
    register()
    planned = api.post(f"/triggers/{project}/backfill", {"plan": True}).body
    assert [(each["event"], each["outcome"]) for each in planned["results"]] == [
        (event["id"], "launched") for event in events
    ]
    assert api.get(f"/firings?trigger={project}").body["items"] == []
    done = api.post(f"/triggers/{project}/backfill", {"since": events[1]["at"]}).body
    assert ([each["event"] for each in done["results"]], done["next"]) == ([events[1]["id"]], None)
    again = api.post(f"/triggers/{project}/backfill", {}).body
    assert [each["outcome"] for each in again["results"]] == ["launched", "duplicate"]
    assert len(api.get(f"/tasks?project={project}&status=queued").body["items"]) == 2
    api.post(f"/triggers/{project}/pause")
    assert api.post(f"/triggers/{project}/backfill", {}).status == 409


def test_a_firing_is_done_over_once_a_request(
    api: Requests, project: str, register: Register, tagged: Tagged, fire: Fire
) -> None:
    trigger = register(parameters=SET | {"Args/epochs": "${dataset.version}"}).body
    (failed,) = fire(trigger, tagged())
    assert [each["id"] for each in api.get("/firings?status=failed&limit=1").body["items"]] == [failed["firing_id"]]
    register()
    path = f"/firings/{failed['firing_id']}/replay"
    replies = [api.send("POST", path, headers={"Idempotency-Key": f"{project} replay"}) for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 200]
    assert replies[0].body == replies[1].body
    made = replies[0].body
    assert (made["status"], made["replay_of"], made["revision"]) == ("launched", failed["firing_id"], 2)
    assert api.get(f"/tasks/{made['task_id']}").body["task"]["status"] == "queued"
    both = api.get(f"/firings?trigger={project}&status=failed&status=launched").body["items"]
    assert [(each["id"], each["next_try_at"]) for each in both] == [(made["id"], None), (failed["firing_id"], None)]
    assert api.get(f"/firings?trigger={project}&status=skipped").body["items"] == []
    assert api.get("/firings?status=eaten").status == 422
    assert api.post(f"/firings/{'0' * 32}/replay").status == 404


def test_a_dry_run_of_a_message_says_to_whom(api: Requests, project: str, tagged: Tagged) -> None:
    event = tagged()
    body = {
        "name": project,
        "condition": {"kind": "dataset", "project": project, "on_tags": ["Production"]},
        "action": {"kind": "message", "to": ["slack:team"], "subject": "new ${dataset.version}"},
    }
    assert api.put("/triggers", body).status == 200
    said = api.post(f"/triggers/{project}/test", {}).body
    assert (said["event"], said["matches"], said["queue"]) == (event["id"], True, None)
    assert said["would"] == "It would send a message to slack:team: new 1.0.0."
