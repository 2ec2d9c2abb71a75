"""Agents say that they are there."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.errors import AlreadyExists, Forbidden, InvalidRequest
from orchestrator.records.agent import Agent
from orchestrator.records.principal import Permission
from orchestrator.services.authenticate import end_of
from orchestrator.services.enqueue import check_queue
from orchestrator.services.ids import new_id

if TYPE_CHECKING:
    from orchestrator.records.agent import Slot
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import RegisterAgent


def register_agent(transaction: Transaction, actor: Principal, *, body: RegisterAgent, settings: Settings) -> Agent:
    """Register an agent by name, or update it; its slots serve those of their queues that the actor's token is for.

    Raises:
        Forbidden: the actor may not claim, or for none of a slot's queues.
        AlreadyExists: another token's agent of that name was seen lately.
        NotFound: a slot serves a queue that does not exist.
        InvalidRequest: two slots have one name.
    """
    actor.require(Permission.CLAIM)
    names = [slot.name for slot in body.slots]
    if len(set(names)) < len(names):
        raise InvalidRequest(f"Two slots have one name: {', '.join(names)}.")
    for queue in sorted({queue for slot in body.slots for queue in slot.queues}):
        check_queue(transaction, name=queue)
    slots = tuple(_served(slot, actor=actor) for slot in body.slots)
    now = transaction.now()
    present = transaction.agents.by_name(body.name)
    if present is not None and present.token_id != actor.id and not actor.may(Permission.ADMIN):
        _check_takeover(transaction, present=present, seen_seconds=settings.agent_seen_seconds)
    agent = Agent(
        id=present.id if present else new_id(),
        token_id=actor.id,
        created_at=present.created_at if present else now,
        seen_at=now,
        **dict(body) | {"slots": slots},
    )
    transaction.agents.put(agent)
    return agent


def see_agent(transaction: Transaction, actor: Principal, *, agent_id: Id) -> Agent:
    """Note that an agent is there.

    Raises:
        NotFound: there is no such agent.
        Forbidden: the actor did not register it.
    """
    actor.require(Permission.CLAIM)
    agent = transaction.agents.get(agent_id)
    if agent.token_id != actor.id:
        raise Forbidden(
            f"Agent {agent.name!r} was registered with another token.", hint="Register it again: restart it."
        )
    seen = agent.changed(seen_at=transaction.now())
    transaction.agents.put(seen)
    return seen


def list_agents(transaction: Transaction, actor: Principal) -> list[Agent]:
    """Return every agent, sorted by name.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    return transaction.agents.all()


def _served(slot: Slot, *, actor: Principal) -> Slot:
    queues = tuple(queue for queue in slot.queues if not actor.queues or queue in actor.queues)
    if not queues:
        raise Forbidden(
            f"The token of {actor.name!r} is for the queues {', '.join(actor.queues)}, none of slot {slot.name!r}.",
            hint="Make one for the others: retrain token create NAME --role agent --queue QUEUE.",
        )
    return slot.changed(queues=queues)


def _check_takeover(transaction: Transaction, *, present: Agent, seen_seconds: float) -> None:
    owner = transaction.principals.get(present.token_id)
    now = transaction.now()
    if end_of(owner, now=now) is None and present.seen_at > now - timedelta(seconds=seen_seconds):
        raise AlreadyExists(
            f"An agent {present.name!r} of another token is there, seen {present.seen_at:%H:%M:%S} UTC.",
            hint="Give this one another name: retrain agent --name NAME.",
        )
