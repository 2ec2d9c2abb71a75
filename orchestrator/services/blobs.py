"""What the database knows of stored bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.principal import Permission, Role
from orchestrator.wire import MissingBlobs

if TYPE_CHECKING:
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import Digests, StoredBlob


def require_upload(actor: Principal) -> None:
    """Check that an actor may upload: an editor anywhere, or any attempt, for the results of its own task are its own.

    Raises:
        Forbidden: it is neither.
    """
    if actor.role is not Role.ATTEMPT:
        actor.require(Permission.EDIT)


def admit_upload(transaction: Transaction, actor: Principal) -> None:  # noqa: ARG001  every service takes one
    """Check that an actor may upload, before its bytes are taken; the fence has been checked.

    Raises:
        Forbidden: see `require_upload`.
    """
    require_upload(actor)


def record_blob(
    transaction: Transaction, actor: Principal, *, blob: StoredBlob, store: str, location: str
) -> StoredBlob:
    """Record where uploaded bytes lie.

    Raises:
        Forbidden: see `require_upload`.
    """
    require_upload(actor)
    transaction.blobs.add(blob.digest, size_bytes=blob.size_bytes, store=store, location=location)
    return blob


def missing_blobs(transaction: Transaction, actor: Principal, *, body: Digests) -> MissingBlobs:
    """Return those of the digests that are not stored.

    Raises:
        Forbidden: see `require_upload`.
    """
    require_upload(actor)
    return MissingBlobs(missing=tuple(transaction.blobs.missing(list(dict.fromkeys(body.digests)))))


def locate_blob(transaction: Transaction, actor: Principal, *, digest: str) -> tuple[str, str, int, int]:
    """Return store, object, offset and size in bytes.

    Raises:
        NotFound: it is not stored.
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    return transaction.blobs.get(digest)


def forget_blob(transaction: Transaction, *, digest: str, location: str) -> None:
    """Forget where bytes lie that turned out to be corrupt: from here on they are missing, and the next upload heals.

    Whoever reads them finds that out, so no right to write is asked for.
    """
    transaction.blobs.forget(digest, location=location)
