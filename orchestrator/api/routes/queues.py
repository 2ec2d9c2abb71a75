"""Queues."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.answers import answer_list
from orchestrator.api.caller import Administrator, Reader
from orchestrator.records.queue import Queue
from orchestrator.services.queues import create_queue, list_queues
from orchestrator.wire import CreateQueue, Page, QueueSummary

router = APIRouter(prefix="/queues", tags=["queues"])


@router.get("", response_model=Page[QueueSummary])
def find(caller: Reader) -> Response:
    """List every queue with what stands in it and who serves it."""
    return answer_list(caller.read(list_queues, seen_seconds=caller.settings.agent_seen_seconds))


@router.post("", status_code=201, response_model=Queue)
def create(body: CreateQueue, caller: Administrator) -> Response:
    """Make a queue."""
    return caller.create(create_queue, body=body)
