"""What nothing names any more is condemned; what was condemned long enough is deleted, and its space given back.

In steps, each in transactions of its own, of which those that write are short. Whatever is cut off between two of them
leaves everything that is named where it is, and what is left over to the next collection:

1. Mark. Ranges of digests one after the other, so that memory stays bounded: what manifests, drafts too, and all else
   name is read, then the blobs of the range. Those that are named are revived, the others condemned, and those that
   were condemned before this mark began and longer ago than the grace period are removed, unless they were pinned,
   revived or stored anew meanwhile.
2. Objects in which no blob lies are forgotten, then deleted from their storage.
3. Objects of which little is used are rewritten: what is used is copied into a new pack, recorded there, and the old
   object goes the way of 2.
4. Objects in storages that nobody has recorded for a day go: an upload that was cut off, or 2. That is so only in
   storages that are this database's own: what another one has recorded is unknown here.
5. Blocks that no manifest names go.

One process at a time collects. Where its connection to the database breaks, another one may begin beside it: what each
of them deletes is decided within units of work and under the lock of the object, so that they do each other no harm.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from orchestrator.blobs import Span
from orchestrator.blobs.pack_index import index_bytes
from orchestrator.errors import Conflict, DigestMismatch, NotFound, OrchestratorError
from orchestrator.records.blob import BlobPlace, PlacedAt, StoredObject
from orchestrator.records.manifest import DIGEST_BYTES, named, raw
from orchestrator.records.principal import Permission
from orchestrator.services.blobs import forget_blob
from orchestrator.services.named_blobs import distinct_blocks, named_in, ranges
from orchestrator.wire import Collected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.blobs import BlobStore, Pack
    from orchestrator.records.blob import BlobUse, ObjectUse
    from orchestrator.records.principal import Principal
    from orchestrator.services.named_blobs import Range
    from orchestrator.services.storage_access import Storages
    from orchestrator.store.protocol import Store, Transaction

logger = logging.getLogger(__name__)

_DUTY = "collect"
_PAGE = 10_000
_SPARSE = 0.5
"""An object is rewritten when less than this share of it is used."""
_OBJECTS_AT_ONCE = 100_000
"""Small packs whose index is their larger part, and objects that cannot be reached, must not hide the others."""
_PARTS = "parts"
_FOLDERS = ("packs", "blake3", _PARTS)
_ORPHAN_AGE = timedelta(days=1)
_LISTED_AT_ONCE = 1000


def require_collect(transaction: Transaction, actor: Principal) -> None:  # noqa: ARG001  every service takes one
    """Check that an actor may collect garbage.

    Raises:
        Forbidden: the actor is no administrator of everything.
    """
    actor.require(Permission.ADMIN, "")


def collect_garbage(store: Store, *, storages: Storages, grace_seconds: float, dry_run: bool = False) -> Collected:
    """Collect once.

    Args:
        store: the database.
        storages: where objects lie.
        grace_seconds: only what was found unused at least this long ago is deleted.
        dry_run: only say what would be done.

    Raises:
        Conflict: another collection is going on.
        Unavailable, Forbidden: a storage ceases to answer; the next collection goes on.
    """
    with store.hold(_DUTY, wait=False) as alone:
        if not alone:
            raise Conflict("Garbage is being collected already.", hint="Wait for it to end.")
        collection = _Collection(store, storages=storages, grace=timedelta(seconds=grace_seconds), dry_run=dry_run)
        # Without a grace period what is condemned now goes at once, when it is marked a second time.
        for _ in range(1 if grace_seconds or dry_run else 2):
            collection.mark()
        if not dry_run:
            collection.find_storages()
            collection.drop_empty()
            collection.rewrite_sparse()
            collection.drop_orphans()
            collection.sweep_uploads()
            collection.sweep_blocks()
        collected = collection.collected()
    logger.info("garbage collected", extra={"action": "garbage_collected"} | collected.model_dump())
    return collected


@dataclass
class _Count:
    blobs: int = 0
    size_bytes: int = 0

    def add(self, uses: Sequence[BlobUse]) -> None:
        self.blobs += len(uses)
        self.size_bytes += sum(use.size_bytes for use in uses)


class _Collection:
    """One collection of garbage."""

    def __init__(self, store: Store, *, storages: Storages, grace: timedelta, dry_run: bool) -> None:
        self._store = store
        self._storages = storages
        self._grace = grace
        self._dry_run = dry_run
        self._waiting = _Count()
        self._deleted = _Count()
        self._freed_bytes = 0
        self._reachable: list[str] = []
        self._unreachable: list[str] = []

    def collected(self) -> Collected:
        """Return what was done."""
        return Collected(
            condemned_blobs=self._waiting.blobs,
            condemned_bytes=self._waiting.size_bytes,
            deleted_blobs=self._deleted.blobs,
            freed_bytes=self._deleted.size_bytes if self._dry_run else self._freed_bytes,
            unreachable=tuple(self._unreachable),
        )

    def mark(self) -> None:
        """Find what is unused, condemn it, and remove what was condemned long enough."""
        self._waiting = _Count()
        for within in ranges(self._estimate()):
            used, began = self._store.read(partial(_named, within=within))
            for page in self._pages(within):
                self._judge(page, used=used, began=began)
            if not self._dry_run:
                self._store.write(partial(_drop_lost, within=within, used=used))

    def find_storages(self) -> None:
        """Find out which storages answer and are ours alone; the others are left alone, and hold nothing up."""
        names = self._store.read(lambda transaction: [storage.name for storage in transaction.datasets.storages()])
        for name in names:
            try:
                self._storages.confirm_ours(name)
            except OrchestratorError as error:
                logger.warning(
                    "a storage cannot be tidied up",
                    extra={"action": "storage_unreachable", "storage": name, "error": str(error)},
                )
                self._unreachable.append(name)
            else:
                self._reachable.append(name)

    def drop_empty(self) -> None:
        """Forget and delete the objects in which no blob lies."""
        while batch := [use for use in self._sparse(most_used=0.0) if not use.blobs]:
            for use in batch:
                self._drop(use)

    def rewrite_sparse(self) -> None:
        """Copy what is used of sparse objects into new packs, and delete them."""
        for use in self._sparse(most_used=_SPARSE):
            if use.used_bytes + index_bytes(use.blobs) <= _SPARSE * use.stored.size_bytes:
                self._rewrite(use)

    def drop_orphans(self) -> None:
        """Delete the objects that are recorded nowhere and that are too old to be recorded soon."""
        for name in self._reachable:
            objects = self._storages.of(name).objects
            for folder in _FOLDERS:
                recent = datetime.now(tz=UTC) - _ORPHAN_AGE
                # A large upload takes more than a day perhaps: its parts are as old as the newest of them.
                arriving = (
                    {_object_of(listed.path) for listed in objects.listing(folder) if listed.changed_at >= recent}
                    if folder == _PARTS
                    else set()
                )
                old = (
                    listed
                    for listed in objects.listing(folder)
                    if listed.changed_at < recent and _object_of(listed.path) not in arriving
                )
                while some := list(islice(old, _LISTED_AT_ONCE)):
                    self._drop_unrecorded(name, files=[listed.path for listed in some])

    def sweep_uploads(self) -> None:
        """Remove what uploads into directories left behind that were cut off long ago."""
        for name in self._reachable:
            self._storages.of(name).sweep_uploads()

    def sweep_blocks(self) -> None:
        """Remove the blocks that no manifest names."""
        kept = self._store.read(lambda transaction: distinct_blocks(transaction).keys())
        self._store.write(lambda transaction: transaction.datasets.sweep_blocks(kept=kept))

    def _estimate(self) -> int:
        """Return about how many blobs there are: hashes lie evenly, so how densely the first ones do tells of all."""
        first = self._store.read(lambda transaction: transaction.blobs.page(after=b"", limit=_PAGE))
        if len(first) < _PAGE:
            return len(first)
        return (len(first) << (8 * DIGEST_BYTES)) // int.from_bytes(first[-1].digest, "big")

    def _pages(self, within: Range) -> Iterator[list[BlobUse]]:
        after = within.before
        while True:
            page = self._store.read(partial(_page, after=after))
            inside = [use for use in page if within.holds(use.digest)]
            if inside:
                yield inside
            if len(inside) < _PAGE:
                return
            after = page[-1].digest

    def _judge(self, page: list[BlobUse], *, used: set[bytes], began: datetime) -> None:
        """Revive, condemn and remove blobs.

        Args:
            page: the blobs.
            used: what is named.
            began: when that was so; what was condemned since then stays this time.
        """
        before = began - self._grace
        revived = [use.digest for use in page if use.digest in used and use.condemned_at is not None]
        unused = [use for use in page if use.digest not in used]
        free = [use for use in unused if use.pinned_until is None or use.pinned_until <= began]
        due = [use.digest for use in free if use.condemned_at is not None and use.condemned_at < before]
        new = [use.digest for use in free if use.condemned_at is None]

        def write(transaction: Transaction) -> list[bytes]:
            transaction.blobs.revive(revived)
            removed = transaction.blobs.remove_condemned(due, before=before)
            transaction.blobs.condemn(new, at=transaction.now())
            return removed

        if self._dry_run:
            removed = set(due) if self._grace else {use.digest for use in free}
        else:
            removed = set(self._store.write(write)) if revived or due or new else set()
        self._deleted.add([use for use in free if use.digest in removed])
        self._waiting.add([use for use in free if use.digest not in removed])

    def _sparse(self, *, most_used: float) -> list[ObjectUse]:
        found = self._store.read(
            lambda transaction: transaction.blobs.sparse_objects(most_used=most_used, limit=_OBJECTS_AT_ONCE)
        )
        return [use for use in found if use.stored.storage in self._reachable]

    def _drop(self, use: ObjectUse) -> None:
        """Forget an object, unless something lies in it by now; when that is certain, delete it."""
        try:
            self._store.write(lambda transaction: transaction.blobs.drop_object(use.object_id))
        except Conflict:
            return
        self._delete(use.stored.storage, path=use.stored.path, part_bytes=use.stored.part_bytes)

    def _delete(self, storage: str, *, path: str, part_bytes: int) -> None:
        """Delete an object from its storage, unless it was stored anew and recorded meanwhile."""
        with self._storages.deleting(storage, path) as unrecorded:
            if unrecorded:
                self._freed_bytes += self._storages.of(storage).delete(path, part_bytes)

    def _rewrite(self, use: ObjectUse) -> None:
        """Move what is used of an object into a new one and delete it."""
        blobs = self._storages.of(use.stored.storage)
        placed = self._store.read(lambda transaction: transaction.blobs.in_object(use.object_id))

        def record(pack: Pack) -> None:
            to = StoredObject(use.stored.storage, pack.path, pack.size_bytes)
            moved = [PlacedAt(raw(blob.digest), blob.offset, blob.size_bytes) for blob in pack.blobs]
            self._store.write(lambda transaction: transaction.blobs.move(object_id=use.object_id, to=to, blobs=moved))
            self._freed_bytes -= pack.size_bytes

        try:
            with blobs.packs(on_pack=record) as packs:
                for digest, data in blobs.read_many((named(each.digest), _span(use, placed=each)) for each in placed):
                    packs.add(digest, data)
        except (DigestMismatch, NotFound):
            self._forget_damaged(use, blobs=blobs, placed=placed)  # the next collection moves what is whole
        else:
            self._drop(use)

    def _forget_damaged(self, use: ObjectUse, *, blobs: BlobStore, placed: list[PlacedAt]) -> None:
        for each in placed:
            try:
                for _ in blobs.read(_span(use, placed=each), digest=named(each.digest)):
                    pass
            except (DigestMismatch, NotFound) as error:
                place = BlobPlace(
                    use.stored.storage, use.stored.path, use.stored.part_bytes, each.offset, each.size_bytes
                )
                if isinstance(error, NotFound) and not self._storages.is_gone(place):
                    raise
                logger.warning(
                    "a blob is damaged and was forgotten",
                    extra={"action": "blob_damaged", "digest": named(each.digest), "error": error.message},
                )
                self._store.write(partial(forget_blob, digest=each.digest, place=place))

    def _drop_unrecorded(self, storage: str, *, files: list[str]) -> None:
        """Delete those of these files that belong to no recorded object."""
        owner = {path: _object_of(path) for path in files}
        recorded = self._recorded(storage, sorted(set(owner.values())))
        for path in files:
            if owner[path] in recorded:
                continue
            with self._storages.deleting(storage, owner[path]) as unrecorded:
                if unrecorded:
                    self._freed_bytes += self._storages.of(storage).objects.delete(path)

    def _recorded(self, storage: str, paths: Sequence[str]) -> set[str]:
        return self._store.read(lambda transaction: transaction.blobs.object_paths(storage, paths))


def _named(transaction: Transaction, *, within: Range) -> tuple[set[bytes], datetime]:
    """Return all digests of a range that anything names, and when that was so."""
    used = {digest for digest in transaction.blobs.named_elsewhere() if within.holds(digest)}
    used.update(named_in(transaction, blocks=distinct_blocks(transaction), within=within))
    return used, transaction.now()


def _drop_lost(transaction: Transaction, *, within: Range, used: set[bytes]) -> None:
    """Forget of which damaged blobs of a range nothing needs the bytes any more."""
    lost = [digest for digest in transaction.blobs.lost() if within.holds(digest) and digest not in used]
    if lost:
        transaction.blobs.drop_lost(lost)


def _page(transaction: Transaction, *, after: bytes) -> list[BlobUse]:
    return transaction.blobs.page(after=after, limit=_PAGE)


def _span(use: ObjectUse, *, placed: PlacedAt) -> Span:
    return Span(use.stored.path, placed.offset, placed.size_bytes, use.stored.part_bytes)


def _object_of(path: str) -> str:
    """Return the path of the object that a file is, or is a part of."""
    return path.rpartition("/")[0] if path.startswith(f"{_PARTS}/") else path
