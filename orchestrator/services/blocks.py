"""Blocks of manifests within one transaction: read ahead, and written many at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import blake3

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.records.manifest import Manifest
    from orchestrator.store.protocol import Datasets

_AT_ONCE = 64


class Blocks:
    """What `records.manifest.edit` loads from and saves to; `flush` at the end.

    Args:
        datasets: of the transaction.
    """

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets
        self._ahead: dict[bytes, bytes] = {}
        self._made: dict[bytes, bytes] = {}

    def read_ahead(self, manifest: Manifest, paths: Iterable[str]) -> None:
        """Read the blocks that have these paths, if these are few: one question for all of them."""
        places: set[int] = set()
        for path in paths:
            places.add(manifest.index(path))
            if len(places) > _AT_ONCE:
                return
        digests = [manifest.blocks[place].digest for place in sorted(places) if place < len(manifest.blocks)]
        self._ahead = dict(zip(digests, self._datasets.blocks(digests), strict=True)) if digests else {}

    def load(self, digests: Sequence[bytes]) -> list[bytes]:
        """Return blocks by their digests, in the order asked."""
        if all(digest in self._ahead for digest in digests):
            return [self._ahead[digest] for digest in digests]
        return self._datasets.blocks(digests)

    def save(self, data: bytes) -> bytes:
        """Keep a block, sooner or later, and return its digest."""
        digest = blake3.blake3(data).digest()
        self._made[digest] = data
        if len(self._made) >= _AT_ONCE:
            self.flush()
        return digest

    def flush(self) -> None:
        """Keep what was not kept yet."""
        made, self._made = self._made, {}
        if made:
            self._datasets.save_blocks(made)
