"""What is known of an event beside itself: which triggers led to it, who was paused, who acts, who has read it."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from orchestrator.errors import Forbidden, NotFound
from orchestrator.records.event import EventType
from orchestrator.services.authenticate import end_of
from orchestrator.services.create_task import chain_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.records.base import Id
    from orchestrator.records.event import Event
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Transaction

READER = "scheduler"
"""The reader whose place in the log schedulers keep; a test holds it to what `triggers.remote` writes."""

_SWITCHES = (EventType.TRIGGER_PAUSED, EventType.TRIGGER_RESUMED)


class EventHistory:
    """Looks into the log; what several answers need is read once.

    Args:
        transaction: reads.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._principals: dict[Id, Principal] = {}
        self._chains: dict[Id, tuple[Id, ...]] = {}
        self._ever_paused: dict[Id, bool] = {}

    def principal(self, principal_id: Id) -> Principal:
        """Return who acted; `NotFound` where nobody knows any more."""
        if principal_id not in self._principals:
            self._principals[principal_id] = self._transaction.principals.get(principal_id)
        return self._principals[principal_id]

    def registrar(self, trigger: Trigger) -> Principal:
        """Return with whose rights a trigger acts.

        Raises:
            Forbidden: their token is revoked, has expired or is unknown.
        """
        hint = "Register the trigger again with a token that is valid."
        try:
            registrar = self.principal(trigger.created_by)
        except NotFound:
            raise Forbidden(f"Nobody is known who registered trigger {trigger.name!r}.", hint=hint) from None
        if ended := end_of(registrar, now=self._transaction.now()):
            raise Forbidden(f"The token that registered trigger {trigger.name!r} {ended}.", hint=hint)
        return registrar

    def chain_to(self, event: Event) -> tuple[Id, ...]:
        """Return the triggers that led to an event, oldest first.

        Those of the task that it is about, or of the attempt that caused it; else those of the firing that did, and the
        trigger of that.
        """
        transaction = self._transaction
        if event.type.startswith("task."):
            return self._chain(event.subject, lambda: transaction.tasks.get(event.subject).chain)
        by_task = self._chain(event.actor, lambda: chain_of(transaction, self.principal(event.actor)))
        cause = event.cause
        return by_task if by_task or cause is None else self._chain(cause, lambda: self._chain_of_firing(cause))

    def _chain_of_firing(self, firing_id: Id) -> tuple[Id, ...]:
        firing = self._transaction.firings.get(firing_id)
        earlier = self.chain_to(self._transaction.events.get(firing.events[-1])) if firing.events else ()
        return (*earlier, firing.trigger_id)

    def _chain(self, key: Id, read: Callable[[], tuple[Id, ...]]) -> tuple[Id, ...]:
        if key not in self._chains:
            self._chains[key] = ()  # a ring of firings would lead here again
            with contextlib.suppress(NotFound):
                self._chains[key] = read()
        return self._chains[key]

    def was_paused(self, trigger: Trigger, *, at: Event) -> bool:
        """Tell from the log whether the trigger was paused when the event happened, resumed since as it may be."""
        if trigger.id not in self._ever_paused:
            self.look_for_pauses([trigger.id])
        if not self._ever_paused[trigger.id]:
            return False
        switched = self._transaction.events.recent(types=_SWITCHES, subject=trigger.id, before=at.id, limit=1)
        return bool(switched) and switched[0].type is EventType.TRIGGER_PAUSED

    def look_for_pauses(self, trigger_ids: Sequence[Id]) -> None:
        """Find out at once which of these triggers were ever paused."""
        ever = self._transaction.events.subjects(trigger_ids, types=_SWITCHES)
        self._ever_paused |= {trigger_id: trigger_id in ever for trigger_id in trigger_ids}


def place_of_schedulers(transaction: Transaction, *, project: str) -> int:
    """Return how far the schedulers that serve a project have come in the log; 0 where none ever ran."""
    parts = project.split("/")
    scopes = ["", *("/".join(parts[:count]) for count in range(1, len(parts) + 1))]
    return max(transaction.events.cursor(reader_of(scope)) for scope in scopes)


def reader_of(project: str) -> str:
    """Return the name of the reader that is shared by schedulers whose token is for a project."""
    return f"{READER}-{hashlib.sha256(project.encode()).hexdigest()[:16]}" if project else READER
