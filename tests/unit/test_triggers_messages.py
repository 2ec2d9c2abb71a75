from __future__ import annotations

import smtplib
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.records.action import MessageAction
from orchestrator.records.condition import FiringCondition, ScheduleCondition
from orchestrator.records.event import EventType
from triggers import messages
from triggers.messages import MOST_EVENTS, MailServer, Messages, letter_of
from triggers.outgoing import Undelivered
from triggers.secrets import Secrets
from triggers.testing import FIRING, NOW, make_event, make_work

if TYPE_CHECKING:
    from collections.abc import Iterable

    from triggers.messages import Letter

OPS = MessageAction(to=("slack:ops", "mailto:night@example.com"))
URL = "https://hooks.example/T0/secret-path"


def test_a_message_says_its_trigger_what_happened_and_the_ids() -> None:
    letter = letter_of(make_work(OPS), OPS)
    assert letter.subject == "nightly: sensors tagged"
    assert "Trigger nightly" in letter.text
    assert "occupancy/sensors@1.0.0 was tagged Production" in letter.text
    assert "(event 1)" in letter.text
    assert f"firing {FIRING}" in letter.text


def test_a_message_about_closed_gates_says_the_numbers() -> None:
    checks = [{"name": "max_psi of CO2", "passed": False, "reason": "PSI is 0.31; at most 0.25 is allowed."}]
    event = make_event(
        type=EventType.TRIGGER_BLOCKED,
        name="retrain",
        firing="e" * 32,
        status="blocked",
        reason="A gate is closed.",
        gate=checks,
        condition_kind="dataset",
    )
    letter = letter_of(make_work(OPS, events=[event], condition=FiringCondition()), OPS)
    assert letter.subject == "nightly: retrain blocked"
    assert "A gate is closed." in letter.text
    assert "- max_psi of CO2: PSI is 0.31; at most 0.25 is allowed." in letter.text
    assert f"firing {'e' * 32}" in letter.text


def test_a_message_about_many_events_tells_of_the_newest() -> None:
    events = [make_event(number) for number in range(1, MOST_EVENTS + 6)]
    letter = letter_of(make_work(OPS, events=events), OPS)
    assert letter.subject == f"nightly: sensors tagged and {len(events) - 1} more"
    assert letter.text.count("was tagged") == MOST_EVENTS
    assert "(event 25)" in letter.text
    assert "(event 5)" not in letter.text
    assert "5 earlier events are left out." in letter.text


def test_a_message_of_a_schedule_says_the_time() -> None:
    work = make_work(OPS, events=[], condition=ScheduleCondition(cron="0 3 * * *"), occurrence_at=NOW)
    letter = letter_of(work, OPS)
    assert letter.subject == "nightly: it is time"
    assert NOW.isoformat() in letter.text


def test_texts_of_ones_own_are_filled_in() -> None:
    action = MessageAction(to=("slack:ops",), subject="New: ${dataset.name}", text="See ${dataset.name}\n$$5")
    letter = letter_of(make_work(action, values={"dataset.name": "sensors"}), action)
    assert letter == ("New: sensors", "See sensors\n$5")


def test_a_subject_is_one_line() -> None:
    action = MessageAction(to=("slack:ops",), subject="a ${dataset.name}")
    letter = letter_of(make_work(action, values={"dataset.name": "b\r\nBcc: everybody@example.com"}), action)
    assert letter.subject == "a b Bcc: everybody@example.com"


