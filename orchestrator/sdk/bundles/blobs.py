"""Which blobs an exported version has, and their way from the server into the file."""

from __future__ import annotations

import io
import sqlite3
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING

from orchestrator.errors import DigestMismatch, NotFound, ServerFailed, ServerUnreachable
from orchestrator.records.manifest import NO_DIGEST, decode_block, named
from orchestrator.sdk.bundles.contents import BLOBS
from orchestrator.sdk.ingest.known_blobs import SMALL_BYTES, check
from orchestrator.sdk.ingest.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from orchestrator.sdk.bundles.file import BundleWriter
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.datasets.version_files import VersionFiles
    from orchestrator.sdk.meter import Meter

    Blob = tuple[bytes, int]
    """Digest and size in bytes."""

_BATCH_BYTES = 8 << 20
_BATCH_BLOBS = 5_000
_AHEAD = 3
_CACHE_KIB = 16 << 10


class BlobList:
    """Digests, each once, in the order in which they came first: on disk where they are many."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a temporary file without a name, once memory does not hold it
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.execute("CREATE TABLE known (digest BLOB PRIMARY KEY) WITHOUT ROWID")
        self._database.execute(
            "CREATE TABLE blobs (number INTEGER PRIMARY KEY, digest BLOB UNIQUE, size_bytes INTEGER, left_out INTEGER)"
        )

    def close(self) -> None:
        """Forget all."""
        self._database.close()

    def note_known(self, block: bytes) -> None:
        """Leave out what is in a block of another version's manifest; before anything is added."""
        digests = ((entry.digest,) for entry in decode_block(block) if entry.digest != NO_DIGEST)
        self._database.executemany("INSERT OR IGNORE INTO known VALUES (?)", digests)

    def add(self, blobs: Iterable[Blob]) -> None:
        """Add blobs that are not there yet."""
        self._database.executemany(
            "INSERT OR IGNORE INTO blobs (digest, size_bytes, left_out) "
            "VALUES (?1, ?2, EXISTS (SELECT 1 FROM known WHERE digest = ?1))",
            blobs,
        )

    def add_block(self, block: bytes) -> None:
        """Add the blobs in a block of a manifest."""
        entries = decode_block(block)
        self.add((entry.digest, entry.size_bytes) for entry in entries if entry.digest != NO_DIGEST)

    def totals(self) -> tuple[int, int, int]:
        """Return how many are there, how many are left out, and the size in bytes of those that are there."""
        row = self._database.execute(
            "SELECT coalesce(sum(NOT left_out), 0), coalesce(sum(left_out), 0),"
            " coalesce(sum(size_bytes * (NOT left_out)), 0) FROM blobs"
        ).fetchone()
        return int(row[0]), int(row[1]), int(row[2])

    def left_out(self, at_once: int) -> Iterator[list[bytes]]:
        """Yield the digests of what is left out, so many at once."""
        rows = self._database.execute("SELECT digest FROM blobs WHERE left_out ORDER BY number")
        while found := rows.fetchmany(at_once):
            yield [digest for (digest,) in found]

    def __iter__(self) -> Iterator[Blob]:
        yield from self._database.execute("SELECT digest, size_bytes FROM blobs WHERE NOT left_out ORDER BY number")


def fetch_blobs(client: Client, blobs: BlobList, *, files: VersionFiles, writer: BundleWriter, meter: Meter) -> None:
    """Write the bytes of all blobs; small ones come many at once, and some are on their way while others are written.

    Raises:
        DigestMismatch: stored bytes are damaged or gone; the message names the file.
    """
    fetching = _Fetching(client, files=files, meter=meter)
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="retrain-export") as pool:
        waiting: deque[tuple[list[Blob], Future[list[bytes]] | None]] = deque()
        try:
            for batch in _batches(blobs):
                small = batch[0][1] < SMALL_BYTES
                waiting.append((batch, pool.submit(fetching.small, batch) if small else None))
                if len(waiting) > _AHEAD:
                    fetching.write(*waiting.popleft(), writer=writer)
            while waiting:
                fetching.write(*waiting.popleft(), writer=writer)
        finally:
            fetching.patience.end()
            for _, future in waiting:
                if future is not None:
                    future.cancel()


