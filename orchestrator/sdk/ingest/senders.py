"""Two ways for bytes to get to where a version's bytes go.

`Direct` writes them into the storage itself, where this process can, and tells the server what lies where.
`ThroughServer` sends them to the server: small ones in packs, large ones in pieces, going on after a cut where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from functools import partial
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from orchestrator.errors import Conflict, DigestMismatch, Forbidden, OrchestratorError
from orchestrator.records.manifest import named, raw
from orchestrator.sdk.attempt import attempt_directory
from orchestrator.sdk.blobs import store_file
from orchestrator.sdk.ingest.patience import PASSING
from orchestrator.sdk.ingest.scan import unusable
from orchestrator.sdk.ingest.steady import changed, hash_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from orchestrator.blobs import BlobStore, Pack
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.ingest.patience import Patience
    from orchestrator.sdk.ingest.steady import Steady

    OnBytes = Callable[[int], object]

PACK_BYTES = 16 << 20
"""A pack is not made longer; no blob in one is."""
PIECE_BYTES = 32 << 20
"""Of a large file at once."""
UNASKED_BYTES = 1 << 20
"""So little is sent without asking whether it is missing: that costs less than the question."""
ANSWER_SECONDS = 600.0
"""Of pieces and packs: the server reads a large file once more before it says that it has it."""
_LENGTH = struct.Struct("<I")


class Sender(Protocol):
    """Stores bytes. May be used by several threads at once."""

    def store_small(self, blobs: Sequence[bytes], *, held: Sequence[bytes | None]) -> list[bytes]:
        """Store those of several blobs that are missing and return the digests of all, 32 bytes each.

        Args:
            blobs: their bytes, together 16 MiB at most.
            held: for each the digest of what is surely stored in its place, or None.

        Raises:
            NoSpace: the disk is full.
            ServerUnreachable, ServerFailed, Unavailable: still, after a minute.
        """

    def store_large(self, steady: Steady, *, held: bytes | None, on_bytes: OnBytes) -> bytes:
        """Store a large file unless it is there, and return its digest.

        Args:
            steady: the file; whoever calls checks afterwards that it held still.
            held: as for `store_small`.
            on_bytes: called with numbers of bytes that are stored.

        Raises:
            InvalidPath: the file changed or cannot be read.
            NoSpace, ServerUnreachable, ServerFailed, Unavailable: as for `store_small`.
        """


class Asking:
    """Asks the server which blobs are missing.

    Args:
        client_of: returns what speaks for this process at the moment.
        patience: how to go on when the server is away.
    """

    def __init__(self, client_of: Callable[[], Client], *, patience: Patience) -> None:
        self._client_of = client_of
        self._patience = patience

    def missing(self, digests: Iterable[bytes]) -> set[bytes]:
        """Return those that are not stored; the others will stay for an hour at least.

        Args:
            digests: at most 100,000.
        """
        body = {"digests": [named(digest) for digest in dict.fromkeys(digests)]}
        if not body["digests"]:
            return set()
        client = self._client_of()
        answer = self._patience.during(lambda: client.post("/blobs/missing", body, repeatable=True))
        return {raw(name) for name in answer["missing"]}


class ThroughServer:
    """Sends bytes to the server.

    Args:
        client_of: returns what speaks for this process at the moment.
        version_id: of the draft.
        patience: how to go on when the server is away.
    """

    def __init__(self, client_of: Callable[[], Client], *, version_id: str, patience: Patience) -> None:
        self._client_of = client_of
        self._version_id = version_id
        self._patience = patience
        self._asking = Asking(client_of, patience=patience)
        self._hashes = find_spec("blake3") is not None

    def store_small(self, blobs: Sequence[bytes], *, held: Sequence[bytes | None]) -> list[bytes]:
        """Send packs; without BLAKE3 the server says what the digests are."""
        if not self._hashes:
            return self._store_unnamed(blobs)
        digests, new = hashed(blobs, held=held)
        if sum(map(len, new.values())) > UNASKED_BYTES:
            missing = self._asking.missing(new)
            new = {digest: data for digest, data in new.items() if digest in missing}
        if new:
            self._send(list(new.values()), digests=[named(digest) for digest in new])
        return digests

    def store_large(self, steady: Steady, *, held: bytes | None, on_bytes: OnBytes) -> bytes:
        """Hash the file, ask, and send it in pieces."""
        if not self._hashes:
            return self._store_large_unnamed(steady, on_bytes=on_bytes)
        digest = hash_large(steady.file, on_bytes=lambda _: on_bytes(0))
        if digest == held or not self._asking.missing([digest]):
            on_bytes(steady.status.st_size)
            return digest
        steady.check()
        try:
            self._send_pieces(steady, digest=named(digest), on_bytes=on_bytes)
        except DigestMismatch:
            raise changed(steady.file) from None
        return digest

    def _store_unnamed(self, blobs: Sequence[bytes]) -> list[bytes]:
        stored = self._send(blobs, digests=None) if blobs else []
        for data, each in zip(blobs, stored, strict=True):
            if each["sha256"] != hashlib.sha256(data).hexdigest():
                raise DigestMismatch("Files arrived at the server with other bytes.", hint="Try again.")
        return [raw(each["digest"]) for each in stored]

    def _store_large_unnamed(self, steady: Steady, *, on_bytes: OnBytes) -> bytes:
        client, done = self._client_of(), 0

        def count(part: bytes) -> None:
            nonlocal done
            done += len(part)
            on_bytes(len(part))

        def send() -> str:
            nonlocal done
            on_bytes(-done)  # begun anew
            done = 0
            return store_file(client, Path(steady.file), on_bytes=count, dataset=self._version_id)[0]

        try:
            return raw(self._patience.during(send))
        except OSError as error:
            raise unusable(steady.file, error) from None

    def _send(self, blobs: Sequence[bytes], *, digests: list[str] | None) -> list[dict[str, Any]]:
        header = json.dumps({"sizes": list(map(len, blobs)), "digests": digests}, separators=(",", ":")).encode()
        pieces = [_LENGTH.pack(len(header)), header, *_gathered(blobs)]
        client = self._client_of()

        def send() -> Any:  # noqa: ANN401  JSON
            return client.post_bytes("/blobs/packs", pieces, timeout_seconds=ANSWER_SECONDS, dataset=self._version_id)

        stored: list[dict[str, Any]] = self._patience.during(send)["blobs"]
        return stored

    def _send_pieces(self, steady: Steady, *, digest: str, on_bytes: OnBytes) -> None:
        client, path, size_bytes = self._client_of(), f"/blobs/{digest}/upload", steady.status.st_size
        counted, tries = 0, 0
        state = self._patience.during(lambda: client.get(path))
        while True:
            done = size_bytes if state["stored"] else state["received_bytes"]
            on_bytes(done - counted)
            counted = done
            if state["stored"]:
                return
            data = _piece(steady.file, offset=done)
            if not data and done < size_bytes:
                raise changed(steady.file)
            try:
                state = client.put_bytes(
                    path,
                    data,
                    timeout_seconds=ANSWER_SECONDS,
                    offset=done,
                    size=size_bytes,
                    dataset=self._version_id,
                )
                tries = 0
            except (*PASSING, Conflict) as error:  # a conflict: what was sent before a cut has arrived after all
                tries += 1
                self._patience.wait(tries, error)
                state = self._patience.during(lambda: client.get(path))


class Direct:
    """Writes bytes into a storage that this process sees itself.

    Args:
        store: the storage.
        name: what the server calls it.
        client_of: returns what speaks for this process at the moment.
        patience: how to go on when the server is away.
    """

    def __init__(self, store: BlobStore, *, name: str, client_of: Callable[[], Client], patience: Patience) -> None:
        self._store = store
        self._name = name
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

        A file that may be the one that is there is hashed first in any case: that costs less than a copy.
        """
        file, size_bytes = Path(steady.file), steady.status.st_size
        is_directory = self._store.objects.local_path("x") is not None
        if held is not None or not is_directory:
            digest = hash_large(steady.file, on_bytes=lambda _: on_bytes(0))
            if digest == held or (not is_directory and not self._asking.missing([digest])):
                on_bytes(size_bytes)
                return digest
            steady.check()
        if is_directory:
            name, span = self._store.put_stream_file(file, on_bytes=on_bytes)
        else:
            name = named(digest)
            span = self._store.put_file(file, digest=name, size_bytes=size_bytes, on_bytes=on_bytes)
        # Registered even if the file changed meanwhile: what is stored is something, and collected when unused.
        blob = {"digest": name, "offset": 0, "size_bytes": span.size_bytes}
        self._register(
            {"path": span.path, "size_bytes": span.size_bytes, "part_bytes": span.part_bytes, "blobs": [blob]}
        )
        return raw(name)

    def _register_pack(self, pack: Pack) -> None:
        blobs = [{"digest": each.digest, "offset": each.offset, "size_bytes": each.size_bytes} for each in pack.blobs]
        self._register({"path": pack.path, "size_bytes": pack.size_bytes, "blobs": blobs})

    def _register(self, body: dict[str, Any]) -> None:
        client = self._client_of()
        self._patience.during(lambda: client.post("/blobs/objects", {"storage": self._name} | body, repeatable=True))


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
    return Direct(store, name=storage["name"], client_of=client_of, patience=patience)


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
        if self._sender is None and sum(map(len, blobs)) <= UNASKED_BYTES:
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


