"""From wherever the bytes of files can be had into the cache, each checked before it counts."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from orchestrator.errors import (
    DigestMismatch,
    NotFound,
    OrchestratorError,
    ServerFailed,
    ServerUnreachable,
)
from orchestrator.holes import SparseWriter
from orchestrator.records.manifest import Kind, named
from orchestrator.sdk.copies.storages import Storages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.records.links import LinkPolicy
    from orchestrator.records.manifest import Entry
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.copies.blob_files import BlobFiles
    from orchestrator.sdk.meter import Meter

SMALL_BYTES = 4 << 20
"""Files below this size travel many at once."""
BUNDLE_BYTES = 32 << 20
BUNDLE_FILES = 5_000
LINKS_AT_ONCE = 8
"""To files that lie elsewhere."""
PAUSES_SECONDS = (0.2, 1.0)
"""Between the tries to download a large file."""
_HINT = "The stored bytes are damaged: `retrain dataset verify` says which, `retrain dataset repair` mends them."
_EXTERNAL, _DIRECTORY = int(Kind.EXTERNAL), int(Kind.DIRECTORY)


class Fetcher:
    """Fetches files of one version. Safe between threads.

    Args:
        client: speaks to the server.
        blobs: where to.
        links: which files that lie elsewhere may be fetched.
        meter: counts what was fetched.
    """

    def __init__(self, client: Client, *, blobs: BlobFiles, links: LinkPolicy, meter: Meter) -> None:
        self._policy = links
        self._client = client
        self._blobs = blobs
        self._meter = meter
        self._storages = Storages(client)
        self._coming: dict[str, threading.Event] = {}
        """Blobs that a thread fetches now."""
        self._lock = threading.Lock()

    def fetch(self, entries: Iterable[Entry]) -> None:
        """Have the bytes of files in the cache.

        Args:
            entries: of the files; those that are there are not fetched.

        Raises:
            DigestMismatch: a file's bytes are not those of the manifest; the message names it.
            ServerUnreachable: the server is away.
        """
        wanted: dict[str, Entry] = {}
        links: dict[str, Entry] = {}
        for entry in entries:
            if entry.kind == _DIRECTORY:
                continue
            if self._blobs.has(entry) or self._blobs.take_from_twin(entry) or self._is_empty(entry):
                self._meter.count(entry.size_bytes, files=1)
                continue
            group = links if entry.kind == _EXTERNAL else wanted
            path = self._blobs.path(entry)
            if path in group:
                self._meter.count(entry.size_bytes, files=1)
            group[path] = entry
        if links:
            self._follow(links.values())
        if wanted:
            self._fetch_once(wanted)

    def _fetch_once(self, wanted: dict[str, Entry]) -> None:
        """Fetch blobs, but for those that another thread fetches already: for these it is waited."""
        done = threading.Event()
        with self._lock:
            awaited = [(entry, self._coming[path]) for path, entry in wanted.items() if path in self._coming]
            ours = {path: entry for path, entry in wanted.items() if path not in self._coming}
            self._coming |= dict.fromkeys(ours, done)
        try:
            missing = []
            for entry in ours.values():
                if self._blobs.has(entry):  # whoever fetched it was done before it was ours
                    self._meter.count(entry.size_bytes, files=1)
                else:
                    missing.append(entry)
            left = self._storages.fetch(missing, blobs=self._blobs, meter=self._meter, small_bytes=SMALL_BYTES)
            self._from_server(left)
        finally:
            with self._lock:
                for path in ours:
                    del self._coming[path]
            done.set()
        for _, event in awaited:
            event.wait()
        if awaited:
            self.fetch([entry for entry, _ in awaited])

    def _is_empty(self, entry: Entry) -> bool:
        """Make an empty file out of nothing."""
        if entry.size_bytes or entry.kind == _EXTERNAL or _digest(b"") != entry.digest:
            return False
        self._blobs.write(entry, b"")
        return True

    def _from_server(self, entries: list[Entry]) -> None:
        small = [entry for entry in entries if entry.size_bytes < SMALL_BYTES]
        singly = [entry for entry in entries if entry.size_bytes >= SMALL_BYTES]
        if len(small) > 1:
            small = self._bundle(small)
        for entry in small + singly:
            self._single(entry)

    def _bundle(self, entries: list[Entry]) -> list[Entry]:
        """Fetch small files in one answer; return those that have to be asked for one by one."""
        try:
            body = {"digests": [named(entry.digest) for entry in entries]}
            answer = memoryview(self._client.post_for_bytes("/blobs/bundle", body))
        except (ServerFailed, ServerUnreachable, DigestMismatch, NotFound):  # a damaged one breaks it off
            return entries
        if len(answer) != sum(entry.size_bytes for entry in entries):
            return entries
        left = []
        place = 0
        for entry in entries:
            data = answer[place : place + entry.size_bytes]
            place += entry.size_bytes
            if _digest(data) != entry.digest:
                left.append(entry)
                continue
            self._blobs.write(entry, data)
            self._meter.count(entry.size_bytes, files=1)
        return left

    def _single(self, entry: Entry) -> None:
        """Download one file, and again where that broke off."""
        for pause_seconds in (*PAUSES_SECONDS, None):
            try:
                self._download(entry)
            except ServerUnreachable:
                if pause_seconds is None:
                    raise
            except (ServerFailed, DigestMismatch, NotFound) as error:  # a server forgets bytes that it finds corrupt
                if pause_seconds is None or isinstance(error, NotFound):
                    raise _damaged(entry, error) from error
            else:
                return
            time.sleep(pause_seconds)

    def _download(self, entry: Entry) -> None:
        from blake3 import blake3  # noqa: PLC0415  inside an attempt, where it may be missing, the supervisor does this

        hasher = blake3()
        done = 0

        def take(part: bytes) -> None:
            nonlocal done
            hasher.update(part)
            done += len(part)
            self._meter.count(len(part))

        try:
            with self._blobs.incoming() as draft:
                with draft.open("xb") as target:
                    writer = SparseWriter(target)
                    self._client.download(f"/blobs/{named(entry.digest)}", writer, on_bytes=take)
                    writer.finish()
                _require(hasher.digest(), entry=entry)
                self._blobs.adopt(draft, entry)
        except BaseException:
            self._meter.count(-done)
            raise
        self._meter.count(0, files=1)

    def _follow(self, links: Iterable[Entry]) -> None:
        with ThreadPoolExecutor(LINKS_AT_ONCE, thread_name_prefix="retrain-link") as pool:
            try:
                for future in [pool.submit(self._external, entry) for entry in links]:
                    future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _external(self, entry: Entry) -> None:
        from orchestrator.sdk.ingest.external import fetch_external  # noqa: PLC0415  few versions have such files

        with self._blobs.incoming() as draft:
            fetch_external(entry, draft, policy=self._policy, on_bytes=self._meter.count)
            self._blobs.adopt(draft, entry)
        self._meter.count(0, files=1)


def _digest(data: bytes | memoryview) -> bytes:
    from blake3 import blake3  # noqa: PLC0415  as above

    return blake3(data).digest()


def _require(found: bytes, *, entry: Entry) -> None:
    if found != entry.digest:
        raise DigestMismatch("its bytes are not those that were added")


def _damaged(entry: Entry, error: OrchestratorError) -> DigestMismatch:
    return DigestMismatch(f"{entry.path} cannot be had as it was added: {error.message.rstrip('.')}.", hint=_HINT)
