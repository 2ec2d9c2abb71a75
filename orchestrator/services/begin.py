"""Beginning an attempt: what a claim by an agent and a start by hand have in common."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.errors import Forbidden, NotFound
from orchestrator.records.event import EventType
from orchestrator.records.principal import PERMISSIONS, Permission, Principal, Role
from orchestrator.records.task import Attempt
from orchestrator.services.announce import announce_task
from orchestrator.services.authenticate import end_of, hash_token, new_token
from orchestrator.services.ids import SYSTEM, new_id
from orchestrator.wire import Claim

if TYPE_CHECKING:
    from orchestrator.records.task import Task
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction

_NAME_LENGTH = 255


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an attempt runs; no agent for a run by hand."""

    agent_id: str | None = None
    slot: str | None = None
    hostname: str | None = None
    """Of a run by hand; the agent knows its own."""


def begin(  # noqa: PLR0913  an attempt begins with many parts
    transaction: Transaction, actor: Principal, *, task: Task, started: Task, place: Place, settings: Settings
) -> Claim:
    """Make the attempt, its lease by the database's clock, and its token.

    Args:
        transaction: one that writes.
        actor: who claims or starts.
        task: as it was read.
        started: as it is from now on; `queued_by` says whose rights the attempt gets.
        place: where it runs.
        settings: length of the lease.

    Raises:
        StaleTask: somebody else was first.
        Forbidden: see `find_owner`.
    """
    now = transaction.now()
    token = new_token()
    principal = _attempt_principal(transaction, task=started)
    transaction.principals.add(principal, token_sha256=hash_token(token))
    attempt = Attempt(
        task_id=task.id,
        number=started.attempt,
        agent_id=place.agent_id,
        slot=place.slot,
        token_id=principal.id,
        lease_expires_at=now + timedelta(seconds=settings.lease_seconds),
        claimed_at=now,
    )
    transaction.tasks.replace(started, expected=task)
    transaction.tasks.add_attempt(attempt)
    announce_task(
        transaction,
        actor,
        type=EventType.TASK_STARTED,
        task=started,
        newest=attempt,
        agent=place.agent_id,
        hostname=place.hostname,
    )
    return Claim(
        task=started,
        attempt=attempt,
        parameters=tuple(transaction.tasks.parameters(task.id)),
        token=token,
        lease_seconds=settings.lease_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
    )


def _attempt_principal(transaction: Transaction, *, task: Task) -> Principal:
    """Return who writes for an attempt: with the rights of whoever enqueued it, but never more than an editor's."""
    owner = find_owner(transaction, task=task)
    role = owner.lent_role or owner.role
    lent = Role.EDITOR if Permission.EDIT in PERMISSIONS[role] else role
    return Principal(
        id=new_id(),
        name=f"attempt {task.attempt} of {task.name}"[:_NAME_LENGTH],
        role=Role.ATTEMPT,
        project=owner.project,
        task_id=task.id,
        attempt=task.attempt,
        lent_role=lent,
        created_at=transaction.now(),
        created_by=owner.id,
    )


def find_owner(transaction: Transaction, *, task: Task) -> Principal:
    """Return with whose rights a task's next attempt acts: those of whoever enqueued it.

    Raises:
        Forbidden: their token was revoked, has expired or is unknown: nobody's rights are left to lend.
    """
    hint = "Enqueue it again with a token that is valid."
    owner_id = task.queued_by or task.created_by
    if owner_id == SYSTEM.id:
        return SYSTEM
    try:
        owner = transaction.principals.get(owner_id)
    except NotFound:
        raise Forbidden(f"Nobody is known who enqueued task {task.id}.", hint=hint) from None
    if ended := end_of(owner, now=transaction.now()):
        raise Forbidden(f"The token of {owner.name!r}, who enqueued task {task.id}, {ended}.", hint=hint)
    return owner
