"""Records to fill a store with: every field that a test does not name has a value that is allowed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.records.agent import Agent, Slot
from orchestrator.records.dataset import DatasetVersion, ManifestEntry
from orchestrator.records.event import EventType, NewEvent
from orchestrator.records.principal import Principal, Role
from orchestrator.records.queue import Queue
from orchestrator.records.series import Points
from orchestrator.records.task import Artifact, Attempt, Parameter, Report, Task
from orchestrator.records.trigger import CloneAction, DatasetCondition, Firing, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator.store.protocol import Transaction

T = TypeVar("T")

_numbers = count(1)

SOMEBODY = "f" * 32
"""The principal that did it."""

THEN = datetime(2015, 2, 4, 17, 51, tzinfo=UTC)


def each(items: Iterable[T], verb: Callable[[Transaction], Callable[[T], object]]) -> Callable[[Transaction], None]:
    """Return a unit of work that does one thing with each of these: `each(tasks, lambda tx: tx.tasks.add)`."""

    def work(tx: Transaction) -> None:
        for item in items:
            verb(tx)(item)

    return work


def new_id() -> str:
    """Return an id that sorts after those before it, as UUIDv7 do."""
    return f"{next(_numbers):032x}"


def moment(seconds: float) -> datetime:
    """Return a time so many seconds after `THEN`."""
    return THEN + timedelta(seconds=seconds)


def digest(number: int) -> str:
    """Return the name of some blob."""
    return f"blake3:{number:064x}"


def a_task(**fields: Any) -> Task:
    """Make a task."""
    made = {"id": new_id(), "project": "pharmacy/forecast", "name": "training"}
    return Task.model_validate(made | {"created_at": THEN, "created_by": SOMEBODY, "changed_at": THEN} | fields)


def a_parameter(name: str, value: str = "1", **fields: Any) -> Parameter:
    """Make a parameter."""
    return Parameter.model_validate({"name": name, "type": "int", "value": value} | fields)


def an_attempt(task: Task, **fields: Any) -> Attempt:
    """Make a running attempt of a task."""
    made = {"task_id": task.id, "number": 1, "token_id": SOMEBODY, "claimed_at": THEN, "lease_expires_at": moment(60)}
    return Attempt.model_validate(made | fields)


def an_artifact(task: Task, name: str, **fields: Any) -> Artifact:
    """Make an artifact."""
    made = {"task_id": task.id, "name": name, "attempt": 1, "kind": "json", "filename": "a.json"}
    return Artifact.model_validate(made | {"digest": digest(1), "size_bytes": 3, "created_at": THEN} | fields)


def a_report(owner: str, title: str, **fields: Any) -> Report:
    """Make a report."""
    made = {"owner": owner, "title": title, "series": "s", "kind": "text", "data": "text", "created_at": THEN}
    return Report.model_validate(made | fields)


def some_points(steps: list[int], values: list[float], **fields: Any) -> Points:
    """Make points of a series, with a time that follows the step."""
    made = {"title": "loss", "series": "validation", "steps": steps, "times": [float(step) for step in steps]}
    return Points.model_validate(made | {"values": values} | fields)


def a_version(**fields: Any) -> DatasetVersion:
    """Make a draft of a dataset version."""
    made = {"id": new_id(), "project": "occupancy", "name": "sensors", "version": "1.0.0"}
    return DatasetVersion.model_validate(
        made | {"created_at": THEN, "created_by": SOMEBODY, "changed_at": THEN} | fields,
    )


def an_entry(path: str, number: int = 1, **fields: Any) -> ManifestEntry:
    """Make a manifest entry."""
    return ManifestEntry.model_validate({"path": path, "size_bytes": 10, "digest": digest(number)} | fields)


def an_event(**fields: Any) -> NewEvent:
    """Make an event."""
    made = {"type": EventType.TASK_CREATED, "subject": new_id(), "project": "occupancy", "actor": SOMEBODY}
    return NewEvent.model_validate(made | fields)


def a_trigger(**fields: Any) -> Trigger:
    """Make a trigger."""
    identity = new_id()
    made = {
        "id": identity,
        "name": f"retrain {identity}",
        "condition": DatasetCondition(project="occupancy", on_tags=("Production",)),
        "action": CloneAction(task=new_id(), parameters={"General/DATASET": "${dataset.id}"}),
        "starts_after": 0,
    }
    return Trigger.model_validate(made | {"created_at": THEN, "created_by": SOMEBODY, "changed_at": THEN} | fields)


def a_firing(trigger: Trigger, event: int = 1, **fields: Any) -> Firing:
    """Make a firing."""
    made = {"id": new_id(), "trigger_id": trigger.id, "revision": trigger.revision, "event_key": str(event)}
    return Firing.model_validate(made | {"events": (event,), "created_at": THEN, "changed_at": THEN} | fields)


def a_queue(name: str) -> Queue:
    """Make a queue."""
    return Queue(name=name, created_at=THEN, created_by=SOMEBODY)


def an_agent(name: str, **fields: Any) -> Agent:
    """Make an agent."""
    made = {"id": new_id(), "name": name, "hostname": "node-1", "version": "0.1.0", "executor": "process"}
    slots = (Slot(name="0", queues=("default",), gpus=("GPU-1",)),)
    return Agent.model_validate(
        made | {"slots": slots, "token_id": SOMEBODY, "created_at": THEN, "seen_at": THEN} | fields,
    )


def a_principal(**fields: Any) -> Principal:
    """Make a principal."""
    return Principal.model_validate(
        {"id": new_id(), "name": "somebody", "role": Role.EDITOR, "created_at": THEN} | fields,
    )
