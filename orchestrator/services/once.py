"""A request that makes something and carries an `Idempotency-Key` is carried out once, however often it is sent.

The answer is kept in the transaction of the change: there is no moment in which one is there without the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import Conflict, InvalidRequest
from orchestrator.services.unit_of_work import check_fence

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Store, Transaction


@dataclass(frozen=True, kw_only=True)
class RequestKey:
    """What a sender calls its request, and what the request was."""

    key: str
    fingerprint: str
    """Digest of method, path and body: a key is good for one request."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was answered."""

    status: int
    body: bytes
    secret: bool = False
    """Whether it holds a token, which is shown once and never stored."""


def write_once(store: Store, actor: Principal, *, key: RequestKey, work: Callable[[Transaction], Answer]) -> Answer:
    """Run a unit of work, or return what it was answered the first time.

    Raises:
        InvalidRequest: the key was used for another request.
        Conflict: the first answer held a token and was not kept.
        StaleAttempt: the actor is an attempt that no longer owns its task.
    """

    def once(transaction: Transaction) -> Answer:
        kept = transaction.answers.get(actor.id, key.key)
        if kept is not None:
            return _replay(*kept, key=key)
        check_fence(transaction, actor, lock=True)
        answer = work(transaction)
        body = b"" if answer.secret else answer.body
        transaction.answers.put(actor.id, key.key, fingerprint=key.fingerprint, status=answer.status, body=body)
        return answer

    try:
        return store.write(once)
    except Conflict:
        # The same request may have been carried out by somebody else in between: that is what it conflicts with.
        kept = kept_answer(store, actor, key=key)
        if kept is None:
            raise
        return kept


def kept_answer(store: Store, actor: Principal, *, key: RequestKey) -> Answer | None:
    """Return what a request was answered the first time, or None where it is the first time.

    Raises:
        InvalidRequest: the key was used for another request.
        Conflict: the first answer held a token and was not kept.
    """
    kept = store.read(lambda transaction: transaction.answers.get(actor.id, key.key))
    return None if kept is None else _replay(*kept, key=key)


def _replay(fingerprint: str, status: int, body: bytes, *, key: RequestKey) -> Answer:
    if fingerprint != key.fingerprint:
        raise InvalidRequest(
            f"The Idempotency-Key {key.key!r} was used for another request.",
            hint="Use a new key for every request, and the same one only to send a request again.",
        )
    if not body:
        raise Conflict(
            "This was done already, and its answer held a token that is shown once.",
            hint="Look at what was made; make another where its token is lost.",
        )
    return Answer(status=status, body=body)
