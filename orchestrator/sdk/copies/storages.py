"""Bytes straight from the storages that this process can read itself, past the server."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from orchestrator.errors import NoSpace, OrchestratorError, ServerUnreachable
from orchestrator.records.manifest import named, raw

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.blobs import BlobStore, Span
    from orchestrator.records.manifest import Entry
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.copies.blob_files import BlobFiles
    from orchestrator.sdk.meter import Meter


class Storages:
    """The storages that a server knows. Safe between threads.

    A storage is read only if it has the identity that the server says: a folder of the same name on another machine is
    another one.

    Args:
        client: speaks to the server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, dict[str, Any]] | None = None
        self._opened: dict[str, BlobStore | None] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        """Of threads that read and write many small files on this machine's disks: several only hinder each other."""

    def fetch(self, entries: list[Entry], *, blobs: BlobFiles, meter: Meter, small_bytes: int) -> list[Entry]:
        """Fetch what can be read; return the files that could not.

        What is not to be had here, for whatever reason, is for the server to give or to say why it cannot.

        Args:
            entries: files whose bytes are not in the cache; none external.
            blobs: where to.
            meter: counts them.
            small_bytes: files below this size are read many at once.
        """
        if not entries or not self._any():
            return entries
        by_digest: dict[bytes, list[Entry]] = {}
        for entry in entries:
            by_digest.setdefault(entry.digest, []).append(entry)
        for store, spans in self._located(by_digest):
            small = [each for each in spans if each[1].size_bytes < small_bytes]
            large = [each for each in spans if each[1].size_bytes >= small_bytes]
            try:
                with self._turn if _is_near(store) else contextlib.nullcontext():
                    for digest, data in store.read_many(small):
                        for entry in by_digest.pop(raw(digest)):
                            blobs.write(entry, data)
                            meter.count(entry.size_bytes, files=1)
                for digest, span in large:
                    for entry in by_digest[raw(digest)]:
                        _copy(store, span, entry, blobs=blobs, meter=meter)
                    del by_digest[raw(digest)]
            except (NoSpace, ServerUnreachable):
                raise
            except OrchestratorError:
                continue
        return [entry for same in by_digest.values() for entry in same]

    def _located(self, digests: Iterable[bytes]) -> Iterator[tuple[BlobStore, list[tuple[str, Span]]]]:
        from orchestrator.blobs import Span  # noqa: PLC0415  needs BLAKE3, which scripts inside attempts may not have

        body = {"digests": [named(digest) for digest in digests]}
        found: dict[str, list[tuple[str, Span]]] = {}
        for each in self._client.post("/blobs/locations", body, repeatable=True)["locations"]:
            span = Span(each["path"], each["offset"], each["size_bytes"], each["part_bytes"])
            found.setdefault(each["storage"], []).append((each["digest"], span))
        for name, spans in found.items():
            store = self._store(name)
            if store is not None:
                yield store, sorted(spans, key=lambda each: each[1])

    def _any(self) -> bool:
        """Tell whether there may be one that can be read, so that it is worth asking where blobs lie."""
        with self._lock:
            if self._known is None:
                try:
                    self._known = {each["name"]: each for each in self._client.get("/storages")["items"]}
                except (ServerUnreachable, NoSpace):
                    raise
                except OrchestratorError:  # who may not know them reads through the server
                    self._known = {}
        return any("://" in each["url"] or self._store(name) is not None for name, each in self._known.items())

    def _store(self, name: str) -> BlobStore | None:
        from orchestrator.blobs import BlobStore  # noqa: PLC0415  as above

        with self._lock:
            if name not in self._opened:
                storage = (self._known or {}).get(name)
                store = None
                if storage is not None:
                    try:
                        opened = BlobStore(storage["url"])
                        if opened.objects.identity(create=False) == storage["identity"]:
                            store = opened
                    except (OrchestratorError, ImportError):  # no credentials here, no way there, no library
                        store = None
                self._opened[name] = store
            return self._opened[name]


def _is_near(store: BlobStore) -> bool:
    return store.objects.local_path("any") is not None


def _copy(store: BlobStore, span: Span, entry: Entry, *, blobs: BlobFiles, meter: Meter) -> None:
    done = 0

    def count(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        meter.count(size_bytes)

    try:
        with blobs.incoming() as draft:
            store.copy_to(span, draft, digest=named(entry.digest), on_bytes=count)
            blobs.adopt(draft, entry)
    except BaseException:
        meter.count(-done)
        raise
    meter.count(0, files=1)
