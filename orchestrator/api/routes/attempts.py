"""What an attempt sends, and what is read of it: leases, series, console, artifacts and reports."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from orchestrator.api.answers import answer, answer_list
from orchestrator.api.caller import OwnAttempt, Reader
from orchestrator.api.routes.queries import Key, Offset
from orchestrator.errors import InvalidRequest
from orchestrator.records.series import Points, SeriesSummary
from orchestrator.records.task import Artifact, Report, Task
from orchestrator.services.finish import finish_task
from orchestrator.services.heartbeat import extend_lease, read_lease
from orchestrator.services.read_results import (
    get_points,
    list_artifacts,
    list_series,
    list_task_reports,
    read_console,
)
from orchestrator.services.results import append_console, append_series, put_artifact, put_task_report, set_lock
from orchestrator.wire import (
    ConsoleLength,
    ConsoleText,
    FinishTask,
    Heartbeat,
    HeartbeatAnswer,
    Page,
    PutArtifact,
    PutReport,
    SeriesBatch,
    SeriesStored,
    SetLock,
)

router = APIRouter(prefix="/tasks/{task_id}", tags=["attempts"])

CONSOLE_BYTES = 8 << 20
"""Largest piece of console that is taken at once."""

_BYTES_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("/heartbeat", response_model=HeartbeatAnswer)
async def heartbeat(task_id: Key, body: Heartbeat, caller: OwnAttempt) -> Response:
    """Extend the lease, then wait until a stop is asked for, the attempt is superseded, or the time is up."""
    hub = caller.parts.hub
    loop = asyncio.get_running_loop()
    # Not longer than the lease would bear: whoever waits sends no other heartbeat.
    until = loop.time() + min(body.wait_seconds, caller.settings.heartbeat_seconds)
    with hub.waiting(subject=task_id) as waiter:
        state = await run_in_threadpool(
            caller.write, extend_lease, task_id=task_id, body=body, settings=caller.settings
        )
        while not state.stop_requested and not hub.closing and await waiter.wait(until - loop.time()):
            state = await run_in_threadpool(caller.read, read_lease, task_id=task_id)
    return answer(state)


@router.post("/finish", response_model=Task)
def finish(task_id: Key, body: FinishTask, caller: OwnAttempt) -> Response:
    """Say how the attempt ended; sent twice, the second is answered like the first."""
    return answer(caller.write_unfenced(finish_task, task_id=task_id, body=body, settings=caller.settings))


@router.post("/series", response_model=SeriesStored)
def send_series(task_id: Key, body: SeriesBatch, caller: OwnAttempt) -> Response:
    """Store a batch of points; sent twice, it counts once."""
    return answer(caller.write(append_series, task_id=task_id, body=body))


@router.get("/series", response_model=Page[SeriesSummary])
def series(task_id: Key, caller: Reader) -> Response:
    """List count, last, minimum and maximum of each series."""
    return answer_list(caller.read(list_series, task_id=task_id))


@router.get("/series/points", response_model=Points)
def points(
    task_id: Key,
    caller: Reader,
    title: str,
    series: str,
    limit: Annotated[int | None, Query(ge=4, le=10_000_000)] = None,
) -> Response:
    """Get a series' points, all of them or decimated to about `limit` with each bucket's extremes kept."""
    return answer(caller.read(get_points, task_id=task_id, title=title, series=series, limit=limit))


@router.put("/console", response_model=ConsoleLength, openapi_extra=_BYTES_BODY)
async def send_console(task_id: Key, request: Request, caller: OwnAttempt, offset: Offset) -> Response:
    """Store what the attempt printed from a byte offset on; what is there already stays as it is."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > CONSOLE_BYTES:
            raise InvalidRequest(f"A piece of console has at most {CONSOLE_BYTES} bytes.", hint="Send it in parts.")
    length = await run_in_threadpool(caller.write, append_console, task_id=task_id, offset=offset, data=bytes(data))
    return answer(length)


@router.get("/console", response_model=ConsoleText)
def console(
    task_id: Key,
    caller: Reader,
    attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    after: Offset = 0,
) -> Response:
    """Read what an attempt printed from a byte offset on; the newest that printed something where none is named."""
    return answer(caller.read(read_console, task_id=task_id, attempt=attempt, after=after))


@router.put("/artifacts", response_model=Artifact)
def send_artifact(task_id: Key, body: PutArtifact, caller: OwnAttempt) -> Response:
    """Name an uploaded blob as a result of the task."""
    return answer(caller.write(put_artifact, task_id=task_id, body=body))


@router.get("/artifacts", response_model=Page[Artifact])
def artifacts(task_id: Key, caller: Reader) -> Response:
    """List the task's artifacts, sorted by name."""
    return answer_list(caller.read(list_artifacts, task_id=task_id))


@router.post("/reports", response_model=Report)
def send_report(task_id: Key, body: PutReport, caller: OwnAttempt) -> Response:
    """Keep a plot, a table or a text; the newest of title, series and iteration stands."""
    return answer(caller.write(put_task_report, task_id=task_id, body=body))


@router.get("/reports", response_model=Page[Report])
def reports(task_id: Key, caller: Reader) -> Response:
    """List the task's reports."""
    return answer_list(caller.read(list_task_reports, task_id=task_id))


@router.put("/lock", response_model=Task)
def send_lock(task_id: Key, body: SetLock, caller: OwnAttempt) -> Response:
    """Keep the requirements that the environment was built from; the first that are told stand."""
    return answer(caller.write(set_lock, task_id=task_id, body=body))
