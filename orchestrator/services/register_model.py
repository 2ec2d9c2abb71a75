"""What a task made becomes the next version of a model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidPath, InvalidRequest, NotFound
from orchestrator.records.event import EventType
from orchestrator.records.manifest import raw
from orchestrator.records.model import ModelVersion
from orchestrator.records.paths import check_path
from orchestrator.records.principal import Permission
from orchestrator.services.announce import announce_model
from orchestrator.services.drawable import plain_json
from orchestrator.services.ids import new_id
from orchestrator.services.promote_model import move_to
from orchestrator.services.read_models import detail_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.records.base import Id
    from orchestrator.records.model import ModelFile
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import ModelDetail, RegisterModel

_ID = re.compile(r"[0-9a-f]{32}")


def register_model(transaction: Transaction, actor: Principal, *, body: RegisterModel) -> ModelDetail:
    """Make the next version of a model of stored files; by an attempt it is that of its task.

    Raises:
        Forbidden: the actor may not edit in the project.
        InvalidRequest: a file has not been uploaded or has another size, it is said to be one file and is not, or the
            metadata are nested too deep or cannot be encoded.
        InvalidPath: a path leaves the folder, is there twice, or is a file and a folder.
    """
    actor.require(Permission.EDIT, body.project)
    _check_paths([file.path for file in body.files], folder=body.folder)
    _check_bytes(transaction, body.files)
    transaction.models.lock_name(body.project, body.name)
    now = transaction.now()
    model = ModelVersion(
        id=new_id(),
        project=body.project,
        name=body.name,
        version=transaction.models.next_version(body.project, body.name),
        framework=body.framework,
        comment=body.comment,
        tags=tuple(sorted(set(body.tags))),
        metadata=plain_json(body.metadata),
        files=body.files,
        folder=body.folder,
        size_bytes=sum(file.size_bytes for file in body.files),
        task_id=actor.task_id,
        attempt=actor.attempt,
        datasets=() if actor.task_id is None else _datasets_of(transaction, actor.task_id),
        created_at=now,
        created_by=actor.id,
        changed_at=now,
    )
    transaction.models.add(model)
    announce_model(transaction, actor, type=EventType.MODEL_REGISTERED, model=model, added=model.tags)
    for alias in dict.fromkeys(body.aliases):
        move_to(transaction, actor, model=model, alias=alias, reason="given when it was registered")
    return detail_of(transaction, model)


def _check_paths(paths: Sequence[str], *, folder: bool) -> None:
    if not folder and (len(paths) != 1 or "/" in paths[0]):
        raise InvalidRequest("These are no single file.", hint="Say folder: true, or send one file without a folder.")
    folders: set[str] = set()
    for path in paths:
        parts = check_path(path).split("/")
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            raise InvalidPath(f"{path!r} is there twice.")
        if path in folders:
            raise InvalidPath(f"{path!r} is a file and a folder.")
        seen.add(path)


def _check_bytes(transaction: Transaction, files: Sequence[ModelFile]) -> None:
    """Check that all bytes are stored, and keep them from being collected until what is being written names them."""
    digests = list(dict.fromkeys(raw(file.digest) for file in files))
    transaction.blobs.revive(digests)
    places = transaction.blobs.places(digests)
    for file in files:
        place = places.get(raw(file.digest))
        if place is None:
            raise InvalidRequest(
                f"The blob {file.digest} of {file.path!r} has not been uploaded.",
                hint=f"PUT /blobs/{file.digest} first.",
            )
        if place.size_bytes != file.size_bytes:
            raise InvalidRequest(
                f"The blob {file.digest} of {file.path!r} has {place.size_bytes} bytes, not {file.size_bytes}."
            )


def _datasets_of(transaction: Transaction, task_id: Id) -> tuple[Id, ...]:
    """Return the dataset versions that a task's parameters name, in the order of the parameters."""
    found = []
    for value in dict.fromkeys(parameter.value for parameter in transaction.tasks.parameters(task_id)):
        if _ID.fullmatch(value):
            try:
                found.append(transaction.datasets.get(value).id)
            except NotFound:
                continue
    return tuple(found)
