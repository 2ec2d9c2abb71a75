"""A run by hand begins: it holds a lease like an agent's, and is never queued by itself when it is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.lifecycle import Move, transition
from orchestrator.records.principal import Permission
from orchestrator.services.archive_task import require_listed
from orchestrator.services.authenticate import responsible
from orchestrator.services.begin import Place, begin

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import Claim, StartTask


def start_task(
    transaction: Transaction, actor: Principal, *, task_id: Id, body: StartTask, settings: Settings
) -> Claim:
    """Begin the task's next attempt where the actor is.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not edit in its project.
        IllegalTransition: the task is queued, runs, or has completed.
        Conflict: it is archived.
    """
    task = transaction.tasks.get(task_id, lock=True)
    actor.require(Permission.EDIT, task.project)
    require_listed(task)
    started = transition(task, Move.START, now=transaction.now()).changed(queued_by=responsible(actor), lost_attempts=0)
    return begin(
        transaction, actor, task=task, started=started, place=Place(hostname=body.hostname or None), settings=settings
    )
