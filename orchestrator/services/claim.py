"""An agent asks for work; the database's order decides what it gets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from orchestrator.errors import Forbidden, NotFound
from orchestrator.records.lifecycle import Move, transition
from orchestrator.records.principal import Permission
from orchestrator.services.begin import Place, begin, find_owner
from orchestrator.services.endings import announce_end
from orchestrator.services.near_misses import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import Claim, ClaimTask

logger = logging.getLogger(__name__)

_FAILED_AT_ONCE = 50
"""Tasks of ended tokens in one transaction, at most: others want to write, too. The next claim goes on."""


def claim_task(
    transaction: Transaction, actor: Principal, *, agent_id: Id, body: ClaimTask, settings: Settings
) -> Claim | None:
    """Give the first task that fits to a slot of an agent, or None where nothing waits.

    A task whose enqueuer's token has ended fails instead: there is nobody any more with whose rights it could act.

    Raises:
        NotFound: there is no such agent, or it has no such slot.
        Forbidden: the actor did not register the agent, or its token is for none of the slot's queues.
    """
    actor.require(Permission.CLAIM)
    agent = transaction.agents.get(agent_id)
    if agent.token_id != actor.id:
        raise Forbidden(
            f"Agent {agent.name!r} was registered with another token.", hint="Register it again: restart it."
        )
    slot = next((each for each in agent.slots if each.name == body.slot), None)
    if slot is None:
        raise NotFound(
            f"Agent {agent.name!r} has no slot {body.slot!r}.",
            hint=did_you_mean(body.slot, known=(each.name for each in agent.slots)),
        )
    queues = [queue for queue in slot.queues if not actor.queues or queue in actor.queues]
    if not queues:
        raise Forbidden(
            f"The token of agent {agent.name!r} is for the queues {', '.join(actor.queues)}, none of the slot's.",
            hint="Make one for the others: retrain token create NAME --role agent --queue QUEUE.",
        )
    now = transaction.now()
    task = _next(transaction, actor, queues=queues)
    if task is None:
        return None
    place = Place(agent_id=agent.id, slot=slot.name)
    started = transition(task, Move.CLAIM, now=now)
    return begin(transaction, actor, task=task, started=started, place=place, settings=settings)


def _next(transaction: Transaction, actor: Principal, *, queues: Sequence[str]) -> Task | None:
    """Return the next task that somebody's rights are there for; those before it that nobody's are fail."""
    now = transaction.now()
    for _ in range(_FAILED_AT_ONCE):
        task = transaction.tasks.next_queued(queues, now=now)
        if task is None:
            return None
        try:
            find_owner(transaction, task=task)
        except Forbidden as refused:
            failed = transition(task, Move.FAIL, now=now, reason=refused.code, message=str(refused))
            transaction.tasks.replace(failed, expected=task)
            announce_end(transaction, actor, task=failed)
            logger.warning("task failed: %s", refused, extra={"action": "owner_gone", "task_id": task.id})
        else:
            return task
    return None
