"""Changes of a draft on their way to the server: bytes first, then the manifest, so that nothing half is recorded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

from orchestrator.errors import DigestMismatch, InvalidPath
from orchestrator.sdk.blobs import digest_of, store_file
from orchestrator.sdk.scan import read_steadily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import TypeVar

    from orchestrator.sdk.client import Client
    from orchestrator.sdk.scan import Found

    T = TypeVar("T")
    Progress = Callable[[int, int], object]

MANIFEST_BATCH = 5_000
DIGESTS_BATCH = 50_000
AT_ONCE = 8
"""Uploads at a time: of many small files most time is waiting."""


class Meter:
    """Counts bytes for whoever shows progress. Safe between threads."""

    def __init__(self, progress: Progress | None, *, total_bytes: int) -> None:
        self._progress = progress
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._lock = threading.Lock()

    def add(self, part: bytes) -> None:
        """Count the bytes of a part."""
        self.count(len(part))

    def count(self, size_bytes: int) -> None:
        """Count bytes."""
        if self._progress is not None:
            with self._lock:
                self._done_bytes += size_bytes
                self._progress(self._done_bytes, self._total_bytes)


class Draft:
    """What is to change in a version's manifest, until it is sent.

    Args:
        client_of: returns what speaks for this process at the moment.
        version_id: of the draft.
    """

    def __init__(self, client_of: Callable[[], Client], *, version_id: str) -> None:
        self._client_of = client_of
        self._path = f"/datasets/{version_id}"
        self._entries: dict[str, dict[str, Any]] | None = None
        self._put: dict[str, dict[str, Any]] = {}
        self._files: dict[str, Path] = {}
        self._removed: set[str] = set()

    @property
    def _client(self) -> Client:
        return self._client_of()

    def __bool__(self) -> bool:
        return bool(self._put or self._removed)

    def entries(self) -> dict[str, dict[str, Any]]:
        """Return the manifest by path, with the changes that are not sent yet."""
        if self._entries is None:
            self._entries = {entry["path"]: entry for entry in self._client.pages(f"{self._path}/entries")}
        kept = {path: entry for path, entry in self._entries.items() if path not in self._removed}
        return dict(sorted((kept | self._put).items()))

    def add(self, files: Iterable[Found], *, progress: Progress | None = None) -> int:
        """Read files and note those that are new or changed; return how many.

        Raises:
            InvalidPath: a file vanished, changed or cannot be read; then none of them is noted.
        """
        files = list(files)
        meter = Meter(progress, total_bytes=sum(each.size_bytes for each in files))
        digest_of = _digester(self._client, meter)
        made: dict[str, dict[str, Any]] = {}
        for found in files:
            digest, size_bytes = read_steadily(found, read=digest_of)
            made[found.name] = {"path": found.name, "size_bytes": size_bytes, "digest": digest, "mode": found.mode}
        known = self.entries()
        changed = {name: entry for name, entry in made.items() if known.get(name) != entry}
        self._put |= changed
        self._files |= {made[found.name]["digest"]: found.file for found in files if found.name in changed}
        self._removed -= changed.keys()
        return len(changed)

    def remove(self, paths: Iterable[str]) -> None:
        """Note that files leave the manifest."""
        for path in paths:
            self._put.pop(path, None)
            if self._entries is not None and path in self._entries:
                self._removed.add(path)

    def send(self, *, progress: Progress | None = None) -> None:
        """Store the bytes that the server lacks, then change the manifest.

        Raises:
            InvalidPath: a file changed or vanished after it was added; then the manifest stays as it was.
        """
        wanted = {entry["digest"]: entry["size_bytes"] for entry in self._put.values()}
        missing: list[str] = []
        for digests in _batches(wanted, DIGESTS_BATCH):
            missing += self._client.post("/blobs/missing", {"digests": digests}, repeatable=True)["missing"]
        meter = Meter(progress, total_bytes=sum(wanted[digest] for digest in missing))
        self._store(missing, meter=meter)
        for paths in _batches(self._removed, MANIFEST_BATCH):
            self._client.post(f"{self._path}/entries", {"remove": paths}, repeatable=True)
        for entries in _batches(self._put.values(), MANIFEST_BATCH):
            self._client.post(f"{self._path}/entries", {"put": entries}, repeatable=True)
        self._entries = self.entries()
        self._put, self._files, self._removed = {}, {}, set()

    def _store(self, digests: list[str], *, meter: Meter) -> None:
        if not digests:
            return
        with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(digests)), thread_name_prefix="retrain-upload") as pool:
            futures = [pool.submit(self._store_one, digest, meter) for digest in digests]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _store_one(self, digest: str, meter: Meter) -> None:
        file = self._files[digest]
        try:
            self._client.put_file(f"/blobs/{digest}", file, meter=lambda: meter.add)
        except (OSError, DigestMismatch, InvalidPath):
            raise InvalidPath(
                f"{file} changed or vanished after it was added.", hint="Add it again when nothing writes to it."
            ) from None


def _digester(client: Client, meter: Meter) -> Callable[[Path], str]:
    """Return what makes a file's digest; where BLAKE3 is not installed, as in an attempt, the server makes it."""
    if find_spec("blake3") is None:
        return lambda file: store_file(client, file, on_bytes=meter.add)[0]
    return lambda file: digest_of(file, on_bytes=meter.add)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
