"""Places for bytes, and which of them the new bytes of a dataset go to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.blobs.objects import MARKER
from orchestrator.errors import Conflict, NotFound, Unavailable
from orchestrator.records.base import inside
from orchestrator.records.dataset import DEFAULT_STORAGE, Storage
from orchestrator.records.principal import Permission
from orchestrator.services.ids import SYSTEM
from orchestrator.wire import StorageUse

if TYPE_CHECKING:
    from orchestrator.records.dataset import DatasetVersion, StorageChoice
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction


def find_storage(transaction: Transaction, *, name: str) -> Storage:
    """Return a storage.

    Raises:
        NotFound: there is none of that name.
    """
    for storage in transaction.datasets.storages():
        if storage.name == name:
            return storage
    raise NotFound(f"There is no storage {name!r}.", hint="See which there are: retrain storage list")


def list_storages(transaction: Transaction, actor: Principal) -> list[StorageUse]:
    """Return every storage and what lies in it, sorted by name.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    usage = transaction.blobs.usage()
    return [
        StorageUse(name=each.name, url=each.url, identity=each.identity, objects=objects, size_bytes=size_bytes)
        for each in transaction.datasets.storages()
        for objects, size_bytes in [usage.get(each.name, (0, 0))]
    ]


def require_storages(transaction: Transaction, actor: Principal) -> None:  # noqa: ARG001  every service takes one
    """Check that an actor may change storages.

    Raises:
        Forbidden: the actor is no administrator of everything.
    """
    actor.require(Permission.ADMIN, "")


def put_storage(transaction: Transaction, actor: Principal, *, name: str, url: str, identity: str) -> Storage:
    """Name a place for bytes, or say another way to the place of that name.

    Args:
        transaction: a writing one.
        actor: who asks.
        name: of the storage.
        url: where it is.
        identity: what the marker in it says.

    Raises:
        Forbidden: the actor is no administrator of everything.
        Conflict: there are bytes in the storage of that name, and it is another place; or the place has a name already;
            or the name is the server's own.
    """
    require_storages(transaction, actor)
    if name == DEFAULT_STORAGE:
        raise Conflict(
            f"The storage {name!r} is the server's own.",
            hint="Set RETRAIN_BLOBS_URL for the server, or give this one another name.",
        )
    present = {storage.name: storage for storage in transaction.datasets.storages()}.get(name)
    objects, _ = transaction.blobs.usage().get(name, (0, 0))
    if present is not None and present.identity != identity and objects:
        raise Conflict(
            f"The storage {name!r} is {present.url}, and {objects} objects lie in it; {url} is another place.",
            hint="Give the new one another name.",
        )
    _require_single(transaction, name=name, url=url, identity=identity)
    storage = Storage(
        name=name,
        url=url,
        identity=identity,
        created_at=present.created_at if present else transaction.now(),
        created_by=present.created_by if present else actor.id,
    )
    transaction.datasets.put_storage(storage)
    return storage


def _require_single(transaction: Transaction, *, name: str, url: str, identity: str) -> None:
    """Check that a place has no other name: what is recorded under one would be garbage under the other."""
    for other in transaction.datasets.storages():
        if other.identity == identity and other.name != name:
            raise Conflict(
                f"{url} is the storage {other.name!r} already.",
                hint="Use that one, or choose another directory or prefix.",
            )


def require_default(transaction: Transaction, *, url: str, identity: str | None) -> None:
    """Check that the server's own storage is the one that it was, if anything is recorded in it.

    Args:
        transaction: a reading one is enough.
        url: where it is to be.
        identity: what the marker there says; None where there is none.

    Raises:
        Unavailable: it is another place.
    """
    present = {storage.name: storage for storage in transaction.datasets.storages()}.get(DEFAULT_STORAGE)
    objects, _ = transaction.blobs.usage().get(DEFAULT_STORAGE, (0, 0))
    if present is not None and objects and present.identity != identity:
        raise Unavailable(
            f"{url} is not the server's storage that it was: {objects} objects are recorded in that, and the marker "
            f"{MARKER} {'is not there' if identity is None else 'is another one'}.",
            hint=f"See that its disk is mounted and RETRAIN_BLOBS_URL is right: it was {present.url}. Where all files "
            f'are there and only the marker is lost, write {{"id": "{present.identity}"}} into {MARKER}.',
        )


def put_default_storage(transaction: Transaction, *, url: str, identity: str) -> None:
    """Note where the server's own storage is; its settings say so.

    Raises:
        Unavailable: see `require_default`.
        Conflict: the place is a storage of another name.
    """
    require_default(transaction, url=url, identity=identity)
    _require_single(transaction, name=DEFAULT_STORAGE, url=url, identity=identity)
    present = {storage.name: storage for storage in transaction.datasets.storages()}.get(DEFAULT_STORAGE)
    if present is None or (present.url, present.identity) != (url, identity):
        transaction.datasets.put_storage(
            Storage(
                name=DEFAULT_STORAGE,
                url=url,
                identity=identity,
                created_at=present.created_at if present else transaction.now(),
                created_by=present.created_by if present else SYSTEM.id,
            )
        )


def list_choices(transaction: Transaction, actor: Principal) -> list[StorageChoice]:
    """Return which storages were chosen for projects that the actor may read.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    return [choice for choice in transaction.datasets.choices() if inside(choice.project, actor.project)]


def put_choice(transaction: Transaction, actor: Principal, *, body: StorageChoice) -> StorageChoice:
    """Choose where new bytes go; what is stored stays where it is.

    Raises:
        Forbidden: the actor is no administrator of the project.
        NotFound: there is no such storage.
    """
    actor.require(Permission.ADMIN, body.project)
    find_storage(transaction, name=body.storage)
    transaction.datasets.put_choice(body)
    return body


def drop_choice(transaction: Transaction, actor: Principal, *, project: str, dataset: str) -> StorageChoice:
    """Take a choice back and return it.

    Raises:
        Forbidden: the actor is no administrator of the project.
        NotFound: nothing was chosen.
    """
    actor.require(Permission.ADMIN, project)
    for choice in transaction.datasets.choices():
        if (choice.project, choice.dataset) == (project, dataset):
            transaction.datasets.drop_choice(project=project, dataset=dataset)
            return choice
    which = f"dataset {dataset!r} in project {project!r}" if dataset else f"project {project!r}"
    raise NotFound(f"No storage was chosen for {which}.", hint="See what was: retrain storage choices")


def choose_for(transaction: Transaction, *, version: DatasetVersion) -> str:
    """Return the name of the storage for a version's new bytes.

    That is what was asked for when it was begun; else what was chosen for its dataset, else for its project or the
    nearest one above; else the server's own.
    """
    if version.storage is not None:
        return version.storage
    chosen = DEFAULT_STORAGE
    nearest = -1
    for choice in transaction.datasets.choices():
        if choice.dataset:
            if (choice.project, choice.dataset) == (version.project, version.name):
                return choice.storage
        elif inside(version.project, choice.project) and len(choice.project) > nearest:
            chosen, nearest = choice.storage, len(choice.project)
    return chosen
