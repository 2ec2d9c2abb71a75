"""Reading a version's bytes, all of them or a sample, to see whether they are what was stored."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from orchestrator.errors import DigestMismatch, NotFound, Unavailable
from orchestrator.records.manifest import NO_DIGEST, named
from orchestrator.records.principal import Permission
from orchestrator.services.read_bytes import Wanted, read_blobs
from orchestrator.services.read_datasets import get_dataset, get_files
from orchestrator.wire import DamagedFile, Verified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.records.base import Id
    from orchestrator.records.manifest import Entry, Manifest
    from orchestrator.records.principal import Principal
    from orchestrator.services.storage_access import Storages
    from orchestrator.store.protocol import Store, Transaction

_LINE_SECONDS = 0.5
_FILES_AT_ONCE = 100_000
_REMEMBERED = 1_000_000
"""So many blobs are not read twice; of a version with more different ones, some that occur again are."""
_MISSING = "its bytes are not stored"


def begin_verify(transaction: Transaction, actor: Principal, *, version_id: Id) -> tuple[Manifest, bool]:
    """Return what is to be read, and whether what is damaged may be forgotten, so that the next upload heals it.

    Raises:
        NotFound: there is no such version, or it was deleted.
        Forbidden: the actor may not read in its project.
    """
    manifest = get_files(transaction, actor, version_id=version_id)
    version = get_dataset(transaction, actor, version_id=version_id)
    return manifest, actor.may(Permission.EDIT, version.project)


def verify_files(
    store: Store, *, storages: Storages, manifest: Manifest, sample: float, forget: bool
) -> Iterator[Verified]:
    """Yield how far it has come, several times a second, and what is damaged; the last one is `done`.

    Args:
        store: the database.
        storages: where bytes lie.
        manifest: the files. Those that lie elsewhere are not looked at.
        sample: share of the files to read, chosen at random.
        forget: whether the places of damaged bytes are forgotten.

    Raises:
        Unavailable, Forbidden: a storage does not answer or refuses.
    """
    verification = _Verification(store, storages=storages, manifest=manifest, sample=sample, forget=forget)
    yield from verification.run()


class _Verification:
    """One reading of a version's bytes."""

    def __init__(self, store: Store, *, storages: Storages, manifest: Manifest, sample: float, forget: bool) -> None:
        self._store = store
        self._storages = storages
        self._manifest = manifest
        self._forget = forget
        self._seed = random.SystemRandom().random()
        self._files = 0
        for _ in self._all():
            self._files += 1
        self._chosen = self._files if sample == 1 else min(self._files, max(1, round(self._files * sample)))
        self._total_bytes = sum(entry.size_bytes for entry in self._sampled())
        self._done_files = self._done_bytes = 0
        self._seen: set[bytes] = set()
        self._reasons: dict[bytes, str] = {}
        self._damaged: list[DamagedFile] = []
        self._told_at = time.monotonic()

    def run(self) -> Iterator[Verified]:
        """Yield lines; see `verify_files`."""
        yield self._line()
        gathered: dict[bytes, list[Entry]] = {}
        count = 0
        for entry in self._sampled():
            gathered.setdefault(entry.digest, []).append(entry)
            count += 1
            if count == _FILES_AT_ONCE:
                yield from self._verify(gathered)
                gathered, count = {}, 0
        yield from self._verify(gathered)
        yield self._line(done=True)

    def _all(self) -> Iterator[Entry]:
        entries = self._manifest.entries(
            load=lambda digests: self._store.read(lambda transaction: transaction.datasets.blocks(digests))
        )
        return (entry for entry in entries if entry.digest != NO_DIGEST)

    def _sampled(self) -> Iterator[Entry]:
        """Yield just as many entries as were chosen, each with the same chance (Knuth, TAOCP 2, 3.4.2, algorithm S)."""
        numbers = random.Random(self._seed)  # noqa: S311  a sample, not a secret
        left, wanted = self._files, self._chosen
        for entry in self._all():
            if numbers.random() * left < wanted:
                wanted -= 1
                yield entry
            left -= 1

    def _verify(self, gathered: dict[bytes, list[Entry]]) -> Iterator[Verified]:
        """Read blobs in the order in which they lie, so that each object is read from its beginning to its end."""
        new = [digest for digest in gathered if digest not in self._seen and digest not in self._reasons]
        for digest in gathered.keys() - set(new):
            self._ended(gathered[digest], read_bytes=0, reason=self._reasons.get(digest))
        wanted = self._located(new, gathered=gathered)
        while wanted:
            ended = arrived = 0
            try:
                for read in read_blobs(self._storages, wanted):
                    self._done_bytes += len(read.data)
                    arrived += len(read.data)
                    if read.ended:
                        self._ended(gathered[read.wanted.digest], read_bytes=arrived)
                        self._remember(read.wanted.digest)
                        ended, arrived = ended + 1, 0
                    if time.monotonic() - self._told_at > _LINE_SECONDS:
                        yield self._line()
                wanted = []
            except DigestMismatch as error:
                self._lost(wanted[ended], entries=gathered[wanted[ended].digest], read_bytes=arrived, error=error)
                wanted = wanted[ended + 1 :]
            except NotFound as error:
                self._done_bytes -= arrived
                wanted = self._after_gone(wanted[ended:], gathered=gathered, error=error)

    def _after_gone(self, left: list[Wanted], *, gathered: dict[bytes, list[Entry]], error: NotFound) -> list[Wanted]:
        """Return what to go on with when the object is gone that the first of these lies in.

        It may have been moved; else nothing of it is left, but only if the storage itself is there: a disk that is not
        mounted is no reason to forget what lies on it.

        Raises:
            Unavailable: it is not.
        """
        first = left[0]
        if (
            self._store.read(lambda transaction: transaction.blobs.places([first.digest])).get(first.digest)
            != first.place
        ):
            return self._located([each.digest for each in left], gathered=gathered)
        if not self._storages.is_gone(first.place):
            raise Unavailable(
                f"{first.place.path} of the storage {first.place.storage!r} comes and goes.",
                hint="See that it is mounted and readable, then verify again.",
            )
        same = [each for each in left if each.place[:2] == first.place[:2]]
        for each in same:
            self._lost(each, entries=gathered[each.digest], read_bytes=0, error=error)
        return left[len(same) :]

    def _located(self, digests: list[bytes], *, gathered: dict[bytes, list[Entry]]) -> list[Wanted]:
        """Return where blobs lie, in that order; those that lie nowhere are damaged."""
        places = self._store.read(lambda transaction: transaction.blobs.places(digests))
        for digest in digests:
            if digest not in places:
                self._reasons[digest] = _MISSING
                self._ended(gathered[digest], read_bytes=0, reason=_MISSING)
        return sorted((Wanted(digest, place) for digest, place in places.items()), key=lambda each: each.place)

    def _lost(self, failed: Wanted, *, entries: list[Entry], read_bytes: int, error: DigestMismatch | NotFound) -> None:
        self._reasons[failed.digest] = error.message
        self._ended(entries, read_bytes=read_bytes, reason=error.message)
        if self._forget:
            storage, path = failed.place.storage, failed.place.path
            self._store.write(lambda transaction: transaction.blobs.forget(failed.digest, storage=storage, path=path))

    def _ended(self, entries: list[Entry], *, read_bytes: int, reason: str | None = None) -> None:
        """Count files that are done, all with the same bytes, of which some were counted as they were read."""
        self._done_files += len(entries)
        self._done_bytes += sum(entry.size_bytes for entry in entries) - read_bytes
        if reason is not None:
            self._damaged += [
                DamagedFile(path=entry.path, digest=named(entry.digest), reason=reason) for entry in entries
            ]

    def _remember(self, digest: bytes) -> None:
        if len(self._seen) < _REMEMBERED:
            self._seen.add(digest)

    def _line(self, *, done: bool = False) -> Verified:
        self._told_at = time.monotonic()
        damaged, self._damaged = self._damaged, []
        return Verified(
            files=self._done_files,
            size_bytes=self._done_bytes,
            total_files=self._chosen,
            total_bytes=self._total_bytes,
            damaged=tuple(damaged),
            done=done,
        )
