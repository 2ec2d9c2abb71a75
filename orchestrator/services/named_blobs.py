"""Which blobs manifests name, found in passes over ranges of digests so that memory stays bounded.

A million digests take some 100 MB as a Python set; there may be many millions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orchestrator.records.manifest import DIGEST_BYTES, block_digests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.records.base import Id
    from orchestrator.store.protocol import Transaction

MOST_DIGESTS = 1_000_000
"""In memory at once, about."""
_BLOCKS_AT_ONCE = 64
_END = 1 << (8 * DIGEST_BYTES)


class Range(NamedTuple):
    """Digests from one on, up to another one that is not in it."""

    low: int
    high: int

    def holds(self, digest: bytes) -> bool:
        """Tell whether a digest is in it."""
        return self.low <= int.from_bytes(digest, "big") < self.high

    @property
    def before(self) -> bytes:
        """The digest before the first: what a list begins after; empty at the very beginning."""
        return (self.low - 1).to_bytes(DIGEST_BYTES, "big") if self.low else b""


def ranges(count: int, *, most: int = MOST_DIGESTS) -> Iterator[Range]:
    """Yield ranges that together hold all digests; of so many that are spread evenly, as hashes are, each holds few.

    Args:
        count: how many digests there are.
        most: how many are to be in one range, about.
    """
    passes = max(1, -(-count // most))
    for number in range(passes):
        yield Range(_END * number // passes, _END * (number + 1) // passes)


def distinct_blocks(transaction: Transaction, *, without: Id | None = None) -> dict[bytes, None]:
    """Return the digests of the blocks of all manifests, or of all but one version's, each once."""
    found: dict[bytes, None] = {}
    for version_id in transaction.datasets.manifests():
        if version_id != without:
            found.update(dict.fromkeys(block.digest for block in transaction.datasets.manifest(version_id).blocks))
    return found


def named_in(transaction: Transaction, *, blocks: Iterable[bytes], within: Range) -> Iterator[bytes]:
    """Yield the digests that blocks of manifests name in a range; some come more than once."""
    digests = list(blocks)
    whole = within == Range(0, _END)
    for start in range(0, len(digests), _BLOCKS_AT_ONCE):
        for data in transaction.datasets.blocks(digests[start : start + _BLOCKS_AT_ONCE]):
            named = block_digests(data)
            yield from named if whole else filter(within.holds, named)
