"""Making, listing and revoking tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.records.base import inside
from orchestrator.records.principal import Permission, Principal, Role
from orchestrator.services.authenticate import hash_token, new_token
from orchestrator.services.ids import SYSTEM, new_id
from orchestrator.services.paging import gather
from orchestrator.wire import CreatedToken, CreateToken

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.store.protocol import Transaction


def create_token(transaction: Transaction, actor: Principal, *, body: CreateToken) -> CreatedToken:
    """Make a token; an administrator of a project can make them for that project and below.

    Raises:
        Forbidden: the actor is no administrator there.
        InvalidRequest: it would be expired already, or the limits do not fit the role.
    """
    actor.require(Permission.ADMIN, body.project)
    now = transaction.now()
    if body.expires_at is not None and body.expires_at <= now:
        raise InvalidRequest("The token would be expired already.", hint="Give a moment that is yet to come.")
    if body.role is Role.AGENT and body.project:
        raise InvalidRequest("An agent's token is limited by queues, not by project.", hint="Leave the project out.")
    if body.role is not Role.AGENT and body.queues:
        raise InvalidRequest(f"A token with the role {body.role} has no queues.", hint="Agents' tokens have.")
    principal = Principal(
        id=new_id(),
        name=body.name,
        role=body.role,
        project=body.project,
        queues=body.queues,
        created_at=now,
        created_by=actor.id,
        expires_at=body.expires_at,
    )
    token = new_token()
    transaction.principals.add(principal, token_sha256=hash_token(token))
    return CreatedToken(id=principal.id, token=token)


def create_first_token(transaction: Transaction, *, name: str) -> str:
    """Make an administrator's token for whoever owns the machine that the server runs on."""
    body = CreateToken(name=name, role=Role.ADMIN)
    return create_token(transaction, SYSTEM, body=body).token


def list_tokens(transaction: Transaction, actor: Principal, *, after: str | None, limit: int) -> list[Principal]:
    """Return the principals in the administrator's projects, oldest first; those of attempts are left out.

    Raises:
        Forbidden: the actor is no administrator.
    """
    actor.require(Permission.ADMIN)
    return gather(
        lambda after, limit: transaction.principals.find(after=after, limit=limit),
        keep=lambda principal: inside(principal.project, actor.project),
        after=after,
        limit=limit,
    )


def own_principal(transaction: Transaction, actor: Principal) -> Principal:  # noqa: ARG001  every service takes one
    """Return who acts. The fence has been checked: the token of an attempt that ended is nobody's."""
    return actor


def revoke_token(transaction: Transaction, actor: Principal, *, principal_id: Id) -> Principal:
    """Revoke a token, from now on; nothing happens when it is revoked already.

    Raises:
        Forbidden: the actor is no administrator there.
        NotFound: there is none of that id.
    """
    actor.require(Permission.ADMIN)
    principal = transaction.principals.get(principal_id)
    if principal.role is Role.ATTEMPT:
        raise NotFound(
            f"There is no token {principal_id}.", hint="An attempt's token dies with its attempt: stop the task."
        )
    actor.require(Permission.ADMIN, principal.project)
    if principal.revoked_at is not None:
        return principal
    revoked = principal.changed(revoked_at=transaction.now())
    transaction.principals.replace(revoked)
    return revoked
