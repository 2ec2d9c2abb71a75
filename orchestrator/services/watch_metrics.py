"""Points cross a threshold that some trigger watches: told in the moment in which it happens first in an attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orchestrator.records.event import EventType
from orchestrator.services.announce import announce_task
from orchestrator.services.endings import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.records.base import Id
    from orchestrator.records.condition import MetricBound
    from orchestrator.records.principal import Principal
    from orchestrator.records.series import Points
    from orchestrator.store.protocol import Transaction


class Crossing(NamedTuple):
    """The first value of an attempt that lies beyond a bound."""

    bound: MetricBound
    step: int
    value: float


def find_crossings(transaction: Transaction, *, task_id: Id, attempt: int, points: Sequence[Points]) -> list[Crossing]:
    """Return the bounds that these points are the first of their attempt to cross. To be asked before they are stored.

    Where nobody watches it costs one look at an index.

    Args:
        transaction: the one that stores the points.
        task_id: whose.
        attempt: which reports them.
        points: in the order of reporting.
    """
    names = sorted({(run.title, run.series) for run in points})
    crossings = [
        crossing
        for bound in transaction.triggers.watched_metrics(names)
        if (crossing := _first_beyond(points, bound=bound)) is not None
    ]
    if not crossings:
        return []
    crossed = sorted({(each.bound.title, each.bound.series) for each in crossings})
    before = transaction.series.extremes(task_id, attempt, crossed)
    return [
        each
        for each in crossings
        if not any(
            _is_beyond(value, bound=each.bound) for value in before.get((each.bound.title, each.bound.series), ())
        )
    ]


def announce_crossings(
    transaction: Transaction, actor: Principal, *, task_id: Id, crossings: Sequence[Crossing]
) -> None:
    """Append an event for each bound that was crossed, after the points were stored."""
    for crossing in crossings:
        announce_task(
            transaction,
            actor,
            type=EventType.TASK_METRIC_CROSSED,
            task=transaction.tasks.get(task_id),
            value=plain(crossing.value),
            step=crossing.step,
            **crossing.bound.model_dump(),
        )


def _first_beyond(points: Sequence[Points], *, bound: MetricBound) -> Crossing | None:
    for run in points:
        if (run.title, run.series) == (bound.title, bound.series):
            for step, value in zip(run.steps, run.values, strict=True):
                if _is_beyond(value, bound=bound):
                    return Crossing(bound, step, value)
    return None


def _is_beyond(value: float, *, bound: MetricBound) -> bool:
    """Tell whether a value lies strictly beyond the threshold; NaN never does."""
    return value > bound.threshold if bound.sign == "above" else value < bound.threshold
