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

import array
import json
import struct
import sys
import zlib
from bisect import bisect_left, bisect_right
from enum import IntEnum
from itertools import islice
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from orchestrator.errors import DigestMismatch, InvalidPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Load = Callable[[Sequence[bytes]], Iterable[bytes]]
    Save = Callable[[bytes], bytes]

T = TypeVar("T")

DIGEST_BYTES = 32
NO_DIGEST = bytes(DIGEST_BYTES)
"""Of entries that have no bytes of ours: directories, and files that lie elsewhere."""

_BLOCK_BITS = 8
"""A block ends at one path in 2^8."""
_MOST_IN_BLOCK = 1024
"""A block ends after so many, whatever their paths."""
_LOADED_AT_ONCE = 64
_MAGIC_BLOCK, _MAGIC_LIST = b"rtb1", b"rtl1"
_MOST_UNPACKED_BYTES = {_MAGIC_BLOCK: 32 << 20, _MAGIC_LIST: 512 << 20}
"""Of what is true: a file from elsewhere that unpacks to more is made to fill the memory."""
_HEAD = struct.Struct("<4sII")
_LENGTH = struct.Struct("<I")
_GOLDEN = 0x9E3779B1
"""2^32 divided by the golden ratio: multiplying by it spreads a checksum's bits (Knuth, TAOCP 3, 6.4)."""
_WORD = 0xFFFFFFFF
_SHOWN = 5


class Kind(IntEnum):
    """What an entry is."""

    FILE = 0
    EXECUTABLE = 1
    EXTERNAL = 2
    """A link to bytes that lie elsewhere."""
    DIRECTORY = 3
    """One with nothing in it."""


class Entry(NamedTuple):
    """One file of a version.

    Attributes:
        path: relative to the version's root, parts joined by `/`; `records.paths.check_path` holds.
        kind: a `Kind`, as a plain number: there are millions.
        size_bytes: 0 for directories.
        digest: BLAKE3 of the bytes, 32 bytes; `NO_DIGEST` for directories and external files.
        url: of an external file, else empty.
        etag: what the other side called the external file's state, else empty.
    """

    path: str
    kind: int
    size_bytes: int
    digest: bytes
    url: str = ""
    etag: str = ""


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


class Change(NamedTuple):
    """How two manifests differ at a path; one of the two is there."""

    path: str
    before: Entry | None
    after: Entry | None


def order(path: str) -> str:
    """Return what paths are sorted by: `/` counts as smaller than any other character."""
    return path.replace("/", "\0")


def named(digest: bytes) -> str:
    """Return a digest as it stands in records and on the wire."""
    return f"blake3:{digest.hex()}"


