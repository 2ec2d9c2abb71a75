"""Triggers and their firings."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from orchestrator.api.answers import answer, answer_page
from orchestrator.api.caller import Editor, Firer, Operator, Reader
from orchestrator.api.routes.queries import DEFAULT_LIMIT, After, Filter, Key, Limit
from orchestrator.records.base import Id
from orchestrator.records.firing import Firing, FiringStatus
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import Trigger, TriggerState
from orchestrator.services.apply_triggers import apply_triggers
from orchestrator.services.backfill import backfill
from orchestrator.services.dry_run import dry_run
from orchestrator.services.finish_work import extend_claim, finish_work
from orchestrator.services.fire import post_firings
from orchestrator.services.register_trigger import register_trigger
from orchestrator.services.replay import replay_firing
from orchestrator.services.take_due import take_due
from orchestrator.services.triggers import list_firings, list_triggers, set_trigger_state, show_trigger
from orchestrator.wire import (
    AppliedTriggers,
    ApplyTriggers,
    Backfill,
    Backfilled,
    Due,
    ExtendClaim,
    FinishWork,
    FiringResult,
    Page,
    PostFirings,
    RegisterTrigger,
    TakeDue,
    TestTrigger,
    TriggerDetail,
    TriggerTest,
)

router = APIRouter(tags=["triggers"])


@router.put("/triggers", response_model=Trigger)
def register(body: RegisterTrigger, caller: Editor) -> Response:
    """Register a trigger by name; the same name again makes a revision where something differs."""
    return answer(caller.write(register_trigger, body=body))


@router.post("/triggers/apply", response_model=AppliedTriggers)
def apply(body: ApplyTriggers, caller: Editor) -> Response:
    """Have the triggers of a group be exactly these, all of it or nothing; with `plan` say what would change."""
    return caller.post(apply_triggers, body=body)


@router.get("/triggers", response_model=Page[Trigger])
def find(
    caller: Reader,
    id: Annotated[list[Id], Query(max_length=100)] = [],  # noqa: A002, B006  the field's own word; FastAPI copies it
    group: Filter = None,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List triggers, oldest first: all, those of these ids, or those of a group."""
    triggers = caller.read(list_triggers, ids=id, group=group, after=after, limit=limit + 1)
    return answer_page(triggers, limit=limit, key=lambda trigger: trigger.id)


@router.get("/triggers/{key}", response_model=TriggerDetail)
def show(key: Key, caller: Reader) -> Response:
    """Show a trigger, by id or name: the last events of its kind, what waits and runs, its newest firings."""
    return answer(caller.read(show_trigger, key=key))


@router.post("/triggers/{key}/pause", response_model=Trigger)
def pause(key: Key, caller: Operator) -> Response:
    """Pause a trigger: its events are recorded as skipped."""
    return caller.post(set_trigger_state, key=key, state=TriggerState.PAUSED, permission=Permission.OPERATE)


@router.post("/triggers/{key}/resume", response_model=Trigger)
def resume(key: Key, caller: Operator) -> Response:
    """Let a paused trigger act again."""
    return caller.post(set_trigger_state, key=key, state=TriggerState.ACTIVE, permission=Permission.OPERATE)


@router.delete("/triggers/{key}", response_model=Trigger)
def remove(key: Key, caller: Editor) -> Response:
    """Remove a trigger; it is kept for its firings."""
    return answer(caller.write(set_trigger_state, key=key, state=TriggerState.REMOVED, permission=Permission.EDIT))


@router.post("/triggers/{key}/test", response_model=TriggerTest)
def test(key: Key, body: TestTrigger, caller: Reader) -> Response:
    """Say what a trigger would do with an event, by default the newest that matches; nothing is made."""
    return answer(caller.read(dry_run, key=key, body=body, settings=caller.settings))


@router.post("/triggers/{key}/backfill", response_model=Backfilled)
def fill_back(key: Key, body: Backfill, caller: Operator) -> Response:
    """Have a trigger act on a stretch of the past; ask again with `after=next` until that is null."""
    return caller.post(backfill, key=key, body=body, settings=caller.settings)


@router.post("/firings", response_model=Page[FiringResult])
def fire(body: PostFirings, caller: Firer) -> Response:
    """Carry out the matches that a scheduler found; each trigger fires once per event, however often it is told."""
    return caller.post_list(post_firings, body=body, settings=caller.settings)


@router.get("/firings", response_model=Page[Firing])
def firings(
    caller: Reader,
    trigger: Filter = None,
    status: Annotated[list[FiringStatus], Query()] = [],  # noqa: B006  FastAPI copies it
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List firings, newest first, of all triggers or of one, by id or name; those of some statuses where named."""
    found = caller.read(list_firings, key=trigger, statuses=status, after=after, limit=limit + 1)
    return answer_page(found, limit=limit, key=lambda firing: firing.id)


@router.post("/firings/{firing_id}/replay", response_model=Firing)
def replay(firing_id: Key, caller: Operator) -> Response:
    """Have a trigger act once more on the events of a firing; the new firing is answered."""
    return caller.post(replay_firing, firing_id=firing_id, settings=caller.settings)


@router.post("/firings/due", response_model=Due)
def take(body: TakeDue, caller: Firer) -> Response:
    """Do what the clock asks for, and take what only a scheduler can do: functions, webhooks, messages, gates."""
    return answer(caller.write(take_due, body=body, settings=caller.settings))


@router.post("/firings/{firing_id}/extend", response_model=Firing)
def extend(firing_id: Key, body: ExtendClaim, caller: Firer) -> Response:
    """Say that a piece of work is still being done."""
    return answer(caller.write(extend_claim, firing_id=firing_id, body=body, settings=caller.settings))


@router.post("/firings/{firing_id}/result", response_model=Firing)
def finish(firing_id: Key, body: FinishWork, caller: Firer) -> Response:
    """Say what came of a piece of work; sent twice, the second is answered like the first."""
    return answer(caller.write(finish_work, firing_id=firing_id, body=body, settings=caller.settings))
