"""Storing bytes whose digests are known and proved, from wherever they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import Conflict, DigestMismatch
from orchestrator.records.manifest import named
from orchestrator.sdk.ingest.patience import PASSING, Patience
from orchestrator.sdk.ingest.senders import ANSWER_SECONDS, PACK_BYTES, PIECE_BYTES, Asking, ThroughServer, arrived

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.sdk.client import Client

    Read = Callable[[int], Iterator[bytes]]
    """Returns a blob's bytes from an offset on."""

SMALL_BYTES = 4 << 20
"""Blobs below this travel in packs."""
_MOST_IN_PACK = 20_000


class KnownBlobs:
    """Sends what the server lacks: small ones together, large ones in pieces. `flush` when all are added.

    Args:
        client: speaks to the server.
        version_id: in whose storage they are kept.
        on_bytes: called with numbers of bytes that are stored now.
    """

    def __init__(self, client: Client, *, version_id: str, on_bytes: Callable[[int], object]) -> None:
        self._client = client
        self._version_id = version_id
        self._on_bytes = on_bytes
        self._patience = Patience()
        self._asking = Asking(lambda: client, patience=self._patience)
        self._small = ThroughServer(lambda: client, version_id=version_id, patience=self._patience)
        self._held: dict[bytes, bytes] = {}
        self._held_bytes = 0

    def missing(self, digests: list[bytes]) -> set[bytes]:
        """Return those that the server lacks; at most 100,000 at once. The others stay for an hour at least."""
        return self._asking.missing(digests)

    def add(self, digest: bytes, *, size_bytes: int, read: Read) -> None:
        """Check a blob and store it where it is missing.

        Args:
            digest: that it must have, 32 bytes.
            size_bytes: that it must have.
            read: yields it from an offset on, as often as it is called.

        Raises:
            DigestMismatch: these are other bytes; nothing is stored.
        """
        if size_bytes >= SMALL_BYTES:
            check(read(0), digest=digest, size_bytes=size_bytes)
            if self.missing([digest]):
                self._send_pieces(named(digest), size_bytes=size_bytes, read=read)
            self._on_bytes(size_bytes)
            return
        data = b"".join(read(0))
        check([data], digest=digest, size_bytes=size_bytes)
        if self._held_bytes + size_bytes > PACK_BYTES or len(self._held) >= _MOST_IN_PACK:
            self.flush()
        self._held[digest] = data
        self._held_bytes += size_bytes

    def flush(self) -> None:
        """Store what is held back."""
        if self._held:
            self._small.store_small(list(self._held.values()), held=[None] * len(self._held))
            self._on_bytes(self._held_bytes)
            self._held, self._held_bytes = {}, 0

    def _send_pieces(self, digest: str, *, size_bytes: int, read: Read) -> None:
        """Send a large blob, going on where an earlier try was cut."""
        path, tries = f"/blobs/{digest}/upload", 0
        state = arrived(self._client, path, size_bytes=size_bytes, patience=self._patience)
        while not state["stored"]:
            done = state["received_bytes"]
            try:
                state = self._client.put_bytes(
                    path,
                    _piece(read(done)),
                    timeout_seconds=ANSWER_SECONDS,
                    offset=done,
                    size=size_bytes,
                    dataset=self._version_id,
                )
                tries = 0
            except (*PASSING, Conflict) as error:  # a conflict: what was sent before a cut has arrived after all
                tries += 1
                self._patience.wait(tries, error)
                state = arrived(self._client, path, size_bytes=size_bytes, patience=self._patience)


def check(chunks: Iterator[bytes] | list[bytes], *, digest: bytes, size_bytes: int) -> None:
    """Read bytes to their end and see whether they are the right ones.

    Raises:
        DigestMismatch: they are not.
    """
    from blake3 import blake3  # noqa: PLC0415  inside an attempt it may be missing, and nothing there needs this

    hasher, count = blake3(), 0
    for chunk in chunks:
        hasher.update(chunk)
        count += len(chunk)
    if count != size_bytes or hasher.digest() != digest:
        raise DigestMismatch(f"The bytes of {named(digest)} are other ones.")


def _piece(chunks: Iterator[bytes]) -> bytes:
    piece = bytearray()
    for chunk in chunks:
        piece += chunk
        if len(piece) >= PIECE_BYTES:
            break
    return bytes(piece)
