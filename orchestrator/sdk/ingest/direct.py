"""Bytes on their way to where a version's bytes go, past the server where this process can write there itself."""

from __future__ import annotations

import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import Forbidden, OrchestratorError
from orchestrator.records.manifest import named, raw
from orchestrator.sdk.attempt import attempt_directory
from orchestrator.sdk.ingest import senders
from orchestrator.sdk.ingest.senders import Asking, ThroughServer, hashed
from orchestrator.sdk.ingest.steady import hash_large

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from orchestrator.blobs import BlobStore, Pack, Span
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.ingest.patience import Patience
    from orchestrator.sdk.ingest.senders import OnBytes, Sender
    from orchestrator.sdk.ingest.steady import Steady


class Direct:
    """Writes bytes into a storage that this process sees itself.

    Args:
        store: the storage.
        name: what the server calls it.
        version_id: of the draft whose storage it is.
        client_of: returns what speaks for this process at the moment.
        patience: how to go on when the server is away.
    """

    def __init__(
        self,
        store: BlobStore,
        *,
        name: str,
        version_id: str,
        client_of: Callable[[], Client],
        patience: Patience,
    ) -> None:
        self._store = store
        self._name = name
        self._path = f"/blobs/objects?dataset={version_id}"
        self._client_of = client_of
        self._patience = patience
        self._asking = Asking(client_of, patience=patience)

    def store_small(self, blobs: Sequence[bytes], *, held: Sequence[bytes | None]) -> list[bytes]:
        """Write a pack."""
        digests, new = hashed(blobs, held=held)
        missing = self._asking.missing(new)
        if missing:
            with self._store.packs(on_pack=self._register_pack) as packs:
                for digest, data in new.items():
                    if digest in missing:
                        packs.add(named(digest), data)
        return digests

    def store_large(self, steady: Steady, *, held: bytes | None, on_bytes: OnBytes) -> bytes:
        """Copy the file into a directory, hashing it on the way; elsewhere hash it first and ask.

        A file that may be one that is stored is hashed first in any case: that costs less than a copy.
        """
        file, size_bytes = Path(steady.file), steady.status.st_size
        if self._store.objects.local_path("x") is None:
            return self._send_large(file, steady, held=held, on_bytes=on_bytes)
        if held is not None or self._asking.knows_size(size_bytes):
            digest = hash_large(steady.file, on_bytes=lambda _: on_bytes(0))
            if digest == held or not self._asking.missing([digest]):
                on_bytes(size_bytes)
                return digest
            steady.check()
        name, span = self._store.put_stream_file(file, on_bytes=on_bytes)
        self._register_large(name, span)
        return raw(name)

    def _send_large(self, file: Path, steady: Steady, *, held: bytes | None, on_bytes: OnBytes) -> bytes:
        from orchestrator.blobs.files import hash_file  # noqa: PLC0415  it needs BLAKE3

        name, size_bytes, prefixes = hash_file(file, on_bytes=lambda _: on_bytes(0))
        if raw(name) == held or not self._asking.missing([raw(name)]):
            on_bytes(size_bytes)
            return raw(name)
        steady.check()
        span = self._store.put_file(file, digest=name, size_bytes=size_bytes, prefixes=prefixes, on_bytes=on_bytes)
        self._register_large(name, span)
        return raw(name)

    def _register_large(self, name: str, span: Span) -> None:
        """Tell the server, even if the file changed meanwhile: what is stored is something; unused, it is collected."""
        blob = {"digest": name, "offset": 0, "size_bytes": span.size_bytes}
        self._register(
            {"path": span.path, "size_bytes": span.size_bytes, "part_bytes": span.part_bytes, "blobs": [blob]}
        )

    def _register_pack(self, pack: Pack) -> None:
        blobs = [{"digest": each.digest, "offset": each.offset, "size_bytes": each.size_bytes} for each in pack.blobs]
        self._register({"path": pack.path, "size_bytes": pack.size_bytes, "blobs": blobs})

    def _register(self, body: dict[str, Any]) -> None:
        client = self._client_of()
        self._patience.during(lambda: client.post(self._path, {"storage": self._name} | body, repeatable=True))


def find_direct(client_of: Callable[[], Client], *, version_id: str, patience: Patience) -> Direct | None:
    """Return what writes a version's bytes straight to where they go; None where this process cannot.

    It can where it sees the same place as the server, which the marker in it shows, and may write there. In a directory
    it must be the same user, too: the server has to tidy up what was written.
    """
    if os.environ.get("RETRAIN_DIRECT") == "0" or attempt_directory() is not None or find_spec("blake3") is None:
        return None
    from orchestrator.blobs import BlobStore  # noqa: PLC0415  it needs BLAKE3

    client = client_of()
    storage = patience.during(lambda: client.get(f"/datasets/{version_id}/storage"))
    try:
        store = BlobStore(storage["url"])
        place = store.objects.local_path("x")
        if place is not None and not _is_ours(place.parent):
            return None
        if store.objects.identity(create=False) != storage["identity"]:
            return None
    except OrchestratorError:
        return None  # no library, no credentials, no way there: the server has all of them
    return Direct(store, name=storage["name"], version_id=version_id, client_of=client_of, patience=patience)


class Chosen:
    """The better way, looked for when there is something to store.

    Args:
        client_of: returns what speaks for this process at the moment.
        version_id: of the draft.
        patience: how to go on when the server is away.
    """

    def __init__(self, client_of: Callable[[], Client], *, version_id: str, patience: Patience) -> None:
        self._through = ThroughServer(client_of, version_id=version_id, patience=patience)
        self._find = partial(find_direct, client_of, version_id=version_id, patience=patience)
        self._sender: Sender | None = None

    def store_small(self, blobs: Sequence[bytes], *, held: Sequence[bytes | None]) -> list[bytes]:
        """Store blobs; few bytes go through the server in any case, with a single request."""
        if self._sender is None and sum(map(len, blobs)) <= senders.UNASKED_BYTES:
            return self._through.store_small(blobs, held=held)
        try:
            return self._found().store_small(blobs, held=held)
        except Forbidden:
            if self._sender is self._through:
                raise
        self._sender = self._through  # the storage lets us read, but not write
        return self._through.store_small(blobs, held=held)

    def store_large(self, steady: Steady, *, held: bytes | None, on_bytes: OnBytes) -> bytes:
        """Store a large file."""
        try:
            return self._found().store_large(steady, held=held, on_bytes=on_bytes)
        except Forbidden:
            if self._sender is self._through:
                raise
        self._sender = self._through
        return self._through.store_large(steady, held=held, on_bytes=on_bytes)

    def _found(self) -> Sender:
        if self._sender is None:
            self._sender = self._find() or self._through
        return self._sender


def _is_ours(root: Path) -> bool:
    try:
        return root.stat().st_uid == os.geteuid() and os.access(root, os.W_OK | os.X_OK)
    except OSError:
        return False
