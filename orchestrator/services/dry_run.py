"""What a trigger would do with an event; nothing is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import NotFound, OrchestratorError
from orchestrator.records.action import (
    ChainAction,
    CloneAction,
    FunctionAction,
    MessageAction,
    PromoteAction,
    WebhookAction,
)
from orchestrator.records.base import inside
from orchestrator.records.condition import ScheduleCondition
from orchestrator.records.firing import Firing
from orchestrator.records.principal import Permission
from orchestrator.records.trigger import TriggerState
from orchestrator.services.check_trigger import texts_in
from orchestrator.services.clone import prepare_clone
from orchestrator.services.enqueue import check_queue
from orchestrator.services.event_history import EventHistory
from orchestrator.services.ids import new_id
from orchestrator.services.launch import clone_of, fill_clone
from orchestrator.services.template_values import values_for
from orchestrator.services.triggers import find_trigger
from orchestrator.wire import TriggerTest
from triggers import conditions, templates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.records.event import Event
    from orchestrator.records.gate import Gates
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.records.trigger import Trigger
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import CloneTask, TestTrigger

_LOOKED_AT = 1000
_AT_ONCE = 100


def dry_run(
    transaction: Transaction, actor: Principal, *, key: str, body: TestTrigger, settings: Settings
) -> TriggerTest:
    """Say whether the trigger matches an event, by default the newest that it matches, and what it would do.

    A schedule is asked about its next time instead.

    Raises:
        NotFound: there is no such trigger or event.
        Forbidden: the actor may not read in the project that it watches.
    """
    trigger = find_trigger(transaction, actor, key=key)
    trial = _Trial(transaction, trigger=trigger, settings=settings)
    if body.event is not None:
        event = transaction.events.get(body.event)
        actor.require(Permission.READ, event.project)
        return trial.of_event(event)
    if isinstance(trigger.condition, ScheduleCondition):
        return trial.of_next_time()
    return trial.of_newest()


def what_it_would_do(
    transaction: Transaction, *, trigger: Trigger, firing: Firing, events: tuple[Event, ...], settings: Settings
) -> str:
    """Return what a firing of a trigger would come to, in a sentence; nothing is made."""
    earnest = trigger.changed(dry_run=False, debounce_seconds=None, debounce_max_seconds=None)
    return _Trial(transaction, trigger=earnest, settings=settings).of_firing(firing, events=events)


class _Trial:
    """One trigger that is tried out."""

    def __init__(self, transaction: Transaction, *, trigger: Trigger, settings: Settings) -> None:
        self._transaction = transaction
        self._trigger = trigger
        self._settings = settings

    def of_newest(self) -> TriggerTest:
        """Try the newest event that matches, else the newest that it looks at."""
        types = sorted(conditions.event_types(self._trigger.condition))
        newest, before, left = None, None, _LOOKED_AT
        while left:
            some = self._transaction.events.recent(types=types, before=before, limit=min(_AT_ONCE, left))
            for event in some:
                if not inside(event.project, self._trigger.project):
                    continue
                newest = newest or event
                if conditions.matches(self._trigger.condition, event).matched:
                    return self.of_event(event)
            before, left = (some[-1].id, left - len(some)) if len(some) == _AT_ONCE else (None, 0)
        if newest is not None:
            return self.of_event(newest)
        reason = f"Nothing of what it waits for has happened so far: {', '.join(types)}."
        return TriggerTest(event=None, matches=False, reason=reason)

    def of_event(self, event: Event) -> TriggerTest:
        """Try an event."""
        verdict = conditions.matches(self._trigger.condition, event)
        if not verdict.matched:
            return TriggerTest(event=event.id, matches=False, reason=verdict.reason)
        return self._told(self._firing(events=(event,)), events=(event,), reason=verdict.reason)

    def of_firing(self, firing: Firing, *, events: tuple[Event, ...]) -> str:
        """Say what a firing would come to."""
        told = self._told(firing, events=events, reason="")
        filled = ", ".join(f"{name}={value}" for name, value in told.parameters.items())
        return f"{told.would or told.reason}{f' Parameters: {filled}.' if filled else ''}"

    def of_next_time(self) -> TriggerTest:
        """Try the next time of a schedule."""
        at = self._trigger.next_occurrence_at
        if at is None:
            return TriggerTest(event=None, matches=False, reason="No time is to come any more.")
        firing = self._firing(events=()).changed(occurrence_at=at)
        return self._told(firing, events=(), reason=f"It is due next at {at.isoformat()}.")

    def _firing(self, *, events: tuple[Event, ...]) -> Firing:
        now = self._transaction.now()
        return Firing(
            id=new_id(),
            trigger_id=self._trigger.id,
            revision=self._trigger.revision,
            event_key="test",
            events=tuple(event.id for event in events),
            created_at=now,
            changed_at=now,
        )

    def _told(self, firing: Firing, *, events: tuple[Event, ...], reason: str) -> TriggerTest:
        event = events[-1].id if events else None
        try:
            EventHistory(self._transaction).registrar(self._trigger)
            values = values_for(
                self._transaction, trigger=self._trigger, firing=firing, events=events, settings=self._settings
            )
            action = self._trigger.action
            if not isinstance(action, CloneAction | ChainAction):
                deed = _deed_outside(action, values=values)
                return TriggerTest(
                    event=event, matches=True, reason=reason, acts=self._acts(), would=self._sentence(deed)
                )
            body, reference = self._prepared(clone_of(action, step=None), values=values)
        except OrchestratorError as error:
            return TriggerTest(event=event, matches=True, reason=f"It matches, but launching would fail: {error}")
        return TriggerTest(
            event=event,
            matches=True,
            reason=reason,
            acts=self._acts(),
            parameters=body.parameters,
            name=body.name,
            queue=body.queue,
            would=self._sentence(_deed_of_clone(action, body=body, reference=reference)),
        )

    def _acts(self) -> bool:
        return self._trigger.state is TriggerState.ACTIVE and not self._trigger.dry_run

    def _prepared(self, action: CloneAction, *, values: Mapping[str, str]) -> tuple[CloneTask, Task]:
        """Return the clone that would be made, and of what; it is looked at as it would be if it were made."""
        transaction = self._transaction
        try:
            reference = transaction.tasks.get(action.task)
        except NotFound:
            raise NotFound(
                f"The reference task {action.task} is gone.", hint="Register the trigger again with another."
            ) from None
        body = fill_clone(trigger=self._trigger, action=action, values=values, reference=reference)
        check_queue(transaction, name=action.queue)
        prepare_clone(
            EventHistory(transaction).registrar(self._trigger),
            reference=(reference, transaction.tasks.parameters(action.task)),
            body=body,
            now=transaction.now(),
            chain=(),
        )
        return body, reference

    def _sentence(self, deed: str) -> str:
        """Return what the trigger would do, with what stands before it."""
        trigger = self._trigger
        if trigger.gates is not None:
            deed = f"look at its gates ({_gates(trigger.gates)}) and, where they are open, {deed}"
        if trigger.debounce_seconds is not None:
            deed = f"collect events until none came for {trigger.debounce_seconds:g} s, then {deed}"
        if trigger.dry_run:
            deed = f"note down, and not do, this: {deed}"
        if trigger.state is not TriggerState.ACTIVE:
            deed = f"do nothing while it is {trigger.state}; else {deed}"
        return f"It would {deed}."


def _deed_of_clone(action: CloneAction | ChainAction, *, body: CloneTask, reference: Task) -> str:
    first = clone_of(action, step=None)
    task = f"{reference.project}/{reference.name} ({reference.id})"
    if first.reuse:
        return f"run task {task} itself again, in queue {body.queue!r}"
    clone = (
        f"clone task {task} as {body.name!r} into queue {body.queue!r} of project {first.project or reference.project}"
    )
    if isinstance(action, CloneAction):
        return clone
    later = [step.step for step in action.steps[1:]]
    follows = f", and when that has completed go on with {', '.join(later)}" if later else ""
    return f"begin a chain with {action.steps[0].step}: {clone}{follows}"


def _deed_outside(
    action: FunctionAction | WebhookAction | MessageAction | PromoteAction, *, values: Mapping[str, str]
) -> str:
    match action:
        case FunctionAction():
            return f"have a scheduler that holds it call the function {action.function!r}"
        case WebhookAction():
            for text in texts_in(action.body):
                templates.fill(text, values)
            signed = f", signed with the secret {action.secret!r}" if action.secret is not None else ""
            return f"POST to {action.url}{signed}"
        case MessageAction():
            templates.fill(action.text or "", values)
            subject = f": {templates.fill(action.subject, values)}" if action.subject else ""
            return f"send a message to {', '.join(action.to)}{subject}"
        case PromoteAction():
            metric = f"{action.title}/{action.series}"
            better = "more" if action.sign == "max" else "less"
            margin = f" by {action.margin:g} at least" if action.margin else ""
            return (
                f"compare {metric} of the model {action.model!r} that the task made with that of the version that has"
                f" the alias {action.alias!r}, and move the alias where there is {better}{margin}"
            )


def _gates(gates: Gates) -> str:
    """Return what gates ask for, in a few words."""
    said = gates.model_dump(mode="json", exclude_defaults=True)
    columns = said.pop("columns", {})
    reference = said.pop("reference", None)
    asked = [f"{name} {value}" if value is not True else name for name, value in said.items()]
    asked += [f"{name} {value} of {column}" for column, bounds in columns.items() for name, value in bounds.items()]
    against = f", against {reference}" if reference is not None else ""
    return f"{', '.join(asked) or 'nothing is asked'}{against}"
