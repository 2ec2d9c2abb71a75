"""The log of what happened, and how far its readers have come."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from orchestrator.api.answers import answer, answer_list, answer_page
from orchestrator.api.caller import Firer, Reader
from orchestrator.api.routes.queries import DEFAULT_LIMIT, After, Filter, Key, Limit
from orchestrator.api.routes.queries import Cursor as EventId
from orchestrator.records.event import Event, EventType
from orchestrator.services.events import advance_cursor, get_cursor, list_events, recent_events
from orchestrator.services.why import explain_event
from orchestrator.wire import Cursor, EventVerdict, Page

router = APIRouter(prefix="/events", tags=["events"])

LONGEST_WAIT_SECONDS = 25.0

Types = Annotated[list[EventType], Query(description="Those of these types alone, where some are named.")]


@router.get("", response_model=Page[Event])
async def follow(
    caller: Reader,
    after: EventId = 0,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds.")] = 0,
    type: Types = [],  # noqa: A002, B006  the field's own word; FastAPI copies it
    limit: Limit = 500,
) -> Response:
    """Get what happened after an event, waiting where there is nothing yet; `next` is the cursor to go on with.

    The cursor moves past events of other types and projects, too.
    """
    hub = caller.parts.hub
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    with hub.waiting() as waiter:
        found = await run_in_threadpool(caller.read, list_events, after=after, types=type, limit=limit)
        while not found.events and not hub.closing and await waiter.wait(until - loop.time()):
            found = await run_in_threadpool(caller.read, list_events, after=found.next, types=type, limit=limit)
    return answer_list(found.events, following=str(found.next))


@router.get("/recent", response_model=Page[Event])
def recent(
    caller: Reader,
    type: Types = [],  # noqa: A002, B006  the field's own word; FastAPI copies it
    subject: Filter = None,
    before: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List what happened, newest first."""
    events = caller.read(recent_events, types=type, subject=subject, before=before, limit=limit + 1)
    return answer_page(events, limit=limit, key=lambda event: str(event.id))


@router.get("/{event_id}/why", response_model=Page[EventVerdict])
def why(
    event_id: Annotated[int, Path(ge=0, le=2**63 - 1)],
    caller: Reader,
    all: Annotated[bool, Query(description="Triggers, too, that wait for events of other types.")] = False,  # noqa: A002, FBT002  a query
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Say of every trigger, the oldest first, whether it fired on an event, and the one reason why or why not."""
    verdicts = caller.read(explain_event, event_id=event_id, every=all, after=after, limit=limit + 1)
    return answer_page(verdicts, limit=limit, key=lambda verdict: verdict.trigger_id)


@router.get("/cursors/{name}", response_model=Cursor)
def cursor(name: Key, caller: Firer) -> Response:
    """Say how far a reader has come."""
    return answer(caller.read(get_cursor, name=name))


@router.put("/cursors/{name}", response_model=Cursor)
def advance(name: Key, body: Cursor, caller: Firer) -> Response:
    """Move a reader forward; it never goes back."""
    return answer(caller.write(advance_cursor, name=name, body=body))