class Posts:
    """Takes what would be sent; refuses whom it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, refused: Iterable[str] = ()) -> None:
        self.refused = set(refused)
        self.told: list[str] = []
        monkeypatch.setattr(messages, "_post_to_slack", self._slack)
        monkeypatch.setattr(messages, "_hand_in", self._mail)

    def _slack(self, url: str, letter: Letter, *, name: str) -> None:
        assert url.startswith("https://")
        assert letter.subject
        self._take(name)

    def _mail(self, mail: object, server: MailServer, *, name: str) -> None:
        assert mail
        assert server
        self._take(name)

    def _take(self, name: str) -> None:
        if name in self.refused:
            raise Undelivered(f"{name} answered 500.")
        self.told.append(name)


def sender(**environ: str) -> Messages:
    known = {
        "RETRAIN_SECRET_OPS": URL,
        "RETRAIN_SMTP_URL": "smtp://mail.example",
        "RETRAIN_SMTP_FROM": "Retraining <retrain@example.com>",
    } | environ
    return Messages(secrets=Secrets(known), mail_server=MailServer.from_environ(known))


def test_everybody_is_told_once_though_another_could_not_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    posts = Posts(monkeypatch, refused=["slack:ops"])
    told_by = sender()
    with pytest.raises(Undelivered, match=r"slack:ops answered 500\.$"):
        told_by.send(make_work(OPS), OPS, now=NOW)
    assert posts.told == ["mailto:night@example.com"]
    posts.refused.clear()
    assert told_by.send(make_work(OPS), OPS, now=NOW) == list(OPS.to)
    assert posts.told == ["mailto:night@example.com", "slack:ops"]


def test_each_that_could_not_be_reached_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    Posts(monkeypatch, refused=OPS.to)
    with pytest.raises(Undelivered) as caught:
        sender().send(make_work(OPS), OPS, now=NOW)
    assert str(caught.value) == "slack:ops answered 500.\nmailto:night@example.com answered 500."


def test_somebody_named_twice_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    posts = Posts(monkeypatch)
    action = MessageAction(to=("slack:ops", "slack:ops"))
    sender().send(make_work(action), action, now=NOW)
    assert posts.told == ["slack:ops"]


def test_whom_it_has_reached_is_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    posts = Posts(monkeypatch)
    monkeypatch.setattr(messages, "REMEMBERED", 1)
    told_by = sender()
    action = MessageAction(to=("slack:ops",))
    first = make_work(action)
    second = first.changed(firing=first.firing.changed(id="e" * 32))
    for work in (first, second, second, first):
        told_by.send(work, action, now=NOW)
    assert len(posts.told) == 3


def test_without_a_mail_server_or_a_secret_the_line_that_sets_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Posts(monkeypatch)
    with pytest.raises(Undelivered) as caught:
        sender(RETRAIN_SMTP_URL="", RETRAIN_SECRET_OPS="").send(make_work(OPS), OPS, now=NOW)
    assert "RETRAIN_SECRET_OPS=" in str(caught.value)
    assert "RETRAIN_SMTP_URL=" in str(caught.value)
    assert not isinstance(caught.value, NotFound)


def test_a_mail_server_is_read_from_the_environment() -> None:
    environ = {"RETRAIN_SMTP_URL": "smtps://me%40x:p%3Aw@mail.example", "RETRAIN_SMTP_FROM": "retrain@example.com"}
    server = MailServer.from_environ(environ)
    assert server is not None
    assert (server.host, server.port, server.encrypted) == ("mail.example", 465, True)
    assert (server.user, server.password) == ("me@x", "p:w")
    assert "p:w" not in repr(server)
    assert MailServer.from_environ({}) is None


@pytest.mark.parametrize(
    "url", ["mail.example", "https://mail.example", "smtp://", "smtp://user:open-sesame@mail:port"]
)
def test_a_mail_server_of_another_form_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidRequest, match="RETRAIN_SMTP_URL") as caught:
        MailServer.from_environ({"RETRAIN_SMTP_URL": url, "RETRAIN_SMTP_FROM": "a@example.com"})
    assert "open-sesame" not in str(caught.value)


@pytest.mark.parametrize("address", ["", "nobody", "Retraining <>"])
def test_mails_need_a_sender(address: str) -> None:
    with pytest.raises(InvalidRequest, match="RETRAIN_SMTP_FROM"):
        MailServer.from_environ({"RETRAIN_SMTP_URL": "smtp://mail.example", "RETRAIN_SMTP_FROM": address})


def test_what_the_mail_server_says_is_told_and_the_password_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"RETRAIN_SMTP_URL": "smtps://me:open-sesame@mail.example", "RETRAIN_SMTP_FROM": "r@example.com"}
    secrets = Secrets(environ)
    told_by = Messages(secrets=secrets, mail_server=MailServer.from_environ(environ))

    def refuse(_server: MailServer) -> smtplib.SMTP:
        raise smtplib.SMTPAuthenticationError(535, b"no: open-sesame")

    monkeypatch.setattr(messages, "_connected", refuse)
    action = MessageAction(to=("mailto:night@example.com",))
    with pytest.raises(Undelivered) as caught:
        told_by.send(make_work(action), action, now=NOW)
    assert secrets.hide(str(caught.value)) == "mailto:night@example.com: mail.example answered 535 no: ***."
