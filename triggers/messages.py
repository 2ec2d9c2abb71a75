"""Messages to people: to Slack by an incoming webhook, by e-mail through an SMTP server.

A message is sent at least once. Where one recipient cannot be reached the firing fails and is tried again; this process
remembers whom it has reached and does not tell them twice, another process that takes over does not know. Mails carry
the firing's id in `Message-ID`, so that mailboxes can tell.
"""

from __future__ import annotations

import hashlib
import json
import smtplib
import ssl
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from orchestrator.errors import InvalidRequest, NotFound, OrchestratorError
from triggers import outgoing
from triggers.conditions import matches
from triggers.outgoing import Undelivered
from triggers.templates import fill

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from orchestrator.records.action import MessageAction
    from orchestrator.records.event import Event
    from orchestrator.wire import FiringWork
    from triggers.secrets import Secrets

URL_VARIABLE = "RETRAIN_SMTP_URL"
FROM_VARIABLE = "RETRAIN_SMTP_FROM"
TIMEOUT_SECONDS = 20.0
REMEMBERED = 1000
"""Firings of which it is known whom they have reached, at most."""
MOST_EVENTS = 20
"""Events that a message without a text of its own tells of, at most."""
_PORTS = {"smtp": 25, "smtps": 465}
_SLACK_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Letter(NamedTuple):
    """What people read."""

    subject: str
    text: str


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """Where mails are handed in. With `smtp` it goes on in TLS where the server offers that."""

    host: str
    port: int
    encrypted: bool
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> MailServer | None:
        """Read `RETRAIN_SMTP_URL` and `RETRAIN_SMTP_FROM`; None where there is no URL.

        Raises:
            InvalidRequest: they are not of their form; the message holds no password.
        """
        url = environ.get(URL_VARIABLE, "")
        if not url:
            return None
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in _PORTS:
            raise InvalidRequest(
                f"{URL_VARIABLE} names no mail server.", hint="Write it like smtps://user:password@mail.example:465."
            )
        sender = environ.get(FROM_VARIABLE, "")
        if "@" not in parseaddr(sender)[1]:
            raise InvalidRequest(
                f"{FROM_VARIABLE} is {sender!r}, which is no address to send mails from.",
                hint="Write it like 'Retraining <retrain@example.com>'.",
            )
        return cls(
            host=host,
            port=port or _PORTS[parts.scheme],
            encrypted=parts.scheme == "smtps",
            sender=sender,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )


class Messages:
    """Sends messages. Safe between threads.

    Args:
        secrets: have the addresses of Slack's incoming webhooks.
        mail_server: None where this process sends no mails.
    """

    def __init__(self, *, secrets: Secrets, mail_server: MailServer | None) -> None:
        self._secrets = secrets
        self._mail_server = mail_server
        if mail_server is not None and mail_server.password:
            secrets.keep_hidden(mail_server.password)
        self._lock = threading.Lock()
        self._reached: OrderedDict[str, set[str]] = OrderedDict()

    def send(self, work: FiringWork, action: MessageAction, *, now: datetime) -> list[str]:
        """Tell every recipient that was not told of this firing before; return all of them.

        Args:
            work: the firing.
            action: whom to tell, and what.
            now: by the database's clock.

        Raises:
            Undelivered: some could not be told; the message says for each why.
        """
        letter = letter_of(work, action)
        failures: list[OrchestratorError] = []
        for recipient in dict.fromkeys(action.to):
            if recipient in self._reached.get(work.firing.id, ()):
                continue
            try:
                self._tell(recipient, letter, firing_id=work.firing.id, now=now)
            except OrchestratorError as error:
                failures.append(error)
            else:
                self._remember(work.firing.id, recipient)
        if failures:
            raise Undelivered("\n".join(map(str, failures)))
        return list(dict.fromkeys(action.to))

    def _tell(self, recipient: str, letter: Letter, *, firing_id: str, now: datetime) -> None:
        kind, _, address = recipient.partition(":")
        if kind == "slack":
            _post_to_slack(self._secrets.get(address), letter, name=recipient)
            return
        if self._mail_server is None:
            raise NotFound(
                f"{recipient} gets no mail: the scheduler knows no mail server.",
                hint=f"Start it with {URL_VARIABLE}=smtps://user:password@host and {FROM_VARIABLE}=you@example.com.",
            )
        mail = _mail(letter, sender=self._mail_server.sender, to=address, firing_id=firing_id, now=now)
        _hand_in(mail, self._mail_server, name=recipient)

    def _remember(self, firing_id: str, recipient: str) -> None:
        with self._lock:
            self._reached.setdefault(firing_id, set()).add(recipient)
            while len(self._reached) > REMEMBERED:
                self._reached.popitem(last=False)


