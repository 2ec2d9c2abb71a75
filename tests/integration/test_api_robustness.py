"""Fault 29: whatever is sent, on every route, the answer is one that says what is wrong."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.api.gate import LARGEST_BODY_BYTES

if TYPE_CHECKING:
    from orchestrator.api.testing import Requests, RunningServer

ODD_TEXT = st.sampled_from(
    [
        "",
        "\0",
        "a\0b",
        "\n",
        "🦀" * 300,
        "../x",
        "/etc/passwd",
        "%00",
        "${dataset.id}",
        "${",
        "'; DROP TABLE tasks;--",
        "0" * 32,
        "1.0.0",
        "9" * 400 + ".0.0",
        "NaN",
        "default",
        "p",
        "Args/x",
    ]
) | st.text(max_size=12)
ODD_NUMBERS = st.sampled_from([0, -1, 1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 0.5, 1e308])
ODD_VALUES = st.recursive(
    st.none() | st.booleans() | ODD_NUMBERS | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3),
    max_leaves=6,
)


def values(schema: dict[str, Any], document: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911, PLR0912  a kind of schema a line
    """Return values that fit a JSON schema, and now and then some that do not."""
    if "$ref" in schema:
        return values(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, depth + 1)
    if depth > 6:
        return ODD_VALUES
    if "anyOf" in schema:
        return st.one_of([values(each, document, depth + 1) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    match schema.get("type"):
        case "object":
            required = set(schema.get("required", ()))
            fitting = st.fixed_dictionaries(
                {n: values(p, document, depth + 1) for n, p in schema.get("properties", {}).items() if n in required},
                optional={
                    n: values(p, document, depth + 1)
                    for n, p in schema.get("properties", {}).items()
                    if n not in required
                },
            )
            return fitting if schema.get("properties") else st.dictionaries(ODD_TEXT, ODD_TEXT, max_size=2)
        case "array":
            return st.lists(
                values(schema.get("items", {}), document, depth + 1), min_size=schema.get("minItems", 0), max_size=2
            )
        case "string" if "pattern" in schema:
            return (
                st.from_regex(schema["pattern"].replace("\\d", "[0-9]"), fullmatch=True).map(lambda text: text[:255])
                | ODD_TEXT
            )
        case "string" if schema.get("format") == "date-time":
            return st.sampled_from(
                ["2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "2026"]
            )
        case "string":
            return ODD_TEXT
        case "integer" | "number":
            return ODD_NUMBERS | st.integers(0, 3)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    return ODD_VALUES


@pytest.fixture(scope="module")
def document(api_server: RunningServer) -> dict[str, Any]:
    address = urlsplit(api_server.url).netloc
    connection = http.client.HTTPConnection(address)
    connection.request("GET", "/api/openapi.json", headers={"Authorization": f"Bearer {api_server.token}"})
    body: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return body


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_nothing_that_is_sent_is_answered_with_500(
    api: Requests, document: dict[str, Any], known: dict[str, str], data: st.DataObject
) -> None:
    operations = [
        (path, method, each) for path, methods in document["paths"].items() for method, each in methods.items()
    ]
    path, method, operation = data.draw(st.sampled_from(operations))
    sender = api
    if known["task"] and data.draw(st.booleans()) and path.startswith("/api/v1/tasks/{task_id}/"):
        sender = api.using(known["token"])
    query = []
    for parameter in operation.get("parameters", ()):
        value = data.draw(values(parameter["schema"], document))
        if parameter["in"] == "path":
            exact = known.get(parameter["name"].removesuffix("_id"), "")
            text = exact if exact and data.draw(st.integers(0, 3)) else str(value)
            path = path.replace("{" + parameter["name"] + "}", quote(text, safe="") or "x")
        elif parameter.get("required") or data.draw(st.booleans()):
            query.append(f"{parameter['name']}={quote(str(value), safe='')}")
    content = operation.get("requestBody", {}).get("content", {})
    body: Any = None
    if "application/json" in content:
        body = data.draw(values(content["application/json"]["schema"], document) | ODD_VALUES)
    elif content:
        body = data.draw(st.binary(max_size=20))
    if path.endswith("/finish") or (path.endswith("/enqueue") and sender is not api):
        body = data.draw(ODD_VALUES)  # the attempt is to live on
    target = path + ("?" + "&".join(query) if query else "")
    reply = sender.send(method.upper(), target, body=body)
    assert reply.status < 500, (method, target, body, reply)
    if reply.status >= 400:
        error = reply.body["error"]
        assert error["code"]
        assert error["message"]
        assert set(error) == {"code", "message", "hint"}


@pytest.fixture(scope="module")
def known(api_server: RunningServer) -> dict[str, str]:
    """Ids of things that are there, so that not every request ends at the first look."""
    from orchestrator.api.testing import Requests  # noqa: PLC0415  a fixture of one module

    api = Requests(api_server.url, token=api_server.token)
    task = api.post("/tasks", {"project": "p", "name": "n"}).body["id"]
    token = api.post(f"/tasks/{task}/start", {}).body["token"]
    version = api.post("/datasets", {"project": "p", "name": "d"}).body["id"]
    reference = api.post("/tasks", {"project": "p", "name": "r"}).body["id"]
    body = {
        "name": "t",
        "condition": {"kind": "dataset", "project": "p"},
        "action": {"kind": "clone", "task": reference},
    }
    trigger = api.put("/triggers", body).body["id"]
    file = {"path": "m", **api.post("/blobs", b"m").body}
    del file["sha256"]
    final = api.post("/datasets", {"project": "p", "name": "final"}).body["id"]
    api.post(f"/datasets/{final}/entries", {"put": [file]})
    assert api.post(f"/datasets/{final}/finalize").status == 200
    firing = api.post(f"/triggers/{trigger}/backfill", {}).body["results"][0]["firing_id"]
    model = api.post("/models", {"project": "p", "name": "m", "files": [file]}).body["model"]["id"]
    return {"task": task, "version": version, "key": trigger, "firing": firing, "model": model, "token": token}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nul",
        b"[" * 100_000,
        b'"\\ud800"',
        b"\xff\xfe",
        b'{"a": 1e999}',
        b'{"project": "p", "name": "\\ud800"}',
    ],
)
def test_a_body_that_is_no_json_is_refused(api: Requests, raw: bytes) -> None:
    reply = api.send("POST", "/tasks", body=raw, headers={"Content-Type": "application/json"})
    assert reply.status in {400, 422}
    assert reply.body["error"]["code"] == "invalid_request"


def test_a_refusal_names_the_field(api: Requests) -> None:
    reply = api.post("/tasks", {"project": "p", "name": "n", "priority": 1, "tags": ["a,b"]})
    assert reply.status == 422
    assert "body.priority" in reply.body["error"]["message"]
    assert "body.tags.0" in reply.body["error"]["message"]


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(api_server: RunningServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(api_server.url).netloc, timeout=5)
    connection.putrequest("POST", "/api/v1/tasks")
    connection.putheader("Authorization", f"Bearer {api_server.token}")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(LARGEST_BODY_BYTES + 1))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 422
    assert "32 MiB" in json.loads(response.read())["error"]["message"]
    connection.close()


@pytest.mark.parametrize(("method", "path"), [("POST", "tasks"), ("PUT", "events/cursors/console")])
def test_a_body_that_grows_too_large_is_refused_though_nobody_announced_its_length(
    api_server: RunningServer, method: str, path: str
) -> None:
    connection = http.client.HTTPConnection(urlsplit(api_server.url).netloc, timeout=10)
    pieces = [b" " * (1 << 20)] * (LARGEST_BODY_BYTES // (1 << 20) + 1)
    headers = {"Authorization": f"Bearer {api_server.token}", "Content-Type": "application/json"}
    connection.request(method, f"/api/v1/{path}", iter(pieces), headers, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 422
    assert "32 MiB" in json.loads(response.read())["error"]["message"]
    connection.close()


def test_what_does_not_exist_is_said_in_the_same_words(api: Requests) -> None:
    for path in ("/nothing", "/tasks/x", f"/datasets/{'0' * 32}", "/triggers/x", "/api/nothing", "/"):
        reply = api.get(path)
        assert (reply.status, reply.body["error"]["code"]) == (404, "not_found"), path
    assert api.send("DELETE", "/tasks").status == 405
