"""Bytes to and from the server, checked on both ways."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from orchestrator.errors import DigestMismatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.sdk.client import Client


def store_file(client: Client, file: Path, *, on_bytes: Callable[[bytes], object] | None = None) -> tuple[str, int]:
    """Store a file's bytes without knowing their digest, which needs BLAKE3, and return digest and size in bytes.

    Args:
        client: speaks to the server.
        file: whose bytes to store; it does not change meanwhile.
        on_bytes: called with each part that is sent, to show progress.

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

    stored = client.post_file("/blobs", file, meter=meter)
    if stored["sha256"] != sums[-1].hexdigest():
        raise DigestMismatch(f"{file.name} arrived at the server with other bytes.", hint="Try again.")
    return stored["digest"], stored["size_bytes"]
