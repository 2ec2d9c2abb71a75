"""What the database knows of stored bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.records.principal import Permission
from orchestrator.wire import MissingBlobs

if TYPE_CHECKING:
    from orchestrator.records.principal import Principal
    from orchestrator.store.protocol import Transaction
    from orchestrator.wire import Digests, StoredBlob


def record_blob(
    transaction: Transaction, actor: Principal, *, blob: StoredBlob, store: str, location: str
) -> StoredBlob:
    """Record where uploaded bytes lie.

    Raises:
        Forbidden: the actor may not edit anywhere.
    """
    actor.require(Permission.EDIT)
    transaction.blobs.add(blob.digest, size_bytes=blob.size_bytes, store=store, location=location)
    return blob


def missing_blobs(transaction: Transaction, actor: Principal, *, body: Digests) -> MissingBlobs:
    """Return those of the digests that are not stored.

    Raises:
        Forbidden: the actor may not edit anywhere.
    """
    actor.require(Permission.EDIT)
    return MissingBlobs(missing=tuple(transaction.blobs.missing(list(dict.fromkeys(body.digests)))))


def locate_blob(transaction: Transaction, actor: Principal, *, digest: str) -> tuple[str, str, int, int]:
    """Return store, object, offset and size in bytes.

    Raises:
        NotFound: it is not stored.
        Forbidden: the actor may not read.
    """
    actor.require(Permission.READ)
    return transaction.blobs.get(digest)