def raw(name: str) -> bytes:
    """Return the 32 bytes of a digest as it stands in records and on the wire."""
    return bytes.fromhex(name.removeprefix("blake3:"))


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
        columns = _join(block.first for block in self.blocks)
        columns += _whole(block.file_count for block in self.blocks) + _whole(block.size_bytes for block in self.blocks)
        return _packed(_MAGIC_LIST, len(self.blocks), columns) + b"".join(block.digest for block in self.blocks)

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Read what `encode` wrote.

        Raises:
            DigestMismatch: these are other bytes.
        """
        count, columns, digests = _unpacked(_MAGIC_LIST, data)
        firsts, place = _split(columns, count)
        counts, place = _numbers(columns, count, place)
        sizes, place = _numbers(columns, count, place)
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
        entries = decode_block(data)
        place = bisect_left(entries, order(path), key=lambda entry: order(entry.path))
        if place < len(entries) and entries[place].path == path:
            return entries[place]
        return None

    def entries(self, *, load: Load, after: str | None = None, below: str | None = None) -> Iterator[Entry]:
        """Yield the entries in order; memory is that of some blocks.

        Args:
            load: returns blocks by their digests, in the order asked.
            after: only entries behind this path.
            below: only what is in this directory, or the file of this path itself.
        """
        behind = None if after is None else order(after)
        root = None if below is None else order(below)
        start = max(0 if path is None else self.index(path) for path in (after, below))
        for entry in self._loaded(start, load=load):
            if behind is None and root is None:
                yield entry
                continue
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
                yield from _iterate(data)


def encode_block(entries: Sequence[Entry]) -> bytes:
    """Return entries as bytes: paths, kinds and sizes packed, then the digests, which do not pack."""
    columns = _join(entry.path for entry in entries)
    columns += bytes(entry.kind for entry in entries) + _whole(entry.size_bytes for entry in entries)
    links = [(place, entry.url, entry.etag) for place, entry in enumerate(entries) if entry.url]
    if links:
        columns += json.dumps(links, separators=(",", ":")).encode()
    return _packed(_MAGIC_BLOCK, len(entries), columns) + b"".join(entry.digest for entry in entries)


def decode_block(data: bytes) -> list[Entry]:
    """Read what `encode_block` wrote.

    Raises:
        DigestMismatch: these are other bytes.
    """
    return list(_iterate(data))


def block_digests(data: bytes) -> list[bytes]:
    """Return the digests of the files in a block, in order; faster than reading its entries.

    Raises:
        DigestMismatch: these are other bytes.
    """
    return [digest for digest in _unpacked(_MAGIC_BLOCK, data)[2] if digest != NO_DIGEST]


def edit(manifest: Manifest, changes: Iterable[tuple[str, Entry | None]], *, load: Load, save: Save) -> Manifest:
    """Return a manifest with entries put and removed; blocks that nothing touches are taken over unread.

    A directory with nothing in it gives way to a file that is put into it.

    Args:
        manifest: what to begin with.
        changes: path, and its new entry or None, in order, each path once. May be a generator of any length.
        load: returns blocks by their digests, in the order asked.
        save: keeps a block's bytes and returns their digest.

    Raises:
        InvalidPath: a path would be a file and a directory.
    """
    pending = _Ahead(changes)
    writer = _Writer(save)
    ends = [*(order(block.first) for block in manifest.blocks[1:]), None]
    for block, end in zip(manifest.blocks, ends, strict=False):  # where there is no block there is one end
        if not pending.has_before(end):
            writer.settle(block.first)
            if writer.at_boundary:
                writer.take_over(block)
                continue
        (data,) = load([block.digest])
        for entry in _merged(decode_block(data), pending.pairs_before(end)):
            writer.add(entry)
    for added in pending.before(None):
        if added is not None:
            writer.add(added)
    return writer.finish()


def diff(before: Manifest, after: Manifest, *, load: Load) -> Iterator[Change]:
    """Yield where two manifests differ, in order. Blocks that both have are not read."""
    known, new = ({block.digest for block in one.blocks} for one in (before, after))
    old = _Ahead((entry.path, entry) for entry in _without(before, new).entries(load=load))
    for entry in _without(after, known).entries(load=load):
        key = order(entry.path)
        for gone in old.before(key):
            yield Change(gone.path, gone, None)
        other = old.take(key)
        if other != entry:
            yield Change(entry.path, other, entry)
    for gone in old.before(None):
        yield Change(gone.path, gone, None)


def contested(one: Iterable[Change], other: Iterable[Change]) -> Iterator[str]:
    """Yield the paths for which two sets of changes, each in order, want different things."""
    theirs = _Ahead((change.path, change) for change in other)
    for change in one:
        key = order(change.path)
        for _ in theirs.before(key):
            pass
        found = theirs.take(key)
        if found is not None and found.after != change.after:
            yield change.path


def _without(manifest: Manifest, digests: set[bytes]) -> Manifest:
    return Manifest(block for block in manifest.blocks if block.digest not in digests)


def _merged(entries: Iterable[Entry], changes: Iterator[tuple[str, Entry | None]]) -> Iterator[Entry]:
    old = _Ahead((entry.path, entry) for entry in entries)
    for path, entry in changes:
        key = order(path)
        yield from old.before(key)
        old.take(key)
        if entry is not None:
            yield entry
    yield from old.before(None)


class _Ahead(Generic[T]):
    """Pairs of path and value, in order, of which one is looked at before it is taken."""

    def __init__(self, pairs: Iterable[tuple[str, T]]) -> None:
        self._pairs = iter(pairs)
        self._next: tuple[str, T] | None = None
        self._key = ""
        self._advance()

    def _advance(self) -> None:
        self._next = next(self._pairs, None)
        if self._next is not None:
            self._key = order(self._next[0])

    def has_before(self, end: str | None) -> bool:
        """Tell whether there are pairs before a place in the order; None is the end of all."""
        return self._next is not None and (end is None or self._key < end)

    def before(self, end: str | None) -> Iterator[T]:
        """Take and yield the values before a place."""
        for _, value in self.pairs_before(end):
            yield value

    def pairs_before(self, end: str | None) -> Iterator[tuple[str, T]]:
        """Take and yield the pairs before a place."""
        while (pair := self._next) is not None and (end is None or self._key < end):
            self._advance()
            yield pair

    def take(self, key: str) -> T | None:
        """Take and return the value at exactly this place, or None."""
        pair = self._next
        if pair is None or self._key != key:
            return None
        self._advance()
        return pair[1]


class _Writer:
    """Cuts entries that come in order into blocks."""

    def __init__(self, save: Save) -> None:
        self._save = save
        self._blocks: list[Block] = []
        self._entries: list[Entry] = []
        self._held: Entry | None = None
        self._clashing: list[str] = []

    @property
    def at_boundary(self) -> bool:
        return not self._entries

    def add(self, entry: Entry) -> None:
        self.settle(entry.path)
        self._held = entry

    def settle(self, following: str | None) -> None:
        """Take the last entry in, now that it is known what follows it."""
        held, self._held = self._held, None
        if held is None:
            return
        if following is not None and following.startswith(held.path) and following[len(held.path)] == "/":
            if held.kind == Kind.DIRECTORY:
                return
            self._clashing.append(held.path)
        self._entries.append(held)
        if len(self._entries) == _MOST_IN_BLOCK or _ends_block(held.path):
            self._close()

    def take_over(self, block: Block) -> None:
        self._blocks.append(block)

    def finish(self) -> Manifest:
        self.settle(None)
        if self._clashing:
            shown = ", ".join(map(repr, self._clashing[:_SHOWN]))
            raise InvalidPath(f"{shown} cannot be a file and a directory.", hint="Remove one of them first.")
        if self._entries:
            self._close()
        return Manifest(self._blocks)

    def _close(self) -> None:
        entries, self._entries = self._entries, []
        digest = self._save(encode_block(entries))
        files = sum(entry.kind != Kind.DIRECTORY for entry in entries)
        self._blocks.append(Block(entries[0].path, digest, files, sum(entry.size_bytes for entry in entries)))


def _iterate(data: bytes) -> Iterator[Entry]:
    """Read a block; entries are made as they are taken, which keeps the garbage collector asleep."""
    count, columns, digests = _unpacked(_MAGIC_BLOCK, data)
    paths, place = _split(columns, count)
    kinds, place = columns[place : place + count], place + count
    sizes, place = _numbers(columns, count, place)
    entries = map(Entry, paths, kinds, sizes, digests)
    if place == len(columns):
        return entries
    linked = list(entries)
    for at, url, etag in json.loads(columns[place:]):
        linked[at] = linked[at]._replace(url=url, etag=etag)
    return iter(linked)


def _ends_block(path: str) -> bool:
    return ((zlib.crc32(path.encode()) * _GOLDEN) & _WORD) >> (32 - _BLOCK_BITS) == 0


def _join(paths: Iterable[str]) -> bytes:
    joined = "\0".join(paths).encode()
    return _LENGTH.pack(len(joined)) + joined


def _split(columns: bytes, count: int) -> tuple[list[str], int]:
    (length,) = _LENGTH.unpack_from(columns)
    end = _LENGTH.size + length
    paths = columns[_LENGTH.size : end].decode().split("\0") if count else []
    return paths, end


def _whole(numbers: Iterable[int]) -> bytes:
    column = array.array("Q", numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _numbers(columns: bytes, count: int, place: int) -> tuple[array.array[int], int]:
    end = place + 8 * count
    column = array.array("Q", columns[place:end])
    if sys.byteorder == "big":
        column.byteswap()
    return column, end


def _packed(magic: bytes, count: int, columns: bytes) -> bytes:
    packed = zlib.compress(columns, 1)
    return _HEAD.pack(magic, count, len(packed)) + packed


def _unpacked(magic: bytes, data: bytes) -> tuple[int, bytes, list[bytes]]:
    try:
        found, count, length = _HEAD.unpack_from(data)
        start = _HEAD.size + length
        if found != magic or len(data) != start + count * DIGEST_BYTES:
            raise DigestMismatch("This is no part of a manifest, or was cut.")
        unpacking = zlib.decompressobj()
        columns = unpacking.decompress(data[_HEAD.size : start], _MOST_UNPACKED_BYTES[magic])
        if not unpacking.eof:
            raise DigestMismatch("A part of a manifest unpacks to more than any has.")
    except (struct.error, zlib.error) as error:
        raise DigestMismatch(f"A part of a manifest cannot be read: {error}.") from error
    return count, columns, [data[place : place + DIGEST_BYTES] for place in range(start, len(data), DIGEST_BYTES)]
