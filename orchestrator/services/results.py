"""What an attempt sends while it runs. The fence has been checked: see `services.unit_of_work`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest
from orchestrator.records.principal import Permission
from orchestrator.records.task import Artifact, Report
from orchestrator.wire import ConsoleLength, SeriesStored

if TYPE_CHECKING:
    from orchestrator.records.base import Id
    from orchestrator.records.principal import Principal
    from orchestrator.records.task import Task
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import PutArtifact, PutReport, SeriesBatch, SetLock


def append_series(transaction: Transaction, actor: Principal, *, task_id: Id, body: SeriesBatch) -> SeriesStored:
    """Store a batch of points; one that was stored before changes nothing."""
    stored = transaction.series.append(task_id, actor.attempt or 0, body.writer, body.sequence, body.points)
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
        NotFound: there is no such version.
        Forbidden: the actor may not edit in its project.
    """
    actor.require(Permission.EDIT, transaction.datasets.get(version_id).project)
    return put_report(transaction, owner=version_id, body=body)


def put_report(transaction: Transaction, *, owner: Id, body: PutReport) -> Report:
    """Keep a report; the newest of owner, title, series and iteration stands.

    Raises:
        InvalidRequest: the data are not what their kind asks for.
    """
    report = Report(owner=owner, created_at=transaction.now(), **dict(body) | {"data": drawable(body)})
    transaction.reports.put(report)
    return report


def drawable(body: PutReport) -> Any:  # noqa: ANN401  JSON is any
    """Return the data of a report when they can be drawn; numbers that are none (NaN, infinities) become None.

    Raises:
        InvalidRequest: they cannot; the message says what was expected.
    """
    data = body.data
    match body.kind:
        case "scalar" if _is_number(data):
            return _finite(data)
        case "text" if isinstance(data, str):
            return _encodable(data)
        case "scatter2d" if isinstance(data, list) and all(_is_pair(point) for point in data):
            return [[_finite(x), _finite(y)] for x, y in data]
    expected = {"scalar": "a number", "text": "a string", "scatter2d": "a list of pairs of numbers"}[body.kind]
    raise InvalidRequest(f"The data of a {body.kind} must be {expected}.")


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
    """Check that a blob is stored.

    Raises:
        InvalidRequest: it is not.
    """
    if transaction.blobs.missing([digest]):
        raise InvalidRequest(f"The blob {digest} has not been uploaded.", hint=f"PUT /blobs/{digest} first.")


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _is_pair(point: object) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(map(_is_number, point))  # noqa: PLR2004  x and y


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"The text cannot be written as UTF-8: {error}.", hint="Mend it before it is sent."
        ) from None
    return text


def _finite(number: float | None) -> float | None:
    return None if isinstance(number, float) and not math.isfinite(number) else number
