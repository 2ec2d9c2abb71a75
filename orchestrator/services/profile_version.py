"""Making a version's profile out of those of its files, of which only new ones are read."""

from __future__ import annotations

import heapq
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import blake3

from orchestrator.errors import DigestMismatch, NotFound
from orchestrator.records.manifest import NO_DIGEST, named
from orchestrator.records.profile import PROFILER, FileKind, FileProfile
from orchestrator.services.read_bytes import span_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from orchestrator.profiles import ProfilerProcess
    from orchestrator.records.base import Id
    from orchestrator.records.blob import BlobPlace
    from orchestrator.records.manifest import Entry
    from orchestrator.services.storage_access import Storages
    from orchestrator.store.protocol import Store, Transaction

MOST_FILES = 10_000
"""Of a version with more, this many are read: those whose paths have the smallest hashes, which are mostly the same
ones in the next version, so that the two can be compared."""
LARGEST_FETCHED_BYTES = 1 << 30
"""Of a file that must be fetched from elsewhere to be read."""
_FILES_AT_ONCE = 200


class Interrupted(Exception):
    """The server ends."""


def profile_version(
    store: Store, *, storages: Storages, process: ProfilerProcess, version_id: Id, check: Callable[[], object]
) -> None:
    """Profile those files of a version that have no profile, merge the profiles of all, and keep both.

    Args:
        store: the database.
        storages: where bytes lie.
        process: reads files.
        version_id: which version.
        check: called between any two steps; may raise.

    Raises:
        NotFound: the version was deleted meanwhile.
        Unavailable, Forbidden: a storage or the process cannot be used.
    """
    manifest = store.read(lambda transaction: transaction.datasets.manifest(version_id))
    files = (
        entry
        for entry in manifest.entries(
            load=lambda digests: store.read(lambda transaction: transaction.datasets.blocks(digests))
        )
        if entry.digest != NO_DIGEST
    )
    chosen = heapq.nsmallest(MOST_FILES, files, key=lambda entry: blake3.blake3(entry.path.encode()).digest())
    chosen.sort(key=lambda entry: entry.path)
    reader = _Reader(store, storages=storages, process=process, check=check)
    for some in _batches(chosen):
        reader.profile_new(some)
    merged = process.merge(reader.profiles(chosen), files=manifest.file_count)
    check()
    profile = merged.model_dump(mode="json")

    def keep(transaction: Transaction) -> None:
        if transaction.datasets.get(version_id).deleted_at is None:
            transaction.datasets.put_profile(version_id, profile)

    store.write(keep)


class _Reader:
    """Reads files that have no profile."""

    def __init__(
        self, store: Store, *, storages: Storages, process: ProfilerProcess, check: Callable[[], object]
    ) -> None:
        self._store = store
        self._storages = storages
        self._process = process
        self._check = check

    def profile_new(self, entries: list[Entry]) -> None:
        """Profile those of these files that have no profile, and keep what was found."""
        known = self._known(entries)
        new = {entry.digest: entry for entry in entries if entry.digest not in known}
        if not new:
            return
        places = self._store.read(lambda transaction: transaction.blobs.places(list(new)))
        found = {}
        for digest, place in sorted(places.items(), key=lambda item: item[1]):
            profile = self._read(new[digest], place=place)
            self._check()
            if profile is not None:
                found[digest] = profile.model_dump(mode="json")
        if found:
            self._store.write(lambda transaction: transaction.datasets.put_file_profiles(found))

    def profiles(self, entries: list[Entry]) -> Iterator[tuple[str, FileProfile]]:
        """Yield paths and profiles; of those that could not be read why not."""
        for some in _batches(entries):
            self._check()
            known = self._known(some)
            for entry in some:
                profile = known.get(entry.digest)
                yield entry.path, profile or _failed(entry, "its bytes cannot be read; verify the version")

    def _known(self, entries: list[Entry]) -> dict[bytes, FileProfile]:
        digests = list({entry.digest for entry in entries})
        kept = self._store.read(lambda transaction: transaction.datasets.file_profiles(digests))
        return {
            digest: FileProfile.from_wire(profile)
            for digest, profile in kept.items()
            if profile.get("profiler") == PROFILER
        }

    def _read(self, entry: Entry, *, place: BlobPlace) -> FileProfile | None:
        """Return a file's profile; None where its bytes are damaged or gone, which is no property of the bytes."""
        blobs = self._storages.of(place.storage)
        file = None if place.part_bytes else blobs.objects.local_path(place.path)
        if file is not None:
            if not file.exists():
                return None
            return self._process.profile(file, name=entry.path, size_bytes=place.size_bytes, offset=place.offset)
        if place.size_bytes > LARGEST_FETCHED_BYTES:
            return _failed(entry, f"it is larger than {LARGEST_FETCHED_BYTES >> 30} GiB and lies elsewhere")
        with tempfile.TemporaryDirectory(prefix="retrain-profile-") as folder:
            fetched = Path(folder) / "file"
            try:
                blobs.copy_to(span_of(place), fetched, digest=named(entry.digest))
            except (NotFound, DigestMismatch):
                return None
            return self._process.profile(fetched, name=entry.path, size_bytes=place.size_bytes)


def _batches(entries: list[Entry]) -> Iterable[list[Entry]]:
    return (entries[start : start + _FILES_AT_ONCE] for start in range(0, len(entries), _FILES_AT_ONCE))


def _failed(entry: Entry, reason: str) -> FileProfile:
    return FileProfile(kind=FileKind.OTHER, size_bytes=entry.size_bytes, error=reason)
