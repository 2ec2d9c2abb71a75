"""Triggers and their firings."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.answers import answer, answer_page
from orchestrator.api.caller import Editor, Firer, Operator, Reader
from orchestrator.api.routes.queries import DEFAULT_LIMIT, After, Filter, Key, Limit
from orchestrator.records.firing import Firing
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import Trigger, TriggerState
from orchestrator.services.dry_run import dry_run
from orchestrator.services.finish_work import extend_claim, finish_work
from orchestrator.services.fire import post_firings
from orchestrator.services.register_trigger import register_trigger
from orchestrator.services.take_due import take_due
from orchestrator.services.triggers import list_firings, list_triggers, set_trigger_state, show_trigger
from orchestrator.wire import (
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


@router.get("/triggers", response_model=Page[Trigger])
def find(caller: Reader, after: After = None, limit: Limit = DEFAULT_LIMIT) -> Response:
    """List triggers, oldest first."""
    triggers = caller.read(list_triggers, after=after, limit=limit + 1)
    return answer_page(triggers, limit=limit, key=lambda trigger: trigger.id)


@router.get("/triggers/{key}", response_model=TriggerDetail)
def show(key: Key, caller: Reader) -> Response:
    """Show a trigger, by id or name, and its newest firings."""
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


@router.post("/firings", response_model=Page[FiringResult])
def fire(body: PostFirings, caller: Firer) -> Response:
    """Carry out the matches that a scheduler found; each trigger fires once per event, however often it is told."""
    return caller.post_list(post_firings, body=body, settings=caller.settings)


@router.get("/firings", response_model=Page[Firing])
def firings(caller: Reader, trigger: Filter = None, after: After = None, limit: Limit = DEFAULT_LIMIT) -> Response:
    """List firings, newest first, of all triggers or of one, by id or name."""
    found = caller.read(list_firings, key=trigger, after=after, limit=limit + 1)
    return answer_page(found, limit=limit, key=lambda firing: firing.id)


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
