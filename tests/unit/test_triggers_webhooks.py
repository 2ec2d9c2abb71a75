from __future__ import annotations

import base64
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import Forbidden, InvalidRequest, NotFound, UnknownTemplateName
from orchestrator.records.action import WebhookAction
from orchestrator.records.condition import ScheduleCondition
from orchestrator.records.links import LinkPolicy
from orchestrator.settings import webhook_prefixes
from triggers import outgoing, webhooks
from triggers.outgoing import Undelivered
from triggers.secrets import Secrets
from triggers.testing import DATASET, FIRING, NOW, make_event, make_work

if TYPE_CHECKING:
    from collections.abc import Callable

PUBLIC_ONLY = LinkPolicy(public_only=True, prefixes=("http://hooks.intern/", "https://hooks.intern/"))
PUBLIC_ADDRESS, PRIVATE_ADDRESS = "93.184.216.34", "10.0.0.7"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """What each name stands for, each time that it is asked for; the last answer stays."""
    known: dict[str, list[list[str]]] = {}

    def look_up(host: str, port: int, **_: object) -> list[Any]:
        answers = known.get(host, [[host]])
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@pytest.fixture
def connected_to(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where somebody tried to connect to; nobody answers."""
    tried: list[str] = []

    def connect(target: tuple[str, int], *_: object, **__: object) -> socket.socket:
        tried.append(target[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    return tried


def post(url: str, *, policy: LinkPolicy = PUBLIC_ONLY) -> outgoing.Answer:
    return outgoing.post(url, b"{}", headers={}, timeout_seconds=5, policy=policy, name="It")


def test_a_signature_is_that_of_the_specification() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = webhooks.signature(
        b'{"test": 2432232314}', key=key, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp="1614265330"
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def sent(monkeypatch: pytest.MonkeyPatch, action: WebhookAction, **environ: str) -> dict[str, Any]:
    taken: dict[str, Any] = {}

    def take(url: str, body: bytes, **how: Any) -> outgoing.Answer:  # noqa: ANN401  what is sent
        taken.update(how, url=url, body=body)
        return outgoing.Answer(200, "thanks")

    monkeypatch.setattr(webhooks, "post", take)
    result = webhooks.send(make_work(action), action, secrets=Secrets(environ), policy=PUBLIC_ONLY, now=NOW)
    assert result == {"status": 200, "answer": "thanks"}
    return taken


@pytest.mark.parametrize(
    ("secret", "key"), [("whsec_" + base64.b64encode(b"\x01key").decode(), b"\x01key"), ("plain text", b"plain text")]
)
def test_a_webhook_is_signed_with_the_key_that_the_secret_stands_for(
    monkeypatch: pytest.MonkeyPatch, secret: str, key: bytes
) -> None:
    action = WebhookAction(url="https://example.com/hook", secret="deploy")
    taken = sent(monkeypatch, action, RETRAIN_SECRET_DEPLOY=secret)
    stamp = str(int(NOW.timestamp()))
    assert taken["headers"] == {
        "webhook-id": FIRING,
        "webhook-timestamp": stamp,
        "webhook-signature": webhooks.signature(taken["body"], key=key, message_id=FIRING, timestamp=stamp),
    }


def test_a_webhook_without_a_secret_is_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = sent(monkeypatch, WebhookAction(url="https://user:word@example.com/hook?token=1"))
    assert set(taken["headers"]) == {"webhook-id", "webhook-timestamp"}
    assert taken["name"] == "The webhook at https://example.com/hook"


def test_a_secret_that_is_missing_or_no_key_is_told_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    action = WebhookAction(url="https://example.com/hook", secret="deploy")
    with pytest.raises(NotFound, match="RETRAIN_SECRET_DEPLOY="):
        sent(monkeypatch, action)
    with pytest.raises(InvalidRequest) as caught:
        sent(monkeypatch, action, RETRAIN_SECRET_DEPLOY="whsec_no base64!")
    assert "no base64!" not in str(caught.value)


def test_texts_of_a_body_are_filled_in_wherever_they_stand() -> None:
    body = {"id": "${dataset.id}", "list": ["v${dataset.version}", 1, None, {"price": "$$5"}], "${dataset.id}": True}
    action = WebhookAction(url="https://example.com", body=body)
    work = make_work(action, values={"dataset.id": DATASET, "dataset.version": '1.0.0"'})
    assert webhooks.body_of(work, action, now=NOW) == {
        "id": DATASET,
        "list": ['v1.0.0"', 1, None, {"price": "$5"}],
        "${dataset.id}": True,
    }


def test_a_name_that_has_no_value_fails() -> None:
    action = WebhookAction(url="https://example.com", body="${dataset.id}")
    with pytest.raises(UnknownTemplateName):
        webhooks.body_of(make_work(action), action, now=NOW)


def test_without_a_body_trigger_firing_and_events_are_told() -> None:
    action = WebhookAction(url="https://example.com")
    work = make_work(action, events=[make_event(1), make_event(2)])
    body = webhooks.body_of(work, action, now=NOW)
    assert (body["type"], body["timestamp"]) == ("dataset.tagged", NOW.isoformat())
    assert body["data"]["trigger"] == {"id": f"{1:032x}", "name": "nightly", "revision": 1}
    assert body["data"]["firing"] == {"id": FIRING, "occurrence_at": None}
    assert [event["id"] for event in body["data"]["events"]] == [1, 2]


def test_a_time_of_a_schedule_is_told_without_events() -> None:
    action = WebhookAction(url="https://example.com")
    at = datetime(2026, 1, 2, 3, tzinfo=UTC)
    work = make_work(action, events=[], condition=ScheduleCondition(cron="0 3 * * *"), occurrence_at=at)
    body = webhooks.body_of(work, action, now=NOW)
    assert (body["type"], body["timestamp"], body["data"]["events"]) == ("schedule", at.isoformat(), [])


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"],  # noqa: S104  addresses to refuse
)
@pytest.mark.usefixtures("names")
def test_an_address_inside_is_refused(address: str, connected_to: list[str]) -> None:
    with pytest.raises(Forbidden, match="RETRAIN_WEBHOOK_PREFIXES"):
        post(f"https://{address}/hook")
    assert connected_to == []


def test_a_name_that_stands_for_an_address_inside_as_well_is_refused(
    names: dict[str, list[list[str]]], connected_to: list[str]
) -> None:
    names["example.com"] = [[PUBLIC_ADDRESS, PRIVATE_ADDRESS]]
    with pytest.raises(Forbidden, match="not on the public internet"):
        post("https://example.com/hook")
    assert connected_to == []


def test_the_address_that_was_looked_at_is_connected_to_whatever_the_name_stands_for_by_then(
    names: dict[str, list[list[str]]], connected_to: list[str]
) -> None:
    names["example.com"] = [[PUBLIC_ADDRESS], [PRIVATE_ADDRESS]]
    with pytest.raises(Undelivered, match="Connection refused"):
        post("https://example.com/hook")
    assert connected_to == [PUBLIC_ADDRESS]


@pytest.mark.usefixtures("names")
def test_plain_http_is_refused_unless_it_is_allowed(connected_to: list[str]) -> None:
    with pytest.raises(Forbidden, match="http://"):
        post("http://example.com/hook")
    with pytest.raises(Undelivered, match="Connection refused"):
        post("http://hooks.intern/a")
    assert connected_to == ["hooks.intern"]


@pytest.mark.parametrize(
    "url", ["http://hooks.intern.evil.example/", "http://hooks.intern@evil.example/", "http://hooks.intern/../x"]
)
@pytest.mark.usefixtures("names")
def test_an_address_that_only_looks_like_an_allowed_one_is_refused(url: str, connected_to: list[str]) -> None:
    with pytest.raises(Forbidden):
        post(url)
    assert connected_to == []


@pytest.mark.parametrize("url", ["ftp://example.com/", "https:///path", "https://example.com:many/", "nothing"])
def test_what_is_no_address_on_the_web_is_not_sent_to(url: str) -> None:
    with pytest.raises(Undelivered):
        post(url, policy=outgoing.ANYWHERE)


def test_allowed_beginnings_come_from_the_environment() -> None:
    environ = {"RETRAIN_WEBHOOK_PREFIXES": "http://hooks.intern/, https://10.0.0.1/a"}
    assert webhook_prefixes(environ) == ("http://hooks.intern/", "https://10.0.0.1/a")
    assert webhook_prefixes({}) == ()
    for wrong in ("http://hooks.intern", "hooks.intern/", "https://"):
        with pytest.raises(InvalidRequest, match="RETRAIN_WEBHOOK_PREFIXES"):
            webhook_prefixes({"RETRAIN_WEBHOOK_PREFIXES": wrong})


@pytest.fixture
def unresolvable(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def look_up(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return look_up


@pytest.mark.usefixtures("unresolvable")
def test_a_name_that_stands_for_nothing_is_told() -> None:
    with pytest.raises(Undelivered, match="stands for no address"):
        post("https://nowhere.example/")
