"""What an attempt sends while it runs. The fence has been checked: see `services.unit_of_work`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest
from orchestrator.records.manifest import raw
from orchestrator.records.principal import Permission
from orchestrator.records.task import Artifact, Report
from orchestrator.services.dataset_states import require_present
from orchestrator.services.drawable import drawable
from orchestrator.services.watch_metrics import announce_crossings, find_crossings
from orchestrator.wire import ConsoleLength, SeriesStored

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import PutArtifact, PutReport, SeriesBatch, SetLock


def append_series(transaction: Transaction, actor: Principal, *, task_id: Id, body: SeriesBatch) -> SeriesStored:
    """Store a batch of points, and tell where they cross a bound; one that was stored before changes nothing."""
    attempt = actor.attempt or 0
    crossings = find_crossings(transaction, task_id=task_id, attempt=attempt, points=body.points)
    stored = transaction.series.append(task_id, attempt, body.writer, body.sequence, body.points)
    if stored:
        announce_crossings(transaction, actor, task_id=task_id, crossings=crossings)
    return SeriesStored(stored=stored)


def append_console(
    transaction: Transaction, actor: Principal, *, task_id: Id, offset: int, data: bytes
) -> ConsoleLength:
    """Store what the attempt printed from this offset on.

    Raises:
        Conflict: bytes before the offset are missing; the message says where to go on.
    """
    return ConsoleLength(length=transaction.console.append(task_id, actor.attempt or 0, offset, data))


def put_artifact(transaction: Transaction, actor: Principal, *, task_id: Id, body: PutArtifact) -> Artifact:
    """Name a stored blob as a result of the task.

    Raises:
        InvalidRequest: the blob has not been uploaded.
    """
    check_blob(transaction, digest=body.digest)
    artifact = Artifact(task_id=task_id, attempt=actor.attempt or 0, created_at=transaction.now(), **dict(body))
    transaction.tasks.put_artifact(artifact)
    return artifact


def put_task_report(transaction: Transaction, actor: Principal, *, task_id: Id, body: PutReport) -> Report:  # noqa: ARG001  every service takes its actor
    """Keep a plot, a table or a text of the task."""
    return put_report(transaction, owner=task_id, body=body)


def put_dataset_report(transaction: Transaction, actor: Principal, *, version_id: Id, body: PutReport) -> Report:
    """Keep a plot, a table or a text of a dataset version, also of one that is final.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not edit in its project.
    """
    version = transaction.datasets.get(version_id)
    actor.require(Permission.EDIT, version.project)
    require_present(version)
    return put_report(transaction, owner=version_id, body=body)


def put_report(transaction: Transaction, *, owner: Id, body: PutReport) -> Report:
    """Keep a report; the newest of owner, title, series and iteration stands.

    Raises:
        InvalidRequest: the data are not what their kind asks for, or an image has not been uploaded.
    """
    data = drawable(body)
    if body.kind == "image":
        check_blob(transaction, digest=data["digest"])
    report = Report(owner=owner, created_at=transaction.now(), **dict(body) | {"data": data})
    transaction.reports.put(report)
    return report


def set_lock(transaction: Transaction, actor: Principal, *, task_id: Id, body: SetLock) -> Task:  # noqa: ARG001  every service takes its actor
    """Keep the requirements that the task's environment was built from; the first that are told stand.

    Raises:
        InvalidRequest: the blob has not been uploaded, or the task has no packages.
    """
    check_blob(transaction, digest=body.lock)
    task = transaction.tasks.get(task_id)
    if task.packages is None:
        raise InvalidRequest(f"Task {task_id} has no packages that a lock could belong to.")
    if task.packages.lock is not None:
        return task
    locked = task.changed(packages=task.packages.changed(lock=body.lock), changed_at=transaction.now())
    transaction.tasks.replace(locked, expected=task)
    return locked


def check_blob(transaction: Transaction, *, digest: str) -> None:
    """Check that a blob is stored, and keep it from being collected until what is being written names it.

    Raises:
        InvalidRequest: it is not.
    """
    transaction.blobs.revive([raw(digest)])
    if transaction.blobs.missing([raw(digest)]):
        raise InvalidRequest(f"The blob {digest} has not been uploaded.", hint=f"PUT /blobs/{digest} first.")
