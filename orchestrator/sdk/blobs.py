"""Bytes to the server, checked on the way."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from orchestrator.errors import DigestMismatch

CHUNK_BYTES = 1 << 20

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from orchestrator.sdk.client import Client


def store_file(
    client: Client, file: Path, *, on_bytes: Callable[[bytes], object] | None = None, dataset: str | None = None
) -> tuple[str, int]:
    """Store a file's bytes without knowing their digest, which needs BLAKE3, and return digest and size in bytes.

    Args:
        client: speaks to the server.
        file: whose bytes to store; it does not change meanwhile.
        on_bytes: called with each part that is sent, to show progress.
        dataset: id of the version that they are for: they go where its bytes go.

    Raises:
        DigestMismatch: what arrived is not what was sent.
    """
    sums: list[hashlib._Hash] = []

    def meter() -> Callable[[bytes], object]:
        sums.append(hashlib.sha256())

        def count(part: bytes) -> None:
            sums[-1].update(part)
            if on_bytes is not None:
                on_bytes(part)

        return count

    stored = client.post_file("/blobs" if dataset is None else f"/blobs?dataset={dataset}", file, meter=meter)
    if stored["sha256"] != sums[-1].hexdigest():
        raise DigestMismatch(f"{file.name} arrived at the server with other bytes.", hint="Try again.")
    return stored["digest"], stored["size_bytes"]


def store_missing(client: Client, files: Sequence[Path]) -> list[str]:
    """Store those files whose bytes the server lacks, and return the digests of all of them, in order.

    Args:
        client: speaks to the server.
        files: whose bytes to store; they do not change meanwhile.

    Raises:
        DigestMismatch: what arrived is not what was sent.
    """
    if not files:
        return []
    try:
        digests = [digest_of(file) for file in files]
    except ImportError:
        return [store_file(client, file)[0] for file in files]
    missing = set(client.post("/blobs/missing", {"digests": digests}, repeatable=True)["missing"])
    for digest, file in zip(digests, files, strict=True):
        if digest in missing:
            client.put_file(f"/blobs/{digest}", file)
    return digests


def digest_of(file: Path) -> str:
    """Read a file and return its digest.

    Raises:
        ImportError: BLAKE3 is not installed, as inside an attempt.
    """
    from blake3 import blake3  # noqa: PLC0415  inside an attempt it may be missing, and most scripts need it not

    hasher = blake3()
    with file.open("rb", buffering=0) as source:
        while part := source.read(CHUNK_BYTES):
            hasher.update(part)
    return f"blake3:{hasher.hexdigest()}"
