"""A task has ended: the event that tells of it carries the numbers, for triggers that wait for one and for messages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from orchestrator.records.event import EventType
from orchestrator.records.lifecycle import Status
from orchestrator.services.announce import announce_task

if TYPE_CHECKING:
    from orchestrator.records.principal import Principal
    from orchestrator.records.series import SeriesSummary
    from orchestrator.records.task import Attempt, Task
    from orchestrator.store.protocol import Transaction

    Metrics = dict[str, dict[str, dict[str, float | str | None]]]

ENDED = {
    Status.COMPLETED: EventType.TASK_COMPLETED,
    Status.FAILED: EventType.TASK_FAILED,
    Status.STOPPED: EventType.TASK_STOPPED,
}
"""The event that tells of each way to end."""

SERIES_TOLD = 200
"""Series whose numbers an event carries, besides those that some trigger watches."""


def announce_end(
    transaction: Transaction,
    actor: Principal,
    *,
    task: Task,
    newest: Attempt | None = None,
    **data: Any,  # noqa: ANN401  JSON is any
) -> None:
    """Append the event of a task that has ended, with last, minimum and maximum of its series.

    `metrics` has the first `SERIES_TOLD` series by title and name, and all that some trigger watches; `metrics_total`
    says how many there are.

    Args:
        transaction: the one of the change that it tells of.
        actor: who did it.
        task: as it is after the change.
        newest: its newest attempt, where that is at hand.
        **data: what else was true.
    """
    summaries = transaction.series.summaries(task.id)
    announce_task(
        transaction,
        actor,
        type=ENDED[task.status],
        task=task,
        newest=newest,
        metrics=_metrics(transaction, summaries=summaries),
        metrics_total=len(summaries),
        **data,
    )


def plain(value: float | None) -> float | str | None:
    """Return a number as every JSON parser reads it: NaN and infinities are texts, the same that answers have."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _metrics(transaction: Transaction, *, summaries: list[SeriesSummary]) -> Metrics:
    told, others = summaries[:SERIES_TOLD], summaries[SERIES_TOLD:]
    if others:
        bounds = transaction.triggers.watched_metrics([(each.title, each.series) for each in others])
        watched = {(bound.title, bound.series) for bound in bounds}
        told = [*told, *(each for each in others if (each.title, each.series) in watched)]
    metrics: Metrics = {}
    for each in told:
        numbers = {"last": plain(each.last), "min": plain(each.minimum), "max": plain(each.maximum)}
        metrics.setdefault(each.title, {})[each.series] = numbers
    return metrics
