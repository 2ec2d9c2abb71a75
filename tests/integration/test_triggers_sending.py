"""Webhooks and messages to real receivers on this machine."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

import pytest
from aiosmtpd.controller import Controller

from orchestrator.records.action import MessageAction, WebhookAction
from triggers import outgoing
from triggers.actions import Actions
from triggers.outgoing import ANSWER_BYTES, Undelivered
from triggers.testing import DATASET, FIRING, NOW, make_hold, make_work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import EmailMessage

    from aiosmtpd.smtp import SMTP, Envelope, Session

    from orchestrator.records.action import Action
    from triggers.performing import Performed

SECRET = "whsec_" + base64.b64encode(b"between us").decode()


class Received(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Takes webhooks, and answers as it is told to."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = answered(200, b"thanks")
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append(Received(self.path, headers, body))
                receiver.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def answered(status: int, body: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


class AnyPort(Controller):
    """Runs on a free port: it looks for itself where it was told to be, which is no place."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Mailbox:
    """An SMTP server that keeps what it takes, and refuses whom it is told to."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.refused: set[str] = set()
        self._controller = AnyPort(self, hostname="127.0.0.1", port=0)
        self._controller.start()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self._controller.port}"

    async def handle_RCPT(  # noqa: N802  aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's
        assert isinstance(envelope.content, bytes)
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 OK"

    def close(self) -> None:
        self._controller.stop()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    yield mailbox
    mailbox.close()


def perform(action: Action, *, environ: dict[str, str], values: dict[str, str] | None = None) -> Performed:
    return Actions(None, environ=environ).perform(make_hold(make_work(action, values=values)))


def send(receiver: Receiver, *, path: str = "/hook", **fields: object) -> Performed:
    action = WebhookAction(url=receiver.url + path, **fields)
    environ = {"RETRAIN_WEBHOOK_PREFIXES": f"{receiver.url}/", "RETRAIN_SECRET_DEPLOY": SECRET}
    return perform(action, environ=environ, values={"dataset.id": DATASET})


def test_a_webhook_arrives_signed_so_that_the_receiver_can_tell(receiver: Receiver) -> None:
    performed = send(receiver, path="/hook?to=canary", secret="deploy", body={"version": "${dataset.id}", "ü": 1})
    assert performed.result == {"status": 200, "answer": "thanks"}
    ((path, headers, body),) = receiver.received
    assert path == "/hook?to=canary"
    assert json.loads(body) == {"version": DATASET, "ü": 1}
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == FIRING
    assert abs(int(headers["webhook-timestamp"]) - NOW.timestamp()) < 60
    signed = f"{FIRING}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(b"between us", signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_a_webhook_without_a_body_of_its_own_tells_what_happened(receiver: Receiver) -> None:
    send(receiver)
    body = json.loads(receiver.received[0].body)
    assert body["type"] == "dataset.tagged"
    assert body["data"]["events"][0]["subject"] == DATASET


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_taken(receiver: Receiver, status: int) -> None:
    receiver.answer = answered(status)
    performed = send(receiver)
    assert performed.result == {"status": status, "answer": ""}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "answered 400: no such field"),
        (404, "look at the receiver"),
        (410, "nobody is there any more"),
        (408, "answered 408."),
        (425, "answered 425."),
        (429, "answered 429."),
        (500, "answered 500."),
        (503, "answered 503."),
    ],
)
def test_anything_else_fails_with_its_status(receiver: Receiver, status: int, words: str) -> None:
    receiver.answer = answered(status, b"no such\nfield")
    with pytest.raises(Undelivered) as caught:
        send(receiver)
    assert words in str(caught.value)
    assert len(receiver.received) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answer = answered(status, Location=f"{receiver.url}/inside?token=secret")
    with pytest.raises(Undelivered, match=r"points to http://127\.0\.0\.1, which is not followed") as caught:
        send(receiver)
    assert "secret" not in str(caught.value)
    assert [each.path for each in receiver.received] == ["/hook"]


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
    for number in range(100):
        time.sleep(0.05)
        try:
            handler.wfile.write(f"X-{number}: 1\r\n".encode())
            handler.wfile.flush()
        except OSError:
            return


@pytest.mark.parametrize("answer", [lambda _handler: time.sleep(1), drip])
def test_an_answer_that_does_not_come_in_time_is_not_waited_for(
    receiver: Receiver, answer: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    receiver.answer = answer
    before = time.monotonic()
    with pytest.raises(Undelivered, match=r"nothing within 0\.3 s"):
        send(receiver, timeout_seconds=0.3)
    assert time.monotonic() - before < 0.9


def test_a_body_that_drips_in_does_not_undo_that_it_was_taken(receiver: Receiver) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            time.sleep(0.05)
            try:
                handler.wfile.write(b"x")
                handler.wfile.flush()
            except OSError:
                return

    receiver.answer = answer
    before = time.monotonic()
    performed = send(receiver, timeout_seconds=0.3)
    assert performed.result is not None
    assert performed.result["status"] == 200
    assert time.monotonic() - before < 0.9


def test_of_a_long_answer_the_beginning_is_read(receiver: Receiver) -> None:
    receiver.answer = answered(200, b"x" * (ANSWER_BYTES + 1))
    answer = outgoing.post(
        receiver.url, b"{}", headers={}, timeout_seconds=5, policy=outgoing.ANYWHERE, name="The receiver"
    )
    assert len(answer.text) == ANSWER_BYTES
    performed = send(receiver)
    assert performed.result is not None
    assert len(performed.result["answer"]) == 1000


def test_what_is_no_http_is_told(receiver: Receiver) -> None:
    receiver.answer = lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n") and None
    with pytest.raises(Undelivered, match="does not answer: SSH"):
        send(receiver)


def test_nobody_there_is_told(receiver: Receiver) -> None:
    receiver.close()
    with pytest.raises(Undelivered, match="Connection refused"):
        send(receiver)


def tell(receiver: Receiver, mailbox: Mailbox, *to: str, **fields: str) -> Performed:
    environ = {
        "RETRAIN_SECRET_OPS": f"{receiver.url}/T0/secret-path",
        "RETRAIN_SMTP_URL": mailbox.url,
        "RETRAIN_SMTP_FROM": "Retraining <retrain@example.com>",
    }
    return perform(MessageAction(to=to, **fields), environ=environ, values={"dataset.id": DATASET})


def test_a_message_arrives_in_slack_and_in_a_mailbox(receiver: Receiver, mailbox: Mailbox) -> None:
    fields = {"subject": "Neue Daten für <${dataset.id}>", "text": "a & b"}
    performed = tell(receiver, mailbox, "slack:ops", "mailto:night@example.com", **fields)
    assert performed.result == {"to": ["slack:ops", "mailto:night@example.com"]}
    assert receiver.received[0].path == "/T0/secret-path"
    assert json.loads(receiver.received[0].body) == {"text": f"*Neue Daten für &lt;{DATASET}&gt;*\na &amp; b"}
    ((to, mail),) = mailbox.mails
    assert to == ["night@example.com"]
    assert mail["From"] == "Retraining <retrain@example.com>"
    assert mail["Subject"] == f"Neue Daten für <{DATASET}>"
    assert mail["Message-ID"].startswith(f"<{FIRING}.")
    assert mail.get_content().strip() == "a & b"


def test_a_message_of_its_own_words_arrives(receiver: Receiver, mailbox: Mailbox) -> None:
    tell(receiver, mailbox, "mailto:night@example.com")
    assert mailbox.mails[0][1]["Subject"] == "nightly: sensors tagged"
    assert "occupancy/sensors@1.0.0 was tagged Production" in mailbox.mails[0][1].get_content()


def test_a_refused_recipient_is_named_with_what_the_mail_server_said(receiver: Receiver, mailbox: Mailbox) -> None:
    mailbox.refused.add("nobody@example.com")
    with pytest.raises(Undelivered, match=r"mailto:nobody@example\.com: .* refused the recipient: 550 No such mailbox"):
        tell(receiver, mailbox, "mailto:nobody@example.com", "mailto:night@example.com")
    assert [to for to, _ in mailbox.mails] == [["night@example.com"]]


def test_slacks_address_is_never_told(receiver: Receiver, mailbox: Mailbox) -> None:
    receiver.answer = answered(404, b"no_service")
    with pytest.raises(Undelivered, match="slack:ops answered 404: no_service") as caught:
        tell(receiver, mailbox, "slack:ops")
    assert "secret-path" not in str(caught.value)
    receiver.close()
    with pytest.raises(Undelivered, match="slack:ops does not answer: Connection refused") as caught:
        tell(receiver, mailbox, "slack:ops")
    assert "127.0.0.1" not in str(caught.value)


def test_a_password_is_not_sent_without_tls(receiver: Receiver, mailbox: Mailbox) -> None:
    environ = {
        "RETRAIN_SMTP_URL": mailbox.url.replace("://", "://me:open-sesame@"),
        "RETRAIN_SMTP_FROM": "retrain@example.com",
    }
    with pytest.raises(Undelivered, match="a password is not sent without"):
        perform(MessageAction(to=("mailto:night@example.com",)), environ=environ)
    assert receiver.received == mailbox.mails == []


def test_a_mail_server_that_is_away_is_told(receiver: Receiver) -> None:
    receiver.close()
    environ = {
        "RETRAIN_SMTP_URL": receiver.url.replace("http", "smtp"),
        "RETRAIN_SMTP_FROM": "retrain@example.com",
    }
    with pytest.raises(Undelivered, match="does not take mails: Connection refused"):
        perform(MessageAction(to=("mailto:night@example.com",)), environ=environ)
