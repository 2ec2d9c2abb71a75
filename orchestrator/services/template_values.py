"""What templates stand for when a trigger fires: from its events, and from what tasks have made by then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triggers import templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.records.base import Id
    from orchestrator.records.event import Event
    from orchestrator.records.firing import Firing
    from orchestrator.records.task import Task
    from orchestrator.records.trigger import Trigger
    from orchestrator.settings import Settings
    from orchestrator.store.protocol import Transaction


def values_for(
    transaction: Transaction, *, trigger: Trigger, firing: Firing, events: tuple[Event, ...], settings: Settings
) -> dict[str, str]:
    """Return every name that a template of this trigger may use, with its value.

    Args:
        transaction: reads what tasks made.
        trigger: the revision that fires.
        firing: its firing; of a later step of a chain, that step's.
        events: what the whole chain stands for, oldest first.
        settings: of the server: where its addresses begin.
    """
    values = templates.values_of(events, trigger=trigger, firing_id=firing.id, occurrence_at=firing.occurrence_at)
    if events and events[-1].type.startswith("task."):
        for parameter in transaction.tasks.parameters(events[-1].subject):
            values[f"task.parameters.{parameter.name}"] = parameter.value
    for step, task in _earlier(transaction, firing=firing):
        values |= _values_of_step(transaction, step=step, task=task, settings=settings)
    return values


def _earlier(transaction: Transaction, *, firing: Firing) -> Iterator[tuple[str, Task]]:
    """Yield the steps before a firing's own, the nearest first, with the tasks that led to it.

    Each later step was begun by the end of the task before: where a step was done over, that is the newer one.
    """
    while firing.root is not None:
        ended = transaction.events.get(firing.events[0])
        if ended.cause is None:
            return
        firing = transaction.firings.get(ended.cause)
        if firing.step is not None:
            yield firing.step, transaction.tasks.get(ended.subject)


def step_key(root: Id, step: str) -> str:
    """Return the event key of a later step of a chain."""
    return f"step:{root}:{step}"


def _values_of_step(transaction: Transaction, *, step: str, task: Task, settings: Settings) -> dict[str, str]:
    prefix = f"steps.{step}"
    values = {
        f"{prefix}.id": task.id,
        f"{prefix}.name": task.name,
        f"{prefix}.status": task.status,
        f"{prefix}.attempt": str(task.attempt),
    }
    for artifact in transaction.tasks.artifacts(task.id):
        of_it = f"{prefix}.artifacts.{artifact.name}"
        values |= {
            f"{of_it}.url": _address(settings, path=f"blobs/{artifact.digest}"),
            f"{of_it}.digest": artifact.digest,
            f"{of_it}.filename": artifact.filename,
            f"{of_it}.size_bytes": str(artifact.size_bytes),
        }
    models = transaction.models.find(task_id=task.id, limit=1000)
    for name, model in [*((model.name, model) for model in reversed(models)), *(("latest", one) for one in models[:1])]:
        of_it = f"{prefix}.models.{name}"
        values |= {
            f"{of_it}.id": model.id,
            f"{of_it}.version": str(model.version),
            f"{of_it}.url": _address(settings, path=f"models/{model.id}"),
        }
    for summary in transaction.series.summaries(task.id):
        of_it = f"{prefix}.metrics.{summary.title}.{summary.series}"
        values |= _named(of_it, last=summary.last, smallest=summary.minimum, largest=summary.maximum)
    for parameter in transaction.tasks.parameters(task.id):
        values[f"{prefix}.parameters.{parameter.name}"] = parameter.value
    return values


def _named(name: str, *, last: float, smallest: float | None, largest: float | None) -> dict[str, str]:
    numbers = {name: last, f"{name}.last": last, f"{name}.min": smallest, f"{name}.max": largest}
    return {name: repr(number) for name, number in numbers.items() if number is not None}


def _address(settings: Settings, *, path: str) -> str:
    return f"{settings.base_url}/api/v1/{path}"
