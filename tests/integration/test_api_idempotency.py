"""A request with an Idempotency-Key is carried out once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.api.testing import Requests


def test_the_same_request_makes_one_thing_and_is_answered_the_same(api: Requests, project: str) -> None:
    body = {"project": project, "name": "n"}
    replies = [api.post("/tasks", body, idempotency_key=project) for _ in range(3)]
    assert replies[0].status == 201
    assert replies[1] == replies[0]
    assert replies[2] == replies[0]
    assert len(api.get(f"/tasks?project={project}").body["items"]) == 1


def test_sent_by_many_at_once_it_makes_one_thing(api: Requests, project: str) -> None:
    body = {"project": project, "name": "n"}
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: api.post("/tasks", body, idempotency_key=project), range(16)))
    assert {reply.status for reply in replies} == {201}
    assert len({reply.body["id"] for reply in replies}) == 1


def test_a_change_of_state_is_replayed_and_not_refused(api: Requests, project: str) -> None:
    task = api.post("/tasks", {"project": project, "name": "n"}).body["id"]
    first = api.post(f"/tasks/{task}/enqueue", {}, idempotency_key=project)
    assert first.body["attempt"] == 1
    assert api.post(f"/tasks/{task}/enqueue", {}, idempotency_key=project) == first
    assert api.post(f"/tasks/{task}/enqueue", {}).status == 409


def test_a_key_is_good_for_one_request(api: Requests, project: str) -> None:
    api.post("/tasks", {"project": project, "name": "n"}, idempotency_key=project)
    reply = api.post("/tasks", {"project": project, "name": "other"}, idempotency_key=project)
    assert reply.status == 422
    assert "Idempotency-Key" in reply.body["error"]["message"]


def test_a_key_belongs_to_who_sends_it(api: Requests, project: str) -> None:
    other = api.using(api.post("/tokens", {"name": "x", "role": "editor"}).body["token"])
    body = {"project": project, "name": "n"}
    ids = {each.post("/tasks", body, idempotency_key=project).body["id"] for each in (api, other)}
    assert len(ids) == 2


def test_a_failure_is_not_kept(api: Requests, project: str) -> None:
    body = {"project": project, "name": "n", "parent": "0" * 32}
    assert api.post("/tasks", body, idempotency_key=project).status == 404
    assert api.post("/tasks", {"project": project, "name": "n"}, idempotency_key=project).status == 201


def test_an_answer_with_a_token_is_not_kept(api: Requests, project: str) -> None:
    body = {"name": project, "role": "viewer"}
    assert api.post("/tokens", body, idempotency_key=project).status == 201
    reply = api.post("/tokens", body, idempotency_key=project)
    assert reply.status == 409
    assert "shown once" in reply.body["error"]["message"]
    named = [each for each in api.get("/tokens?limit=1000").body["items"] if each["name"] == project]
    assert len(named) == 1


def test_a_key_that_is_no_key_is_refused(api: Requests, project: str) -> None:
    assert api.post("/tasks", {"project": project, "name": "n"}, idempotency_key="k" * 256).status == 422


def test_an_attempt_that_hands_itself_over_twice_is_answered_once_more(api: Requests, project: str) -> None:
    task = api.post("/tasks", {"project": project, "name": "n"}).body["id"]
    attempt = api.using(api.post(f"/tasks/{task}/start", {}).body["token"])
    first = attempt.post(f"/tasks/{task}/enqueue", {}, idempotency_key=project)
    assert (first.status, first.body["status"], first.body["attempt"]) == (200, "queued", 2)
    assert attempt.post(f"/tasks/{task}/enqueue", {}, idempotency_key=project) == first
    assert attempt.post(f"/tasks/{task}/enqueue", {}).status == 409
