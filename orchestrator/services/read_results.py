"""Looking at what attempts sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import NotFound
from orchestrator.records.lifecycle import ENDED
from orchestrator.services.read_tasks import get_task
from orchestrator.wire import ConsoleText

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.series import Points, SeriesSummary
    from orchestrator.records.task import Artifact, Report
    from orchestrator.store.protocol import Transaction

_UTF8_LENGTH = 4
_CONSOLE_BYTES = 1 << 20


def list_series(transaction: Transaction, actor: Principal, *, task_id: Id) -> list[SeriesSummary]:
    """Return count, last, minimum and maximum of each series of a task.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not read in its project.
    """
    get_task(transaction, actor, task_id=task_id)
    return transaction.series.summaries(task_id)


def get_points(  # noqa: PLR0913  which points, and how many
    transaction: Transaction, actor: Principal, *, task_id: Id, title: str, series: str, limit: int | None
) -> Points:
    """Return the points of a series, at most about `limit` of them with each bucket's extremes kept.

    Raises:
        NotFound: there is no such task or series.
        Forbidden: the actor may not read in its project.
    """
    get_task(transaction, actor, task_id=task_id)
    points = transaction.series.points(task_id, title=title, series=series, limit=limit)
    if points is None:
        raise NotFound(
            f"Task {task_id} has no series {series!r} of {title!r}.", hint="GET /tasks/{id}/series lists them."
        )
    return points


def read_console(
    transaction: Transaction, actor: Principal, *, task_id: Id, attempt: int | None, after: int
) -> ConsoleText:
    """Return what an attempt printed from a byte offset on; the newest that printed something where none is named.

    The text ends between two characters: one that is cut is left for the next call, unless no more will come.

    Raises:
        NotFound: there is no such task or attempt.
        Forbidden: the actor may not read in its project.
    """
    task = get_task(transaction, actor, task_id=task_id)
    if attempt is not None:
        chosen = transaction.tasks.attempt(task_id, attempt)
    else:
        attempts = transaction.tasks.attempts(task_id)[::-1]
        if not attempts:
            return ConsoleText(attempt=0, offset=0, next=0, text="", ended=task.status in ENDED)
        spoke = (each for each in attempts if transaction.console.length(task_id, each.number))
        chosen = next(spoke, attempts[0])
    data = transaction.console.read(task_id, chosen.number, after=after, limit=_CONSOLE_BYTES)
    is_last = after + len(data) >= transaction.console.length(task_id, chosen.number)
    ended = chosen.ended_at is not None and is_last
    whole = data if ended else whole_characters(data)
    return ConsoleText(
        attempt=chosen.number,
        offset=after,
        next=after + len(whole),
        text=whole.decode("utf-8", "replace"),
        ended=ended,
    )


def whole_characters(data: bytes) -> bytes:
    """Return the bytes without the beginning of a UTF-8 sequence that is cut at their end (RFC 3629)."""
    for back in range(1, min(_UTF8_LENGTH, len(data) + 1)):
        byte = data[-back]
        if byte < 0b1000_0000:  # noqa: PLR2004  ASCII
            return data
        if byte >= 0b1100_0000:  # noqa: PLR2004  begins a sequence
            length = 2 if byte < 0b1110_0000 else 3 if byte < 0b1111_0000 else 4  # noqa: PLR2004
            return data[:-back] if back < length else data
    return data


def list_artifacts(transaction: Transaction, actor: Principal, *, task_id: Id) -> list[Artifact]:
    """Return a task's artifacts, sorted by name.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not read in its project.
    """
    get_task(transaction, actor, task_id=task_id)
    return transaction.tasks.artifacts(task_id)


def list_task_reports(transaction: Transaction, actor: Principal, *, task_id: Id) -> list[Report]:
    """Return a task's reports.

    Raises:
        NotFound: there is no such task.
        Forbidden: the actor may not read in its project.
    """
    get_task(transaction, actor, task_id=task_id)
    return transaction.reports.of(task_id)