def hashed(blobs: Sequence[bytes], *, held: Sequence[bytes | None]) -> tuple[list[bytes], dict[bytes, bytes]]:
    """Return the digests of blobs, and by digest those blobs that are not held."""
    from blake3 import blake3  # noqa: PLC0415  inside an attempt it may be missing, and the server hashes

    digests = [blake3(data).digest() for data in blobs]
    new = {digest: data for digest, data, before in zip(digests, blobs, held, strict=True) if digest != before}
    return digests, new


def _gathered(blobs: Sequence[bytes]) -> list[bytes]:
    """Return the same bytes in fewer pieces: each costs a call to the system."""
    gathered = []
    part: list[bytes] = []
    for data, total in zip(blobs, accumulate(map(len, blobs)), strict=True):
        part.append(data)
        if total // _GATHERED_BYTES != (total - len(data)) // _GATHERED_BYTES:
            gathered.append(b"".join(part))
            part = []
    if part:
        gathered.append(b"".join(part))
    return gathered


_GATHERED_BYTES = 1 << 20


def _piece(file: str, *, offset: int) -> bytes:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, PIECE_BYTES, offset)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unusable(file, error) from None


def _is_ours(root: Path) -> bool:
    try:
        return root.stat().st_uid == os.geteuid() and os.access(root, os.W_OK | os.X_OK)
    except OSError:
        return False
