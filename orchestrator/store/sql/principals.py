"""Principals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, select, update
from typing_extensions import override

from orchestrator.errors import AlreadyExists, NotFound
from orchestrator.records.principal import Principal, Role
from orchestrator.store.protocol import Principals
from orchestrator.store.sql.rows import columns_of, to_row
from orchestrator.store.sql.tables import attempts, principals
from orchestrator.store.sql.unit import Noun

if TYPE_CHECKING:
    from datetime import datetime

_PRINCIPALS = select(*columns_of(Principal, principals))


class SqlPrincipals(Noun, Principals):
    """Principals by id and by the hash of their token."""

    @override
    def add(self, principal: Principal, *, token_sha256: str) -> None:
        if not self._unit.add_new(principals, to_row(principal, principals) | {"token_sha256": token_sha256}):
            raise AlreadyExists(f"Principal {principal.id}, or another with its token, is there already.")

    @override
    def get(self, principal_id: str) -> Principal:
        principal = self._unit.record(Principal, _PRINCIPALS.where(principals.c.id == principal_id))
        if principal is None:
            raise NotFound(f"There is no token {principal_id}.")
        return principal

    @override
    def by_token(self, token_sha256: str) -> Principal | None:
        valid = _PRINCIPALS.where(
            principals.c.token_sha256 == token_sha256,
            principals.c.revoked_at.is_(None),
            or_(principals.c.expires_at.is_(None), principals.c.expires_at > self._unit.now()),
        )
        return self._unit.record(Principal, valid)

    @override
    def replace(self, principal: Principal) -> None:
        same = update(principals).where(principals.c.id == principal.id)
        if self._unit.execute(same.values(to_row(principal, principals))).rowcount == 0:
            raise NotFound(f"There is no token {principal.id}.")

    @override
    def find(self, *, after: str | None = None, limit: int = 100) -> list[Principal]:
        people = _PRINCIPALS.where(principals.c.role != Role.ATTEMPT.value).order_by(principals.c.id).limit(limit)
        return self._unit.records(Principal, people if after is None else people.where(principals.c.id > after))

    @override
    def forget_attempts(self, *, ended_before: datetime) -> int:
        ended = select(attempts.c.token_id).where(attempts.c.ended_at < ended_before)
        dead = delete(principals).where(principals.c.role == Role.ATTEMPT.value, principals.c.id.in_(ended))
        return self._unit.execute(dead).rowcount
