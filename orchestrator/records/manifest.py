"""Manifests: which files a dataset version is made of, readable in part and shared between versions.

A manifest is a sorted list of entries, cut into blocks of about 256. Each block is stored once under the digest of its
bytes, and a version keeps the list of its blocks: where each begins, how many files and bytes it holds. So one entry is
found by reading one block, a version that changes ten files writes at most some ten new blocks however many files it
has, the last of a thousand versions opens like the first, and two versions are compared by reading only the blocks in
which they differ.

Blocks end where the hash of an entry's path says so, not after a fixed number: an insertion moves no boundary but its
own, and equal contents have equal blocks whatever led to them (the idea of content-defined chunking: Muthitacharoen et
al., A low-bandwidth network file system, SOSP 2001; of sorted trees cut so: the prolly trees of Noms).

Entries are in the order in which a walk meets them: compared part by part, each part by its bytes. A directory's files
follow its own name at once, which makes a name that is file and directory show itself between neighbours.

The standard library alone: scripts inside attempts read manifests, too. Who writes one brings the hash.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.records.manifest_blocks import (
    DIGEST_BYTES,
    MAGIC_LIST,
    NO_DIGEST,
    Columns,
    Entry,
    Kind,
    block_digests,
    decode_block,
    encode_block,
    join,
    named,
    numbers,
    order,
    packed,
    raw,
    split,
    unpacked,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Load = Callable[[Sequence[bytes]], Iterable[bytes]]

__all__ = [
    "DIGEST_BYTES",
    "NO_DIGEST",
    "Block",
    "Entry",
    "Kind",
    "Manifest",
    "block_digests",
    "decode_block",
    "encode_block",
    "named",
    "order",
    "raw",
]

_LOADED_AT_ONCE = 64


class Block(NamedTuple):
    """Where entries from a path on are to be found.

    Attributes:
        first: path of its first entry.
        digest: of the block's bytes, 32 bytes.
        file_count: entries that are no directories.
        size_bytes: of these.
    """

    first: str
    digest: bytes
    file_count: int
    size_bytes: int


class Manifest:
    """The list of a version's blocks. Immutable.

    Args:
        blocks: in order.
    """

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self.blocks = tuple(blocks)
        self._orders: list[str] | None = None

    @property
    def file_count(self) -> int:
        """Files; directories with nothing in them do not count."""
        return sum(block.file_count for block in self.blocks)

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(block.size_bytes for block in self.blocks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self.blocks == other.blocks

    def __hash__(self) -> int:
        return hash(self.blocks)

    def encode(self) -> bytes:
        """Return the list as bytes: paths and numbers packed, then the digests, which do not pack."""
        columns = join(block.first for block in self.blocks)
        columns += whole(block.file_count for block in self.blocks) + whole(block.size_bytes for block in self.blocks)
        return packed(MAGIC_LIST, len(self.blocks), columns) + b"".join(block.digest for block in self.blocks)

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Read what `encode` wrote.

        Raises:
            DigestMismatch: these are other bytes.
        """
        count, columns, digests = unpacked(MAGIC_LIST, data)
        firsts, place = split(columns, count)
        counts, place = numbers(columns, count, place)
        sizes, place = numbers(columns, count, place)
        return cls(map(Block, firsts, digests, counts, sizes))

    def index(self, path: str) -> int:
        """Return the place of the block that has the path, if any has."""
        if self._orders is None:
            self._orders = [order(block.first) for block in self.blocks]
        return max(0, bisect_right(self._orders, order(path)) - 1)

    def entry(self, path: str, *, load: Load) -> Entry | None:
        """Return the entry of a path, or None; one block is read."""
        if not self.blocks:
            return None
        (data,) = load([self.blocks[self.index(path)].digest])
        columns = Columns.read(data)
        place = bisect_left(columns.paths, order(path), key=order)
        return columns.entry(place) if place < len(columns.paths) and columns.paths[place] == path else None

    def entries(self, *, load: Load, after: str | None = None, below: str | None = None) -> Iterator[Entry]:
        """Yield the entries in order; memory is that of some blocks.

        Args:
            load: returns blocks by their digests, in the order asked.
            after: only entries behind this path.
            below: only what is in this directory, or the file of this path itself.
        """
        if after is None and below is None:
            return self._loaded(0, load=load)
        return self._some(load=load, after=after, below=below)

    def _some(self, *, load: Load, after: str | None, below: str | None) -> Iterator[Entry]:
        behind = None if after is None else order(after)
        root = None if below is None else order(below)
        start = max(0 if path is None else self.index(path) for path in (after, below))
        for entry in self._loaded(start, load=load):
            key = order(entry.path)
            if (behind is not None and key <= behind) or (root is not None and key < root):
                continue
            behind = None
            if root is not None and key != root and not key.startswith(f"{root}\0"):
                return  # what is in a directory follows its name at once
            yield entry

    def _loaded(self, start: int, *, load: Load) -> Iterator[Entry]:
        digests = iter([block.digest for block in self.blocks[start:]])
        while asked := list(islice(digests, _LOADED_AT_ONCE)):
            for data in load(asked):
                yield from Columns.read(data).entries()
