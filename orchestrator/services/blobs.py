"""What the database knows of stored bytes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.errors import Forbidden, NotFound
from orchestrator.records.blob import PlacedAt, StoredObject
from orchestrator.records.dataset import DEFAULT_STORAGE
from orchestrator.records.manifest import named, raw
from orchestrator.records.principal import Permission, Role
from orchestrator.services.dataset_states import require_draft
from orchestrator.services.read_bytes import Wanted
from orchestrator.services.storages import choose_for
from orchestrator.wire import BlobLocation, BlobLocations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.blobs import Pack
    from orchestrator.records.base import Id
    from orchestrator.records.blob import BlobPlace
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import Digests

PINNED = timedelta(hours=1)
"""How long whoever asked which blobs are missing, or stored some, has to put them into a draft."""
_SHOWN = 5


def require_upload(actor: Principal) -> None:
    """Check that an actor may upload: an editor anywhere, or any attempt, for the results of its own task are its own.

    Raises:
        Forbidden: it is neither.
    """
    if actor.role is not Role.ATTEMPT:
        actor.require(Permission.EDIT)


def admit_upload(transaction: Transaction, actor: Principal, *, dataset: Id | None = None) -> str:
    """Check that an actor may upload, before its bytes are taken, and return the storage that they go to.

    Args:
        transaction: a reading one; the fence has been checked.
        actor: who sends.
        dataset: the version that they are for; None for none.

    Raises:
        Forbidden: see `require_upload`; or the actor may not edit in the version's project.
        NotFound: there is no such version.
    """
    require_upload(actor)
    if dataset is None:
        return DEFAULT_STORAGE
    version = transaction.datasets.get(dataset)
    actor.require(Permission.EDIT, version.project)
    return choose_for(transaction, version=version)


def admit_object(transaction: Transaction, actor: Principal, *, dataset: Id, storage: str) -> None:
    """Check that an actor may say what lies in a storage: an editor of a draft whose bytes go there.

    Raises:
        Conflict: the version is final: nothing is written for it any more.
        Forbidden: the actor may not edit in the version's project, or its bytes go elsewhere.
        NotFound: there is no such version.
    """
    version = transaction.datasets.get(dataset)
    actor.require(Permission.EDIT, version.project)
    require_draft(version)
    if choose_for(transaction, version=version) != storage:
        raise Forbidden(
            f"The bytes of {version.project}/{version.name} do not go to the storage {storage!r}.",
            hint="Ask where they go: GET /datasets/{id}/storage.",
        )


def record_object(
    transaction: Transaction, actor: Principal, *, stored: StoredObject, blobs: Sequence[PlacedAt]
) -> int:
    """Record where uploaded bytes lie, pin them for a while, and return how many blobs are new.

    Raises:
        Forbidden: see `require_upload`.
        AlreadyExists: another object is recorded there.
    """
    require_upload(actor)
    until = transaction.now() + PINNED
    added = transaction.blobs.add_object(stored, blobs=blobs, pinned_until=until)
    if added < len(blobs):
        transaction.blobs.pin([blob.digest for blob in blobs], until=until)
    return added


def record_pack(transaction: Transaction, actor: Principal, *, storage: str, pack: Pack) -> int:
    """Record a pack; see `record_object`."""
    placed = [PlacedAt(raw(blob.digest), blob.offset, blob.size_bytes) for blob in pack.blobs]
    return record_object(transaction, actor, stored=StoredObject(storage, pack.path, pack.size_bytes), blobs=placed)


def absent_blobs(transaction: Transaction, actor: Principal, *, digests: Sequence[bytes]) -> list[bytes]:
    """Return those of the digests that are not stored, in the order asked, each once.

    Raises:
        Forbidden: see `require_upload`.
    """
    require_upload(actor)
    return transaction.blobs.missing(list(dict.fromkeys(digests)))


def known_sizes(transaction: Transaction, actor: Principal, *, sizes: Sequence[int]) -> list[int]:
    """Return those of these numbers of bytes that some stored object has, in ascending order.

    Raises:
        Forbidden: see `require_upload`.
    """
    require_upload(actor)
    return sorted(transaction.blobs.known_sizes(sizes))


def pin_blobs(transaction: Transaction, actor: Principal, *, digests: Sequence[bytes]) -> list[bytes]:
    """Pin blobs for a while and return those that are not stored, for which that means nothing.

    Raises:
        Forbidden: see `require_upload`.
    """
    require_upload(actor)
    transaction.blobs.pin(digests, until=transaction.now() + PINNED)
    return transaction.blobs.missing(list(digests))


def locate_blob(transaction: Transaction, actor: Principal, *, digest: str) -> Wanted:
    """Return where a blob lies.

    Raises:
        NotFound: it is not stored.
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    return Wanted(raw(digest), transaction.blobs.get(raw(digest)))


def locate_all(transaction: Transaction, actor: Principal, *, digests: Sequence[bytes]) -> list[Wanted]:
    """Return where blobs lie, in the order asked.

    Raises:
        NotFound: some are not stored.
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    places = transaction.blobs.places(list(dict.fromkeys(digests)))
    missing = [named(digest) for digest in digests if digest not in places]
    if missing:
        raise NotFound(
            f"{len(missing)} blobs are not stored: {', '.join(missing[:_SHOWN])}.",
            hint="Store them again from where they are whole: retrain dataset repair DATASET --from FOLDER",
        )
    return [Wanted(digest, places[digest]) for digest in digests]


def list_locations(transaction: Transaction, actor: Principal, *, body: Digests) -> BlobLocations:
    """Return where blobs lie for who reads them straight from their storages, without those that are missing.

    Raises:
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    places = transaction.blobs.places([raw(digest) for digest in dict.fromkeys(body.digests)])
    return BlobLocations(
        locations=tuple(
            BlobLocation(digest=digest, **places[raw(digest)]._asdict())
            for digest in body.digests
            if raw(digest) in places
        )
    )


def forget_blob(transaction: Transaction, *, digest: bytes, place: BlobPlace) -> None:
    """Forget where bytes lie that turned out to be corrupt: from here on they are missing, and the next upload heals.

    Whoever reads them finds that out, so no right to write is asked for.
    """
    transaction.blobs.forget(digest, storage=place.storage, path=place.path)
