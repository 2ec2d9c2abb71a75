"""Reading the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import Forbidden, InvalidRequest
from orchestrator.records.principal import Permission
from orchestrator.services.event_history import READER, reader_of
from orchestrator.wire import Cursor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.records.event import Event, EventType
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction


class Stretch(NamedTuple):
    """A part of the log as a reader sees it."""

    events: list[Event]
    next: int
    """Id of the last event that was looked at, of other projects and types too: where to go on."""


def list_events(
    transaction: Transaction, actor: Principal, *, after: int, limit: int, types: Sequence[EventType] = ()
) -> Stretch:
    """Return what happened after an event in projects that the actor may read, in order.

    Args:
        transaction: reads, on one view of the log.
        actor: who reads.
        after: id of the last event that it has read.
        limit: most events.
        types: those of these types alone, where some are named.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    events = transaction.events.after(after, limit=limit, types=types, projects_below=actor.project)
    # Where there are fewer than it may have, everything was looked through.
    looked_at = events[-1].id if len(events) == limit else transaction.events.last_id()
    return Stretch(events, next=max(after, looked_at))


def recent_events(  # noqa: PLR0913  a filter is made of many optional parts
    transaction: Transaction,
    actor: Principal,
    *,
    types: Sequence[EventType],
    subject: str | None,
    before: int | None,
    limit: int,
) -> list[Event]:
    """Return what happened in projects that the actor may read, newest first.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    return transaction.events.recent(
        types=types, subject=subject, before=before, limit=limit, projects_below=actor.project
    )


def get_cursor(transaction: Transaction, actor: Principal, *, name: str) -> Cursor:
    """Return how far a reader has come.

    Raises:
        Forbidden: the actor may not fire.
    """
    actor.require(Permission.FIRE)
    return Cursor(event=transaction.events.cursor(name))


def advance_cursor(transaction: Transaction, actor: Principal, *, name: str, body: Cursor) -> Cursor:
    """Move a reader forward, never back, and never past the end of the log.

    Raises:
        Forbidden: the actor may not fire, or it is the place of schedulers of another project.
        InvalidRequest: there is no such event yet.
    """
    actor.require(Permission.FIRE)
    if actor.project and name.startswith(READER) and name != reader_of(actor.project):
        raise Forbidden(
            f"The place {name!r} is kept by schedulers of another project.",
            hint=f"Yours is {reader_of(actor.project)!r}.",
        )
    if body.event > (newest := transaction.events.last_id()):
        raise InvalidRequest(f"There is no event {body.event}: the newest is {newest}.", hint="Ask for what there is.")
    return Cursor(event=transaction.events.advance(name, body.event))
