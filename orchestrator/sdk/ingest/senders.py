"""Bytes on their way to the server: small ones in packs, large ones in pieces, going on after a cut where it was."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from orchestrator.errors import Conflict, DigestMismatch
from orchestrator.records.manifest import named, raw
from orchestrator.sdk.blobs import store_file
from orchestrator.sdk.ingest.patience import PASSING
from orchestrator.sdk.ingest.scan import unusable
from orchestrator.sdk.ingest.steady import changed, hash_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

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
POLL_SECONDS = 2.0
"""Between questions whether the server has put a large file into its place."""
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

    def knows_size(self, size_bytes: int) -> bool:
        """Tell whether a large file of this size is stored; one of another size is new."""
        client, body = self._client_of(), {"sizes": [size_bytes]}
        return bool(self._patience.during(lambda: client.post("/blobs/sizes", body, repeatable=True))["sizes"])


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
        state = arrived(client, path, size_bytes=size_bytes, patience=self._patience)
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
                state = arrived(client, path, size_bytes=size_bytes, patience=self._patience)


def arrived(client: Client, path: str, *, size_bytes: int, patience: Patience) -> dict[str, Any]:
    """Return how far a large upload has come; while the server puts all of it into a slow storage, wait for that.

    Args:
        client: speaks to the server.
        path: of the upload.
        size_bytes: of all.
        patience: how to go on when the server is away.
    """
    while True:
        state: dict[str, Any] = patience.during(lambda: client.get(path))
        if state["stored"] or not state["busy"] or state["received_bytes"] < size_bytes:
            return state
        if not patience.rest(POLL_SECONDS):
            return state


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
