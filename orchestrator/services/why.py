"""Why triggers fired on an event, and why not: every trigger's one reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.principal import Permission
from orchestrator.services.paging import gather
from orchestrator.services.triggers import is_visible
from orchestrator.services.verdicts import Verdicts

if TYPE_CHECKING:
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import EventVerdict


def explain_event(  # noqa: PLR0913  a filter is made of many optional parts
    transaction: Transaction, actor: Principal, *, event_id: int, every: bool, after: str | None, limit: int
) -> list[EventVerdict]:
    """Return what triggers made of an event, the oldest trigger first; those that are removed by now, too.

    Args:
        transaction: reads.
        actor: who asks; what it may not see is left out.
        event_id: which event.
        every: also triggers that waited for events of other types.
        after: id of the trigger at which the page before ended.
        limit: most triggers.

    Raises:
        NotFound: there is no such event.
        Forbidden: the actor may not read in the event's project.
    """
    event = transaction.events.get(event_id)
    actor.require(Permission.READ, event.project)
    verdicts = Verdicts(transaction)
    found = gather(
        lambda after, limit: transaction.triggers.find(after=after, limit=limit, removed=True),
        keep=lambda trigger: (
            is_visible(actor, trigger=trigger) and (every or verdicts.waited_for(trigger, event=event))
        ),
        after=after,
        limit=limit,
    )
    return [verdicts.of(trigger, event=event) for trigger in found]
