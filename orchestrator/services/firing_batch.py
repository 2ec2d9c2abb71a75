"""Firings of one transaction: what they share is read once, and what they make is written together.

A launch is planned first, which reads and decides and writes nothing; then all that were planned are written at once.
Where the database refuses, each is written in a savepoint of its own, so that one that fails leaves the others alone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.errors import OrchestratorError
from orchestrator.records.event import EventType
from orchestrator.records.firing import ENDED_FIRINGS, Firing, FiringStatus, move_firing
from orchestrator.services.announce import announce_trigger
from orchestrator.services.event_history import EventHistory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.records.base import Id
    from orchestrator.records.event import Event
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Parameter, Task
    from orchestrator.records.trigger import Trigger
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction

logger = logging.getLogger(__name__)

_FOR_SCHEDULERS = frozenset({FiringStatus.COLLECTING, FiringStatus.DUE, FiringStatus.GATING, FiringStatus.FAILED})

OF_THE_DATA = (ValueError, ArithmeticError, LookupError, TypeError, RecursionError)
"""What a launch may raise over what stands in its records. Anything else, such as a database that is away, concerns
the whole batch."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A firing on its way.

    Attributes:
        trigger: as it is now; for a later step of a chain, as it was for the first one.
        firing: what has been decided of it so far.
        stored: its row; None before it has one.
        events: what it stands for, oldest first.
    """

    trigger: Trigger
    firing: Firing
    stored: Firing | None
    events: tuple[Event, ...]

    def with_firing(self, firing: Firing) -> Case:
        """Return the case with something more decided."""
        return replace(self, firing=firing)

    def of_another(self, firing: Firing) -> Case:
        """Return the case of another stored firing of the same trigger, as far as its end is concerned."""
        return Case(trigger=self.trigger, firing=firing, stored=firing, events=())


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A clone that is to be written with its firing."""

    case: Case
    task: Task
    parameters: Sequence[Parameter]
    announce: Callable[[], None]
    """Appends the events of the clone."""


