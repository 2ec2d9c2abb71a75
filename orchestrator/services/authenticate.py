"""From a bearer token to the principal that acts."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from orchestrator.errors import Unauthenticated

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction

PREFIX = "rt_"
"""By it a token is recognised where it should not stand, such as in a repository."""

_RANDOM_BYTES = 32


def new_token() -> str:
    """Return a token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hash_token(token: str) -> str:
    """Return what is stored of a token. It is random, so a hash without salt and stretching keeps it."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def authenticate(transaction: Transaction, *, token: str) -> Principal:
    """Return the token's bearer.

    Raises:
        Unauthenticated: nobody's, or expired or revoked.
    """
    principal = transaction.principals.by_token(hash_token(token)) if token.startswith(PREFIX) else None
    if principal is None:
        raise Unauthenticated(
            "The token is wrong, expired or revoked." if token else "This needs a token.",
            hint="An administrator makes one: retrain token create NAME --role ROLE. Then: retrain login URL.",
        )
    return principal


def end_of(principal: Principal, *, now: datetime) -> str | None:
    """Return how a token ended, as the end of a sentence, or None while it is good."""
    if principal.revoked_at is not None:
        return "was revoked"
    if principal.expires_at is not None and principal.expires_at <= now:
        return "has expired"
    return None


def responsible(actor: Principal) -> Id:
    """Return with whose rights an actor acts: an attempt with those of whoever enqueued its task."""
    return actor.created_by if actor.task_id and actor.created_by else actor.id
