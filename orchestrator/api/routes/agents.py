"""Agents, and the work that they claim."""

from __future__ import annotations

import logging

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.answers import answer, answer_list
from orchestrator.api.caller import Claimer, Reader
from orchestrator.api.routes.queries import Key
from orchestrator.records.agent import Agent
from orchestrator.services.agents import list_agents, register_agent, see_agent
from orchestrator.services.claim import claim_task
from orchestrator.wire import Claim, ClaimTask, Page, RegisterAgent

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/agents", tags=["agents"])


@router.post("", response_model=Agent)
def register(body: RegisterAgent, caller: Claimer) -> Response:
    """Register an agent by name, or update it."""
    return answer(caller.write(register_agent, body=body, settings=caller.settings))


@router.get("", response_model=Page[Agent])
def find(caller: Reader) -> Response:
    """List every agent, sorted by name."""
    return answer_list(caller.read(list_agents))


@router.post("/{agent_id}/heartbeat", response_model=Agent)
def heartbeat(agent_id: Key, caller: Claimer) -> Response:
    """Say that an agent is there."""
    return answer(caller.write(see_agent, agent_id=agent_id))


@router.post("/{agent_id}/claim", response_model=Claim, responses={204: {"description": "Nothing waits."}})
def claim(agent_id: Key, body: ClaimTask, caller: Claimer) -> Response:
    """Take the first task that fits a slot; the token in the answer is shown this once."""
    claimed = caller.write(claim_task, agent_id=agent_id, body=body, settings=caller.settings)
    if claimed is None:
        return Response(status_code=204)
    logger.info(
        "task claimed",
        extra={
            "action": "task_claimed",
            "task_id": claimed.task.id,
            "attempt": claimed.attempt.number,
            "agent_id": agent_id,
        },
    )
    return answer(claimed)