class Batch:
    """The firings of one transaction; `flush` before it ends.

    Args:
        transaction: one that writes, with the rows of all triggers that fire in it locked.
        actor: the scheduler, or the person, that has them fire.
        settings: of the server.
    """

    def __init__(self, transaction: Transaction, actor: Principal, *, settings: Settings) -> None:
        self.transaction = transaction
        self.actor = actor
        self.settings = settings
        self.now = transaction.now()
        self.history = EventHistory(transaction)
        self.ended: dict[Id, Firing] = {}
        """What became of each firing so far, by id."""
        self._planned: list[Planned] = []
        self._references: dict[Id, tuple[Task, list[Parameter]]] = {}
        self._queues: set[str] = set()
        self._at_work: dict[Id, int] = {}
        self._touched: dict[Id, Trigger] = {}

    # What is read once

    def reference(self, task_id: Id) -> tuple[Task, list[Parameter]]:
        """Return a task to clone and its parameters; `NotFound` where it is gone."""
        if task_id not in self._references:
            task = self.transaction.tasks.get(task_id)
            self._references[task_id] = task, self.transaction.tasks.parameters(task_id)
        return self._references[task_id]

    def forget(self, task_id: Id) -> None:
        """Read a task again where it is asked for again: this batch changes it."""
        self._references.pop(task_id, None)

    def knows_queue(self, name: str, check: Callable[[], None]) -> None:
        """Run a check of a queue, once a batch where it holds."""
        if name not in self._queues:
            check()
            self._queues.add(name)

    def fresh(self, trigger: Trigger) -> Trigger:
        """Return the trigger as this transaction has left it."""
        return self._touched.get(trigger.id, trigger)

    def case_of(self, stored: Firing, *, trigger: Trigger) -> Case:
        """Return the case of a firing that has a row.

        A later step of a chain goes by the trigger and the events of the chain's first firing. One whose trigger waits
        for something of another kind by now goes by what that was when the firing was made.

        Args:
            stored: its row.
            trigger: as it is now.
        """
        transaction, of_events = self.transaction, stored
        if stored.root is not None:
            of_events = transaction.firings.get(stored.root)
            trigger = transaction.triggers.revision(trigger.id, of_events.revision)
        elif stored.revision != trigger.revision:
            then = transaction.triggers.revision(trigger.id, stored.revision)
            trigger = then if then.condition.kind != trigger.condition.kind else trigger
        events = tuple(transaction.events.many(of_events.events).values())
        return Case(trigger=trigger, firing=stored, stored=stored, events=events)

    def moved(self) -> list[Firing]:
        """Return every firing that was written, as it is now, in the order in which they were first written."""
        return list(self.ended.values())

    def at_work(self, trigger: Trigger) -> int:
        """Return how many firings of a trigger are at work, those that are planned included."""
        if trigger.id not in self._at_work:
            self._at_work[trigger.id] = self.transaction.firings.at_work(trigger.id)
        return self._at_work[trigger.id]

    def count_again(self, trigger: Trigger) -> int:
        """Return the same after something was stopped or claimed."""
        self.flush()
        self._at_work.pop(trigger.id, None)
        return self.at_work(trigger)

    def count_all_again(self) -> None:
        """Count anew what is at work: rows that were read without a lock may have changed since."""
        self.flush()
        self._at_work.clear()

    # What is decided

    def plan(self, planned: Planned) -> Firing:
        """Have a clone written with its firing, which it launches."""
        self._planned.append(planned)
        return self._launched(planned.case, task_id=planned.task.id)

    def launch(self, case: Case, **fields: object) -> Firing:
        """Write a firing that is launched: what it does has been done in this transaction."""
        return self._write(case, self._launched(case, **fields))

    def _launched(self, case: Case, **fields: object) -> Firing:
        trigger = case.trigger
        if trigger.id in self._at_work:
            self._at_work[trigger.id] += 1
        if trigger.cooldown_seconds is not None:
            present = self.transaction.triggers.get(trigger.id)
            launched = present.changed(last_launch_at=self.now)
            self.transaction.triggers.replace(launched, expected=present)
            self._touched[trigger.id] = launched
        return self.note(self._moved(case, FiringStatus.LAUNCHED, **{"reason": None} | fields))

    def end(self, case: Case, status: FiringStatus, *, reason: str, **fields: object) -> Firing:
        """Write a firing that comes to nothing: skipped or blocked."""
        ended = self._write(case, self._moved(case, status, reason=storable(reason), **fields))
        if status is FiringStatus.BLOCKED:
            self._announce(case.trigger, ended, type=EventType.TRIGGER_BLOCKED)
        if ended.root is not None:
            self._close_chain_of(ended)
        return ended

    def keep(self, case: Case, status: FiringStatus, *, reason: str | None = None, **fields: object) -> Firing:
        """Write a firing that waits: collecting, due or gating."""
        changes = {"status": status, "reason": reason, "due_at": None, "next_try_at": None} | fields
        kept = case.firing.changed(**{"claimed_by": None, "claimed_until": None} | changes)
        if kept == case.stored:
            return kept
        if status is FiringStatus.GATING and case.trigger.id in self._at_work:
            self._at_work[case.trigger.id] += 1
        return self._write(case, kept.changed(changed_at=self.now))

    def fail(self, case: Case, *, reason: str) -> Firing:
        """Write a firing that failed; it is tried again later, as often as the settings say."""
        settings, tries = self.settings, case.firing.tries + 1
        wait = min(settings.firing_retry_seconds * 2 ** (tries - 1), settings.firing_retry_max_seconds)
        again = self.now + timedelta(seconds=wait) if tries < settings.firing_max_tries else None
        status = FiringStatus.FAILED
        failed = self._write(case, self._moved(case, status, reason=storable(reason), next_try_at=again))
        # The first time, and when it is given up: what lies between would only be noise.
        if tries == 1 or again is None:
            self._announce(case.trigger, failed, type=EventType.TRIGGER_FAILED)
        if again is None and failed.root is not None:
            self._close_chain_of(failed)
        return failed

    def _close_chain_of(self, step: Firing) -> None:
        """Let a chain end at a step that did not start."""
        root = self.transaction.firings.get(step.root or step.id)
        reason = storable(f"step {step.step} could not start: {step.reason}")
        closed = root.changed(chain_open=False, reason=reason, changed_at=self.now)
        self.transaction.firings.replace(closed, expected=root)

    def trying(self, case: Case, work: Callable[[], Firing]) -> Firing:
        """Do something within a savepoint; where it raises, the firing fails with the reason, and nothing else does."""
        self.flush()
        ended = dict(self.ended)

        def within() -> Firing:
            try:
                return self.transaction.savepoint(work)
            except (OrchestratorError, *OF_THE_DATA):
                self.ended, self._planned = ended, []
                self._at_work.clear()
                raise

        return self._or_fail(case, within)

    def trying_to_plan(self, case: Case, work: Callable[[], Planned]) -> Firing:
        """Plan a clone, which writes nothing; where that raises, the firing fails with the reason."""
        return self._or_fail(case, lambda: self.plan(work()))

    def _or_fail(self, case: Case, work: Callable[[], Firing]) -> Firing:
        try:
            return work()
        except OrchestratorError as error:
            return self.fail(case, reason=str(error))
        except OF_THE_DATA as error:
            logger.exception("launch failed", extra={"action": "launch_failed", "firing": case.firing.id})
            return self.fail(case, reason=f"{type(error).__name__}: {error}")

    def wake_schedulers(self, trigger: Trigger) -> None:
        """Let schedulers know where what a person asked for is for them to go on with; else they look once a minute."""
        self.flush()
        if any(firing.status in _FOR_SCHEDULERS for firing in self.ended.values()):
            announce_trigger(self.transaction, self.actor, type=EventType.TRIGGER_WAITING, trigger=trigger)

    # What is written

    def flush(self) -> None:
        """Write what was planned."""
        planned, self._planned = self._planned, []
        if not planned:
            return
        try:
            self.transaction.savepoint(lambda: self._write_planned(planned))
        except (OrchestratorError, *OF_THE_DATA):
            for one in planned:
                self.trying(one.case, partial(self._write_planned, [one]))

    def _write_planned(self, planned: Sequence[Planned]) -> Firing:
        transaction = self.transaction
        firings = [self._moved(each.case, FiringStatus.LAUNCHED, reason=None, task_id=each.task.id) for each in planned]
        transaction.firings.add_all(
            [firing for firing, each in zip(firings, planned, strict=True) if each.case.stored is None]
        )
        transaction.tasks.add_all([(each.task, each.parameters) for each in planned])
        for firing, each in zip(firings, planned, strict=True):
            if each.case.stored is not None:
                transaction.firings.replace(firing, expected=each.case.stored)
            each.announce()
            self._announce(each.case.trigger, firing, type=EventType.TRIGGER_FIRED)
            self.note(firing)
        return firings[-1]

    def _write(self, case: Case, firing: Firing) -> Firing:
        if case.stored is None:
            # Cannot be there: the trigger's row is locked, and nobody else adds any.
            self.transaction.firings.add(firing)
        else:
            self.transaction.firings.replace(firing, expected=case.stored)
        if firing.status is FiringStatus.LAUNCHED:
            self._announce(case.trigger, firing, type=EventType.TRIGGER_FIRED)
        return self.note(firing)

    def _moved(self, case: Case, status: FiringStatus, **fields: object) -> Firing:
        changes = {
            "revision": case.trigger.revision,
            "tries": case.firing.tries + 1,
            "next_try_at": None,
            "due_at": None,
            "changed_at": self.now,
        }
        if status not in ENDED_FIRINGS:
            changes |= {"claimed_by": None, "claimed_until": None}
        if status is not FiringStatus.LAUNCHED:
            changes["chain_open"] = False  # or a chain that never began would be at work
        return move_firing(case.firing, status, **changes | fields)

    def note(self, firing: Firing) -> Firing:
        """Take note of what became of a firing, and return it."""
        self.ended[firing.id] = firing
        return firing

    def _announce(self, trigger: Trigger, firing: Firing, *, type: EventType) -> None:  # noqa: A002  the event's word
        checks = () if firing.gate is None else firing.gate.checks
        announce_trigger(
            self.transaction,
            self.actor,
            type=type,
            trigger=trigger,
            cause=firing.id,
            firing=firing.id,
            event=firing.events[-1] if firing.events else None,
            task=firing.task_id,
            status=firing.status,
            reason=firing.reason,
            gate=[check.model_dump(mode="json") for check in checks if not check.passed],
            condition_kind=trigger.condition.kind,
        )


def storable(text: str) -> str:
    """Return a text that every database keeps: it may quote what none does."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
