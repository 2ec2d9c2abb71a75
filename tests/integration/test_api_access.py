"""Fault 26: on every route, by a list that is generated, nothing is had without the right token."""

from __future__ import annotations

import base64
import http.client
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import pytest
from blake3 import blake3

from orchestrator.api.app import create_app
from orchestrator.records.principal import PERMISSIONS, Permission, Role
from orchestrator.services.storage_access import Storages
from orchestrator.settings import Settings
from orchestrator.store.sql import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.api.testing import Requests, RunningServer

OPEN_TO_ALL = {"/api/v1/tokens/self"}
WANTS_READ_ONLY = {
    ("POST", "/api/v1/triggers/{key}/test"),
    ("POST", "/api/v1/datasets/{version_id}/blocks"),
    ("POST", "/api/v1/datasets/{version_id}/verify"),
    ("POST", "/api/v1/blobs/bundle"),
    ("POST", "/api/v1/blobs/locations"),
}


class Route(NamedTuple):
    method: str
    template: str

    @property
    def path(self) -> str:
        digest = self.template.replace("{digest}", "blake3:" + "0" * 64)
        return re.sub(r"{[^}]*}", "0" * 32, digest)


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[Route]:
    home = tmp_path_factory.mktemp("routes")
    settings = Settings(home=home)
    store = open_store(settings.database_url)
    try:
        storages = Storages(store, default_url=settings.blobs_url)
        paths = create_app(store, storages=storages, settings=settings).openapi()["paths"]
    finally:
        store.close()
    found = [Route(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert len(found) > 85
    return [*found, Route("GET", "/api/docs"), Route("GET", "/api/openapi.json"), Route("GET", "/api/v1/nothing")]


def token_of(api: Requests, **grant: object) -> str:
    reply = api.post("/tokens", {"name": "x", "role": "viewer"} | grant)
    assert reply.status == 201
    return str(reply.body["token"])


def test_only_health_is_open(api: Requests) -> None:
    assert api.using("").send("GET", "/healthz").body == {"status": "ok"}


def test_no_token_a_wrong_one_an_expired_one_and_a_revoked_one_are_refused_everywhere(
    api: Requests, routes: list[Route]
) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()
    expired = token_of(api, role="admin", expires_at=soon)
    made = api.post("/tokens", {"name": "x", "role": "admin"}).body
    assert api.send("DELETE", f"/tokens/{made['id']}").status == 200
    time.sleep(0.4)
    for token in ("", "rt_" + "x" * 43, "nonsense", expired, made["token"]):
        for route in routes:
            reply = api.using(token).send(route.method, route.path, body={})
            assert reply.status == 401, (token[:4], route)
            assert reply.body["error"]["code"] == "unauthenticated"


def test_a_token_in_the_query_opens_nothing(api_server: RunningServer, api: Requests) -> None:
    assert api.using("").get(f"/tasks?token={api_server.token}").status == 401


def test_viewers_change_nothing(api: Requests, routes: list[Route]) -> None:
    viewer = api.using(token_of(api, role="viewer"))
    changing = [route for route in routes if route.method != "GET" and tuple(route) not in WANTS_READ_ONLY]
    assert len(changing) > 40
    for route in changing:
        reply = viewer.send(route.method, route.path, body={})
        assert reply.status == 403, (route, reply)
        assert reply.body["error"]["hint"]


def test_agents_do_nothing_but_claim(api: Requests, routes: list[Route]) -> None:
    agent = api.using(token_of(api, role="agent"))
    for route in routes:
        if route.template.startswith("/api/v1") and route.template not in OPEN_TO_ALL | {"/api/v1/nothing"}:
            is_claiming = route.method == "POST" and "/agents" in route.template
            assert (agent.send(route.method, route.path, body={}).status == 403) is not is_claiming, route


def test_nobody_but_its_own_attempt_writes_for_a_task(api: Requests, project: str) -> None:
    first, second = (api.post("/tasks", {"project": project, "name": name}).body["id"] for name in "ab")
    attempt = api.using(api.post(f"/tasks/{first}/start", {}).body["token"])
    for method, end in [
        ("POST", "heartbeat"),
        ("POST", "finish"),
        ("POST", "series"),
        ("PUT", "console?offset=0"),
        ("PUT", "artifacts"),
        ("POST", "reports"),
        ("PUT", "lock"),
    ]:
        assert attempt.send(method, f"/tasks/{second}/{end}", body={}).status == 403
        assert api.send(method, f"/tasks/{first}/{end}", body={}).status == 403


def test_an_agent_cannot_claim_for_another(api: Requests) -> None:
    one, other = (api.using(token_of(api, role="agent")) for _ in range(2))
    slots = [{"name": "s", "queues": ["default"]}]
    body = {"name": token_of(api)[:20], "hostname": "h", "version": "1", "executor": "process", "slots": slots}
    agent = one.post("/agents", body).body["id"]
    assert other.post(f"/agents/{agent}/claim", {"slot": "s"}).status == 403
    assert other.post(f"/agents/{agent}/heartbeat").status == 403
    assert other.post("/agents", body).status == 409


def test_an_agent_claims_only_from_the_queues_of_its_token(api: Requests) -> None:
    agent = api.using(token_of(api, role="agent", queues=["services"]))
    body = {"name": token_of(api)[:20], "hostname": "h", "version": "1", "executor": "process"}
    refused = agent.post("/agents", body | {"slots": [{"name": "s", "queues": ["default"]}]})
    assert refused.status == 403
    assert "services" in refused.body["error"]["message"]
    made = agent.post("/agents", body | {"slots": [{"name": "s", "queues": ["default", "services"]}]}).body
    assert made["slots"][0]["queues"] == ["services"]
    served = {each["name"]: each["agents"] for each in api.get("/queues").body["items"]}
    assert made["name"] in served["services"]
    assert made["name"] not in served["default"]


def test_an_attempt_that_an_operator_enqueued_uploads_its_own_results(api: Requests, project: str) -> None:
    operator = api.using(token_of(api, role="operator"))
    task = api.post("/tasks", {"project": project, "name": "n", "packages": {"python": "3.11.7"}}).body["id"]
    api.post("/queues", {"name": project})
    slots = [{"name": "s", "queues": [project]}]
    agent = api.post("/agents", {"name": project, "hostname": "h", "version": "1", "executor": "p", "slots": slots})
    assert operator.post(f"/tasks/{task}/enqueue", {"queue": project}).status == 200
    attempt = api.using(api.post(f"/agents/{agent.body['id']}/claim", {"slot": "s"}).body["token"])
    assert attempt.get("/tokens/self").body["lent_role"] == "operator"
    data = project.encode()
    digest = "blake3:" + blake3(data).hexdigest()
    assert attempt.post("/blobs/missing", {"digests": [digest]}).body == {"missing": [digest]}
    assert attempt.put(f"/blobs/{digest}", data).status == 200
    assert attempt.post("/blobs", data).body["digest"] == digest
    artifact = {"name": "a", "kind": "file", "filename": "a", "digest": digest, "size_bytes": len(data)}
    assert attempt.put(f"/tasks/{task}/artifacts", artifact).status == 200
    assert attempt.put(f"/tasks/{task}/lock", {"lock": digest}).status == 200
    assert attempt.post("/tasks", {"project": project, "name": "n"}).status == 403
    assert operator.put(f"/blobs/{digest}", data).status == 403


def test_the_token_of_an_attempt_that_ended_is_good_for_nothing(
    api_server: RunningServer, api: Requests, project: str
) -> None:
    task = api.post("/tasks", {"project": project, "name": "n"}).body["id"]
    token = api.post(f"/tasks/{task}/start", {}).body["token"]
    attempt = api.using(token)
    attempt.post(f"/tasks/{task}/finish", {"reason": "completed"})
    assert attempt.get("/tokens/self").status == 409
    digest = "blake3:" + blake3(project.encode()).hexdigest()
    assert attempt.put(f"/blobs/{digest}", project.encode()).status == 409
    connection = http.client.HTTPConnection(urlsplit(api_server.url).netloc, timeout=5)
    connection.putrequest("PUT", f"/api/v1/blobs/{digest}")
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    assert connection.getresponse().status == 409  # before a byte was sent
    connection.close()
    stored = [path.name for path in (api_server.settings.home / "blobs").rglob("*")]
    assert digest[9:] not in stored


def test_a_grant_ends_at_its_project(api: Requests, project: str) -> None:
    inside, outside = f"{project}/a", f"{project}b"
    editor = api.using(token_of(api, role="editor", project=project))
    own = editor.post("/tasks", {"project": inside, "name": "n"})
    assert own.status == 201
    foreign = api.post("/tasks", {"project": outside, "name": "n"}).body["id"]
    assert editor.post("/tasks", {"project": outside, "name": "n"}).status == 403
    assert editor.get(f"/tasks/{foreign}").status == 403
    assert editor.post(f"/tasks/{foreign}/clone", {}).status == 403
    assert editor.post(f"/tasks/{own.body['id']}/clone", {"project": outside}).status == 403
    assert [task["id"] for task in editor.get("/tasks").body["items"]] == [own.body["id"]]
    assert {event["project"] for event in editor.get("/events").body["items"]} == {inside}
    assert [each["project"] for each in editor.get("/projects").body["items"]] == [inside]


def test_an_administrator_of_a_project_makes_tokens_for_it_only(api: Requests, project: str) -> None:
    admin = api.using(token_of(api, role="admin", project=project))
    assert admin.post("/tokens", {"name": "x", "role": "viewer", "project": f"{project}/a"}).status == 201
    for body in ({"role": "admin"}, {"role": "viewer", "project": "other"}, {"role": "agent"}):
        assert admin.post("/tokens", {"name": "x"} | body).status == 403
    assert admin.post("/queues", {"name": project}).status == 403
    assert {each["project"].split("/")[0] for each in admin.get("/tokens").body["items"]} == {project}


def test_an_attempt_has_at_most_the_rights_of_an_editor(api: Requests, project: str) -> None:
    task = api.post("/tasks", {"project": project, "name": "n"}).body["id"]
    attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
    assert attempt.get("/tokens/self").body["lent_role"] == "editor"
    assert attempt.post("/tasks", {"project": project, "name": "n"}).status == 201
    assert attempt.post("/tokens", {"name": "x", "role": "viewer"}).status == 403
    assert attempt.post("/queues", {"name": "mine"}).status == 403


def test_tokens_are_shown_once_and_never_listed(api: Requests) -> None:
    made = api.post("/tokens", {"name": "x", "role": "viewer"}).body
    listed = api.get("/tokens?limit=1000").body["items"]
    assert made["id"] in {each["id"] for each in listed}
    assert made["token"] not in str(listed)
    assert made["token"].startswith("rt_")
    assert len(made["token"]) >= 46


def test_a_database_holds_no_token(api_server: RunningServer, api: Requests) -> None:
    home: Path = api_server.settings.home
    token = token_of(api)
    stored = b"".join(path.read_bytes() for path in home.glob("database.sqlite*"))
    assert token.encode() not in stored
    assert api_server.token.encode() not in stored


def test_another_protocol_is_told_to_upgrade(api: Requests) -> None:
    reply = api.send("GET", "/tasks", headers={"Retrain-Protocol": "99"})
    assert reply.status == 426
    assert "pip install" in reply.body["error"]["hint"]


def test_a_browser_shows_the_documentation_with_the_token_as_password_and_nothing_else(
    api_server: RunningServer, api: Requests
) -> None:
    browser = api.using("")
    basic = {"Authorization": "Basic " + base64.b64encode(f"me:{api_server.token}".encode()).decode()}
    page = browser.send("GET", "/api/docs", headers=basic)
    assert page.status == 200
    assert b"/api/v1/tasks" in page.body
    assert b"http://" not in page.body
    assert b"https://" not in page.body
    assert browser.send("GET", "/api/openapi.json", headers=basic).status == 200
    assert browser.send("GET", "/tasks", headers=basic).status == 401


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ATTEMPT])
def test_roles_may_what_the_table_says(api: Requests, role: Role, project: str) -> None:
    asker = api.using(token_of(api, role=role))
    tried = {
        Permission.READ: asker.get("/tasks").status,
        Permission.OPERATE: asker.post(f"/tasks/{'0' * 32}/stop").status,
        Permission.EDIT: asker.post("/tasks", {"project": project, "name": "n"}).status,
        Permission.FIRE: asker.post("/firings", {"firings": []}).status,
        Permission.CLAIM: asker.post("/agents", {}).status,
        Permission.ADMIN: asker.get("/tokens").status,
    }
    assert {permission for permission, status in tried.items() if status != 403} == PERMISSIONS[role]
