"""Answers that are kept for requests sent twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from typing_extensions import override

from orchestrator.errors import Conflict
from orchestrator.store.protocol import Answers
from orchestrator.store.sql.tables import answers
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from datetime import datetime


class SqlAnswers(Noun, Answers):
    """Answers by principal and key."""

    @override
    def get(self, principal_id: str, key: str) -> tuple[str, int, bytes] | None:
        statement = select(answers.c.fingerprint, answers.c.status, answers.c.body).where(
            answers.c.principal_id == principal_id,
            answers.c.key == key,
        )
        row = self._unit.execute(statement).first()
        return None if row is None else (row.fingerprint, row.status, bytes(row.body))

    @override
    def put(self, principal_id: str, key: str, *, fingerprint: str, status: int, body: bytes) -> None:
        row = {
            "principal_id": principal_id,
            "key": key,
            "fingerprint": fingerprint,
            "status": status,
            "body": body,
            "created_at": self._unit.now(),
        }
        if not self._unit.add_new(answers, row):
            raise Conflict(
                f"A request with the Idempotency-Key {key!r} was answered already.", hint="Use a key of its own."
            )

    @override
    def forget(self, *, before: datetime) -> int:
        return self._unit.execute(delete(answers).where(answers.c.created_at < before)).rowcount
