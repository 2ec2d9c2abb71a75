"""Model versions over HTTP: registering, finding, promoting them and going back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.api.testing import Reply, Requests

    Register = Callable[..., Reply]
    Made = Callable[..., dict[str, Any]]


@pytest.fixture
def register(api: Requests, project: str) -> Register:
    """What registers a version of one file; `by` sends it."""

    def registered(*, by: Requests | None = None, content: bytes = b"weights", **body: object) -> Reply:
        blob = api.post("/blobs", content).body
        file = {"path": "model.bin", "digest": blob["digest"], "size_bytes": blob["size_bytes"]}
        return (by or api).post("/models", {"project": project, "name": "forest", "files": [file]} | body)

    return registered


@pytest.fixture
def made(register: Register) -> Made:
    def made(**body: object) -> dict[str, Any]:
        reply = register(**body)
        assert reply.status == 201, reply
        return dict(reply.body["model"])

    return made


@pytest.fixture
def holder(api: Requests, project: str) -> Callable[[], int | None]:
    """What tells which version has the alias `production`."""

    def number() -> int | None:
        reply = api.get(f"/models/newest?project={project}&name=forest&alias=production")
        return int(reply.body["model"]["version"]) if reply.status == 200 else None

    return number


def events_of(api: Requests, model: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get(f"/events/recent?subject={model['id']}").body["items"]
    return items[::-1]


def test_a_version_is_registered_with_all_that_is_said_of_it(api: Requests, made: Made, project: str) -> None:
    said = {
        "framework": "scikit-learn",
        "comment": "deeper",
        "tags": ["b", "a", "b"],
        "metadata": {"classes": ["free", "taken"], "depth": 6},
    }
    model = made(**said, aliases=["canary", "production", "canary"])
    detail = api.get(f"/models/{model['id']}").body
    assert detail["model"] == model
    assert (model["project"], model["name"], model["version"], model["state"]) == (project, "forest", 1, "registered")
    assert {name: model[name] for name in said} == said | {"tags": ["a", "b"]}
    assert (model["size_bytes"], model["folder"], model["task_id"], model["datasets"]) == (7, False, None, [])
    assert [(alias["alias"], alias["version"]) for alias in detail["aliases"]] == [("canary", 1), ("production", 1)]
    events = events_of(api, model)
    assert [event["type"] for event in events] == ["model.registered", "model.promoted", "model.promoted"]
    assert events[0]["data"]["added"] == events[0]["data"]["tags"] == ["a", "b"]
    assert events[0]["project"] == project
    promoted = events[1]["data"]
    assert (promoted["alias"], promoted["from_version"], promoted["to_version"]) == ("canary", None, 1)
    assert promoted["aliases"] == ["canary"]
    assert {"id", "name", "version", "task_id", "datasets", "size_bytes", "framework", "reason"} <= promoted.keys()


def test_what_is_registered_twice_at_once_gets_two_numbers(made: Made) -> None:
    with ThreadPoolExecutor(6) as pool:
        numbers = sorted(each["version"] for each in pool.map(lambda _: made(aliases=["latest"]), range(6)))
    assert numbers == [1, 2, 3, 4, 5, 6]


def test_a_request_that_is_sent_again_registers_nothing_more(api: Requests, project: str, made: Made) -> None:
    file = made(name="other")["files"][0]
    body = {"project": project, "name": "forest", "files": [file]}
    first, second = (api.post("/models", body, idempotency_key=project) for _ in range(2))
    assert (first.status, first.body) == (second.status, second.body) == (201, first.body)
    assert len(api.get(f"/models?project={project}&name=forest").body["items"]) == 1


def test_files_have_to_be_there_and_what_they_are_said_to_be(
    api: Requests, register: Register, made: Made, project: str
) -> None:
    there = made(name="other")["files"][0]

    def refused(*files: dict[str, object], folder: bool = True) -> str:
        body = {"project": project, "name": "forest", "files": files, "folder": folder}
        reply = api.post("/models", body)
        assert reply.status == 422, reply
        return str(reply.body["error"]["message"])

    assert "has not been uploaded" in refused(there | {"digest": "blake3:" + "0" * 64})
    assert "has 7 bytes, not 8" in refused(there | {"size_bytes": 8})
    for path in ("../x", "/etc/passwd", "a//b", "a/./b", "a\0b"):
        assert path.split("\0")[0][:3] in refused(there | {"path": path})
    assert "twice" in refused(there, there)
    assert "file and a folder" in refused(there | {"path": "a"}, there | {"path": "a/b"})
    assert "no single file" in refused(there | {"path": "a/b"}, folder=False)
    assert "no single file" in refused(there, there | {"path": "b"}, folder=False)
    refused()
    deep: dict[str, object] = {}
    for _ in range(300):
        deep = {"a": deep}
    for metadata, words in (({"half": "\ud800"}, "UTF-8"), ({"\ud800": 1}, "UTF-8"), (deep, "deep")):
        reply = register(metadata=metadata)
        assert reply.status == 422, reply
        assert words in reply.body["error"]["message"]
    assert register(files=[there | {"path": "a/b"}, there | {"path": "a/c"}], folder=True).status == 201


def test_an_attempt_registers_what_its_task_made_of_which_data(api: Requests, made: Made, project: str) -> None:
    versions = [api.post("/datasets", {"project": project, "name": name}).body["id"] for name in "ab"]
    values = {"General/TRAIN": versions[1], "General/AGAIN": versions[1], "Args/test": versions[0], "Args/no": "0" * 32}
    parameters = [{"name": name, "type": "string", "value": value} for name, value in values.items()]
    task = api.post("/tasks", {"project": project, "name": "training", "parameters": parameters}).body["id"]
    attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
    model = made(by=attempt, aliases=["production"])
    assert (model["task_id"], model["attempt"], model["datasets"]) == (task, 1, versions)
    assert [each["id"] for each in api.get(f"/models?task={task}").body["items"]] == [model["id"]]
    moved = api.get(f"/models/history?project={project}&name=forest").body["items"]
    assert moved[0]["actor_name"] == "attempt 1 of training"
    finished = attempt.post(f"/tasks/{task}/finish", {"reason": "completed"})
    assert finished.status == 200, finished
    refused = attempt.post(f"/models/{model['id']}/promote", {"alias": "late"})
    assert refused.status in {401, 409}


def test_versions_are_found_by_what_they_are(api: Requests, made: Made, project: str) -> None:
    one = made(tags=["x"])
    two = made(tags=["x", "y"], aliases=["canary", "production"])
    three = made(name="other", project=f"{project}/below")
    api.post(f"/models/{one['id']}/archive")

    def found(query: str) -> list[str]:
        return [each["id"] for each in api.get(f"/models?project={project}&{query}").body["items"]]

    assert found("") == [three["id"], two["id"]]
    assert found("archived=true") == [three["id"], two["id"], one["id"]]
    assert found("name=other") == [three["id"]]
    assert found("tag=x") == [two["id"]]
    assert found("alias=production") == [two["id"]]
    assert found("alias=nobody") == []
    page = api.get(f"/models?project={project}&limit=1").body
    assert [each["id"] for each in page["items"]] == [three["id"]]
    assert found(f"after={page['next']}") == [two["id"]]
    assert api.get(f"/models?project={project}&alias=canary").body["items"][0]["aliases"] == ["canary", "production"]


def test_the_one_that_is_meant_is_found_by_alias_number_tags_or_age(api: Requests, made: Made, project: str) -> None:
    one, two, three = (made(tags=[f"t{number}", "all"]) for number in range(3))
    made(project=f"{project}/below")
    api.post(f"/models/{one['id']}/publish")
    api.post(f"/models/{three['id']}/promote", {"alias": "production"})
    api.post(f"/models/{three['id']}/archive")

    def newest(query: str = "") -> Any:  # noqa: ANN401  JSON is any
        return api.get(f"/models/newest?project={project}&name=forest&{query}")

    assert newest().body["model"]["id"] == two["id"]
    assert newest("version=1").body["model"]["id"] == one["id"]
    assert newest("alias=production").body["model"]["id"] == three["id"], "archived, but it has the alias"
    assert newest("version=3").body["model"]["id"] == three["id"]
    assert newest("tag=all&tag=t0").body["model"]["id"] == one["id"]
    assert newest("published=true").body["model"]["id"] == one["id"]
    for query, words in {
        "version=9": "version 9",
        "alias=canary": "alias 'canary'",
        "tag=t0&tag=t1": "tags t0, t1",
        "version=2&published=true": "no published version 2",
    }.items():
        reply = newest(query)
        assert reply.status == 404
        assert words in reply.body["error"]["message"]
        assert "retrain model list" in reply.body["error"]["hint"]


def test_tags_are_put_on_and_taken_off_in_one_event(api: Requests, made: Made) -> None:
    model = made(tags=["a"])
    tagged = api.post(f"/models/{model['id']}/tags", {"add": ["b", "a"], "remove": ["c"]}).body["model"]
    assert tagged["tags"] == ["a", "b"]
    api.post(f"/models/{model['id']}/tags", {"add": ["b"], "remove": ["c"]})
    api.post(f"/models/{model['id']}/tags", {"remove": ["a"]})
    told = [(event["type"], event["data"]["added"], event["data"]["removed"]) for event in events_of(api, model)[1:]]
    assert told == [("model.tagged", ["b"], []), ("model.tagged", [], ["a"])]
    assert api.post(f"/models/{model['id']}/tags", {"add": ["b"], "remove": ["b"]}).status == 422


def test_publishing_and_archiving_are_told_of_once(api: Requests, made: Made) -> None:
    model = made()
    path = f"/models/{model['id']}"
    assert api.post(f"{path}/publish").body["model"]["state"] == "published"
    assert api.post(f"{path}/publish").status == 409
    for _ in range(2):
        assert api.post(f"{path}/archive").body["model"]["archived_at"] is not None
    for _ in range(2):
        assert api.post(f"{path}/unarchive").body["model"]["archived_at"] is None
    assert [event["type"] for event in events_of(api, model)[1:]] == ["model.published", "model.archived"]


def test_an_alias_moves_and_its_history_says_who_from_where_to_where_and_why(
    api: Requests, made: Made, project: str, holder: Callable[[], int | None]
) -> None:
    first, second = made(), made()
    assert holder() is None
    for model, reason in ((first, "begin"), (first, "again"), (second, "better")):
        reply = api.post(f"/models/{model['id']}/promote", {"alias": "production", "reason": reason})
        assert [alias["version"] for alias in reply.body["aliases"]] == [model["version"]]
    assert holder() == 2
    assert api.get(f"/models/{first['id']}").body["aliases"] == []
    api.post(f"/models/{first['id']}/promote", {"alias": "canary"})
    history = f"/models/history?project={project}&name=forest"
    moves = api.get(f"{history}&alias=production").body["items"]
    told = [(move["from_version"], move["to_version"], move["reason"], move["actor_name"]) for move in moves]
    assert told == [(1, 2, "better", "administrator"), (None, 1, "begin", "administrator")]
    page = api.get(f"{history}&limit=1").body
    assert [move["alias"] for move in page["items"]] == ["canary"]
    assert api.get(f"{history}&after={page['next']}").body["items"] == moves
    assert [event["data"]["reason"] for event in events_of(api, second)[1:]] == ["better"]


def test_what_is_archived_is_not_promoted(
    api: Requests, made: Made, project: str, holder: Callable[[], int | None]
) -> None:
    first, second = made(aliases=["production"]), made(aliases=["production"])
    api.post(f"/models/{first['id']}/archive")
    refused = api.post(f"/models/{first['id']}/promote", {})
    assert (refused.status, "archived" in refused.body["error"]["message"]) == (409, True)
    back = {"project": project, "name": "forest"}
    refused = api.post("/models/rollback", back)
    assert (refused.status, "--undo" in refused.body["error"]["hint"]) == (409, True)
    assert holder() == 2
    api.post(f"/models/{first['id']}/unarchive")
    assert api.post("/models/rollback", back).body["model"]["id"] == first["id"]
    assert holder() == 1
    assert second["version"] == 2


def test_going_back_twice_goes_back_two_steps_and_never_to_what_was_taken_back(
    api: Requests, made: Made, project: str, holder: Callable[[], int | None]
) -> None:
    models = [made() for _ in range(4)]

    def promote(number: int) -> None:
        assert api.post(f"/models/{models[number - 1]['id']}/promote", {}).status == 200
        assert holder() == number

    def back(*, to: int) -> None:
        reply = api.post("/models/rollback", {"project": project, "name": "forest", "alias": "production"})
        assert reply.status == 200, reply
        assert (reply.body["model"]["version"], holder()) == (to, to)

    for number in (1, 2, 3):
        promote(number)
    back(to=2)
    back(to=1)
    refused = api.post("/models/rollback", {"project": project, "name": "forest"})
    assert refused.status == 409
    assert "no way back" in refused.body["error"]["message"]
    promote(4)
    promote(2)
    back(to=4)
    promote(3)
    back(to=4)
    back(to=1)
    moves = api.get(f"/models/history?project={project}&name=forest").body["items"]
    assert [(move["from_version"], move["to_version"], move["undoes"] is not None) for move in moves[::-1]] == [
        (None, 1, False),
        (1, 2, False),
        (2, 3, False),
        (3, 2, True),
        (2, 1, True),
        (1, 4, False),
        (4, 2, False),
        (2, 4, True),
        (4, 3, False),
        (3, 4, True),
        (4, 1, True),
    ]
    assert moves[0]["reason"] == "takes back the move from version 1 to 4"
    nobody = api.post("/models/rollback", {"project": project, "name": "forest", "alias": "canary"})
    assert nobody.status == 404


def test_many_who_go_back_at_once_go_one_step_each(
    api: Requests, made: Made, project: str, holder: Callable[[], int | None]
) -> None:
    for _ in range(5):
        made(aliases=["production"])
    body = {"project": project, "name": "forest"}
    with ThreadPoolExecutor(4) as pool:
        assert {reply.status for reply in pool.map(lambda _: api.post("/models/rollback", body), range(4))} == {200}
    assert holder() == 1


def test_rights_end_at_the_project(api: Requests, made: Made, register: Register, project: str) -> None:
    model = made(aliases=["production"])
    elsewhere = api.using(api.post("/tokens", {"name": "x", "role": "editor", "project": "elsewhere"}).body["token"])
    viewer = api.using(api.post("/tokens", {"name": "x", "role": "viewer", "project": project}).body["token"])
    for path in ("tags", "publish", "archive", "unarchive", "promote"):
        for caller in (elsewhere, viewer):
            assert caller.post(f"/models/{model['id']}/{path}", {}).status == 403, path
    for caller in (elsewhere, viewer):
        assert register(by=caller).status == 403
        assert caller.post("/models/rollback", {"project": project, "name": "forest"}).status == 403
    where = f"project={project}&name=forest"
    for path in (f"/models/{model['id']}", f"/models/newest?{where}", f"/models/history?{where}"):
        assert (elsewhere.get(path).status, viewer.get(path).status) == (403, 200)
    assert elsewhere.get("/models").body["items"] == []
    assert [each["id"] for each in viewer.get("/models").body["items"]] == [model["id"]]
