"""Records to fill a store with: every field that a test does not name has a value that is allowed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from blake3 import blake3

from orchestrator.records.action import CloneAction
from orchestrator.records.agent import Agent, Slot
from orchestrator.records.blob import PlacedAt, StoredObject
from orchestrator.records.condition import DatasetCondition
from orchestrator.records.dataset import DatasetVersion, Metadata, Storage
from orchestrator.records.event import EventType, NewEvent
from orchestrator.records.firing import Firing
from orchestrator.records.manifest import Entry, Kind, Manifest, order, raw
from orchestrator.records.manifest_changes import edit
from orchestrator.records.model import ModelFile, ModelVersion
from orchestrator.records.principal import Principal, Role
from orchestrator.records.queue import Queue
from orchestrator.records.series import Points
from orchestrator.records.task import Artifact, Attempt, Parameter, Report, Task
from orchestrator.records.trigger import Trigger

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


def blob(number: int) -> bytes:
    """Return the digest of the same blob as 32 bytes."""
    return raw(digest(number))


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


def an_entry(path: str, number: int = 1, **fields: Any) -> Entry:
    """Make an entry of a manifest: a file of 10 bytes."""
    return Entry(path, Kind.FILE, 10, blob(number))._replace(**fields)


def filled(
    tx: Transaction, version: DatasetVersion, *entries: Entry, remove: Iterable[str] = (), onto: Manifest | None = None
) -> Manifest:
    """Put entries into a version's manifest, and remove some, in order of their paths; return it.

    Args:
        tx: the unit of work.
        version: whose manifest is written.
        entries: to put.
        remove: paths.
        onto: the manifest to begin with; the version's own where it is not given.
    """
    changes: dict[str, Entry | None] = dict.fromkeys(remove)
    changes |= {entry.path: entry for entry in entries}
    in_order = sorted(changes.items(), key=lambda change: order(change[0]))
    begun = tx.datasets.manifest(version.id) if onto is None else onto
    manifest = edit(begun, in_order, load=tx.datasets.blocks, save=lambda data: keep_block(tx, data))
    tx.datasets.put_manifest(version.id, manifest)
    return manifest


def keep_block(tx: Transaction, data: bytes) -> bytes:
    """Keep a block and return its digest."""
    digest = blake3(data).digest()
    tx.datasets.save_blocks({digest: data})
    return digest


def some_metadata(version: DatasetVersion, name: str, **fields: Any) -> Metadata:
    """Make metadata of a version."""
    made = {"version_id": version.id, "name": name, "kind": "json", "filename": "a.json", "digest": digest(1)}
    return Metadata.model_validate(made | {"size_bytes": 3, "changed_at": THEN} | fields)


def a_storage(name: str, **fields: Any) -> Storage:
    """Make a storage."""
    made = {"name": name, "url": f"file:///data/{name}", "identity": new_id()}
    return Storage.model_validate(made | {"created_at": THEN, "created_by": SOMEBODY} | fields)


def a_pack(path: str, *numbers: int, storage: str = "default") -> tuple[StoredObject, list[PlacedAt]]:
    """Make an object in which blobs of 10 bytes lie one after another."""
    placed = [PlacedAt(blob(number), 10 * place, 10) for place, number in enumerate(numbers)]
    return StoredObject(storage, path, 10 * len(numbers)), placed


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


def a_model(**fields: Any) -> ModelVersion:
    """Make a model version of one file."""
    made = {"id": new_id(), "project": "occupancy", "name": "forest", "version": 1, "size_bytes": 3}
    files = (ModelFile(path="model.joblib", size_bytes=3, digest=digest(1)),)
    return ModelVersion.model_validate(
        made | {"files": files, "created_at": THEN, "created_by": SOMEBODY, "changed_at": THEN} | fields
    )


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
