"""Queues, agents, principals, answers and settings."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import AlreadyExists, Conflict, NotFound
from orchestrator.records.principal import Role
from orchestrator.store.testing.records import (
    a_principal,
    a_queue,
    a_task,
    an_agent,
    an_attempt,
    each,
    moment,
    new_id,
)

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.store.protocol import Store, Transaction


class SystemContract:
    """What the system is made of."""

    def test_queues_have_names(self, store: Store) -> None:
        store.write(each([a_queue("gpu"), a_queue("default")], lambda tx: tx.queues.add))
        assert store.read(lambda tx: tx.queues.get("gpu")) == a_queue("gpu")
        assert store.read(lambda tx: tx.queues.all()) == [a_queue("default"), a_queue("gpu")]
        with pytest.raises(AlreadyExists, match="gpu"):
            store.write(lambda tx: tx.queues.add(a_queue("gpu")))
        with pytest.raises(NotFound, match="GPU"):
            store.read(lambda tx: tx.queues.get("GPU"))

    def test_an_agent_that_registers_again_is_updated(self, store: Store) -> None:
        agent = an_agent("node-2")
        other = an_agent("node-1")
        seen = agent.changed(seen_at=moment(5))
        store.write(each((agent, other, seen), lambda tx: tx.agents.put))
        assert store.read(lambda tx: tx.agents.get(agent.id)) == seen
        assert store.read(lambda tx: tx.agents.by_name("node-2")) == seen
        assert store.read(lambda tx: tx.agents.by_name("node-3")) is None
        assert store.read(lambda tx: tx.agents.all()) == [other, seen]
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.agents.get(new_id()))

    @pytest.mark.parametrize(
        ("expires", "revoked", "valid"),
        [(None, None, True), (3600, None, True), (-3600, None, False), (None, -1, False), (3600, -1, False)],
    )
    def test_a_token_is_good_until_it_is_revoked_or_expires(
        self, store: Store, expires: float | None, revoked: float | None, *, valid: bool
    ) -> None:
        now = store.read(lambda tx: tx.now())

        def shifted(seconds: float | None) -> datetime | None:
            return None if seconds is None else now + (moment(seconds) - moment(0))

        principal = a_principal(expires_at=shifted(expires), revoked_at=shifted(revoked))
        store.write(lambda tx: tx.principals.add(principal, token_sha256="a" * 64))
        assert store.read(lambda tx: tx.principals.by_token("a" * 64)) == (principal if valid else None)
        assert store.read(lambda tx: tx.principals.by_token("b" * 64)) is None
        assert store.read(lambda tx: tx.principals.get(principal.id)) == principal

    def test_a_token_has_one_bearer(self, store: Store) -> None:
        store.write(lambda tx: tx.principals.add(a_principal(), token_sha256="a" * 64))
        with pytest.raises(AlreadyExists):
            store.write(lambda tx: tx.principals.add(a_principal(), token_sha256="a" * 64))

    def test_attempts_are_not_listed_among_principals(self, store: Store) -> None:
        people = [a_principal(role=role, queues=("gpu",)) for role in (Role.ADMIN, Role.AGENT)]
        attempt = a_principal(role=Role.ATTEMPT, task_id=new_id(), attempt=1, lent_role=Role.EDITOR)
        for number, principal in enumerate((*people, attempt)):
            token = f"{number:064x}"
            store.write(lambda tx, who=principal, token=token: tx.principals.add(who, token_sha256=token))  # type: ignore[misc]
        assert store.read(lambda tx: tx.principals.find()) == people
        assert store.read(lambda tx: tx.principals.find(after=people[0].id)) == people[1:]
        assert store.read(lambda tx: tx.principals.find(limit=1)) == people[:1]
        revoked = people[0].changed(revoked_at=moment(1))
        store.write(lambda tx: tx.principals.replace(revoked))
        assert store.read(lambda tx: tx.principals.get(revoked.id)) == revoked
        with pytest.raises(NotFound):
            store.write(lambda tx: tx.principals.replace(a_principal()))
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.principals.get(new_id()))

    def test_attempts_that_ended_long_ago_are_forgotten(self, store: Store) -> None:
        task = a_task()
        bearers = [a_principal(role=Role.ATTEMPT, task_id=task.id, attempt=number) for number in (1, 2, 3)]
        person = a_principal(role=Role.ADMIN)
        ends = (moment(10), moment(20), None)

        def fill(tx: Transaction) -> None:
            tx.tasks.add(task)
            for number, (bearer, ended) in enumerate(zip(bearers, ends, strict=True), start=1):
                tx.principals.add(bearer, token_sha256=f"{number:064x}")
                tx.tasks.add_attempt(an_attempt(task, number=number, token_id=bearer.id, ended_at=ended))
            tx.principals.add(person, token_sha256="f" * 64)
            tx.tasks.add_attempt(an_attempt(task, number=4, token_id=person.id, ended_at=moment(1)))

        store.write(fill)
        assert store.write(lambda tx: tx.principals.forget_attempts(ended_before=moment(20))) == 1
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.principals.get(bearers[0].id))
        for kept in (*bearers[1:], person):
            assert store.read(lambda tx, kept=kept: tx.principals.get(kept.id)) == kept  # type: ignore[misc]

    def test_an_answer_is_kept_by_principal_and_key(self, store: Store) -> None:
        me, you = new_id(), new_id()
        store.write(lambda tx: tx.answers.put(me, "k", fingerprint="f", status=201, body=b"\0{}"))
        assert store.read(lambda tx: tx.answers.get(me, "k")) == ("f", 201, b"\0{}")
        assert store.read(lambda tx: tx.answers.get(you, "k")) is None
        with pytest.raises(Conflict):
            store.write(lambda tx: tx.answers.put(me, "k", fingerprint="g", status=201, body=b""))

    def test_old_answers_are_forgotten(self, store: Store) -> None:
        me = new_id()
        store.write(lambda tx: tx.answers.put(me, "k", fingerprint="f", status=201, body=b"{}"))
        now = store.read(lambda tx: tx.now())
        assert store.write(lambda tx: tx.answers.forget(before=now - timedelta(hours=1))) == 0
        assert store.write(lambda tx: tx.answers.forget(before=now + timedelta(hours=1))) == 1
        assert store.read(lambda tx: tx.answers.get(me, "k")) is None

    def test_settings_are_json(self, store: Store) -> None:
        assert store.read(lambda tx: tx.setting("sweep")) is None
        for value in ({"at": 1.5, "é": [None, True]}, "text", 0, None):
            store.write(lambda tx, value=value: tx.put_setting("sweep", value))  # type: ignore[misc]
            assert store.read(lambda tx: tx.setting("sweep")) == value