def letter_of(work: FiringWork, action: MessageAction) -> Letter:
    """Return what a firing has to say: the action's texts, filled in, or what happened, with the numbers and ids."""
    subject = _subject(work) if action.subject is None else fill(action.subject, work.values)
    text = "\n".join(_lines(work)) if action.text is None else fill(action.text, work.values)
    return Letter(" ".join(subject.split()), text)


def _subject(work: FiringWork) -> str:
    if not work.events:
        return f"{work.trigger.name}: it is time"
    newest = work.events[-1]
    more = f" and {len(work.events) - 1} more" if len(work.events) > 1 else ""
    about = newest.data.get("name") or newest.subject
    return f"{work.trigger.name}: {about} {newest.type.partition('.')[2].replace('_', ' ')}{more}"


def _lines(work: FiringWork) -> Iterator[str]:
    yield f"Trigger {work.trigger.name}"
    if work.firing.occurrence_at is not None:
        yield f"It is time: {work.firing.occurrence_at.isoformat()}"
    for event in work.events[-MOST_EVENTS:]:
        yield ""
        yield matches(work.trigger.condition, event).reason
        yield from _facts(event)
    if len(work.events) > MOST_EVENTS:
        yield ""
        yield f"{len(work.events) - MOST_EVENTS} earlier events are left out."
    yield ""
    yield f"firing {work.firing.id}"


def _facts(event: Event) -> Iterator[str]:
    """Yield what an event says beside that it happened: why, the checks that did not pass, ids."""
    data = event.data
    if data.get("reason"):
        yield str(data["reason"])
    for check in data.get("gate") or ():
        yield f"- {check['name']}: {check['reason']}"
    yield f"{event.type} of {event.subject} at {event.at.isoformat()} (event {event.id})"
    for name in ("firing", "task"):
        if data.get(name):
            yield f"{name} {data[name]}"


def _post_to_slack(url: str, letter: Letter, *, name: str) -> None:
    subject, text = (part.translate(_SLACK_ESCAPES) for part in letter)
    outgoing.post(
        url,
        json.dumps({"text": f"*{subject}*\n{text}"}).encode(),
        headers={},
        timeout_seconds=TIMEOUT_SECONDS,
        policy=outgoing.ANYWHERE,  # whoever runs the scheduler has set it
        name=name,
    )


def _mail(letter: Letter, *, sender: str, to: str, firing_id: str, now: datetime) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = letter.subject
    mail["Date"] = format_datetime(now)
    recipient = hashlib.sha256(to.encode()).hexdigest()[:16]
    mail["Message-ID"] = f"<{firing_id}.{recipient}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is told to a scheduler
    mail.set_content(letter.text)
    return mail


def _hand_in(mail: EmailMessage, server: MailServer, *, name: str) -> None:
    try:
        with _connected(server) as connection:
            if server.user:
                connection.login(server.user, server.password)
            connection.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        said = "; ".join(f"{code} {_said(text)}" for code, text in error.recipients.values())
        raise Undelivered(f"{name}: {server.host} refused the recipient: {said}.") from None
    except smtplib.SMTPResponseException as error:
        raise Undelivered(f"{name}: {server.host} answered {error.smtp_code} {_said(error.smtp_error)}.") from None
    except (OSError, smtplib.SMTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Undelivered(f"{name}: {server.host} port {server.port} does not take mails: {why}.") from None


def _connected(server: MailServer) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if server.encrypted:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_SECONDS, context=context)
    connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    try:
        _encrypt(connection, context=context, required=bool(server.user))
    except BaseException:
        connection.close()
        raise
    return connection


def _encrypt(connection: smtplib.SMTP, *, context: ssl.SSLContext, required: bool) -> None:
    connection.ehlo()
    if connection.has_extn("starttls"):
        connection.starttls(context=context)
    elif required:
        raise smtplib.SMTPNotSupportedError("it offers no TLS, and a password is not sent without")


def _said(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