class _Fetching:
    def __init__(self, client: Client, *, files: VersionFiles, meter: Meter) -> None:
        self._client = client
        self._files = files
        self._meter = meter
        self.patience = Patience()

    def write(self, batch: list[Blob], future: Future[list[bytes]] | None, *, writer: BundleWriter) -> None:
        if future is None:
            self._large(*batch[0], writer=writer)
            return
        for (digest, size_bytes), data in zip(batch, future.result(), strict=True):
            writer.add(f"{BLOBS}{digest.hex()}", data)
            self._meter.count(size_bytes, files=1)

    def small(self, batch: list[Blob]) -> list[bytes]:
        """Return the bytes of several blobs, checked."""
        body = {"digests": [named(digest) for digest, _ in batch]}
        try:
            answer = self.patience.during(lambda: self._client.post_for_bytes("/blobs/bundle", body))
        except (NotFound, DigestMismatch, ServerFailed, ServerUnreachable):
            return [self._one(blob) for blob in batch]  # one of them is damaged: which?
        place, found = 0, []
        for digest, size_bytes in batch:
            data = answer[place : place + size_bytes]
            self._check(data, digest=digest, size_bytes=size_bytes)
            found.append(data)
            place += size_bytes
        return found

    def _one(self, blob: Blob) -> bytes:
        digest, size_bytes = blob
        target = io.BytesIO()
        self._download(digest, target, size_bytes=size_bytes)
        return target.getvalue()

    def _large(self, digest: bytes, size_bytes: int, *, writer: BundleWriter) -> None:
        def write(target: IO[bytes]) -> None:
            self._download(digest, target, size_bytes=size_bytes)

        writer.add_large(f"{BLOBS}{digest.hex()}", size_bytes, write)
        self._meter.count(0, files=1)

    def _download(self, digest: bytes, target: IO[bytes], *, size_bytes: int) -> None:
        from blake3 import blake3  # noqa: PLC0415  inside an attempt it may be missing, and nothing there needs this

        hasher = blake3()

        def count(part: bytes) -> None:
            hasher.update(part)
            if size_bytes >= SMALL_BYTES:
                self._meter.count(len(part))

        try:
            found = self._client.download(f"/blobs/{named(digest)}", target, on_bytes=count)
        except (NotFound, DigestMismatch, ServerFailed) as error:
            raise self._damaged(digest, error.message.rstrip(".")) from error
        if found != size_bytes or hasher.digest() != digest:
            raise self._damaged(digest, "its bytes are not those that were added")

    def _check(self, data: bytes, *, digest: bytes, size_bytes: int) -> None:
        try:
            check([data], digest=digest, size_bytes=size_bytes)
        except DigestMismatch as error:
            raise self._damaged(digest, "its bytes are not those that were added") from error

    def _damaged(self, digest: bytes, reason: str) -> DigestMismatch:
        paths = (entry.path for entry in self._files.entries() if entry.digest == digest)
        return DigestMismatch(
            f"{next(paths, named(digest))} cannot be exported: {reason}.",
            hint="Find its bytes elsewhere first: retrain dataset repair",
        )


def _batches(blobs: Iterable[Blob]) -> Iterator[list[Blob]]:
    """Yield small blobs together, each large one alone, in order."""
    batch: list[Blob] = []
    batch_bytes = 0
    for blob in blobs:
        size_bytes = blob[1]
        alone = size_bytes >= SMALL_BYTES
        if batch and (alone or batch_bytes + size_bytes > _BATCH_BYTES or len(batch) >= _BATCH_BLOBS):
            yield batch
            batch, batch_bytes = [], 0
        if alone:
            yield [blob]
        else:
            batch.append(blob)
            batch_bytes += size_bytes
    if batch:
        yield batch
