"""Blocks of manifests as bytes: some hundred entries side by side, paths and numbers packed, digests as they are.

b"rtb1", number of entries, length of the packed columns (32 bits each, little-endian)
columns, packed with zlib: length of the paths (32 bits), the paths joined by NUL, a byte a kind, 64 bits a size, and
         where there are links to files elsewhere, JSON of [place, url, etag]
32 bytes a digest

A list of blocks (b"rtl1") has the same form: first paths, numbers of files, sizes; digests.
"""

from __future__ import annotations

import array
import json
import struct
import sys
import zlib
from enum import IntEnum
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import DigestMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

DIGEST_BYTES = 32
NO_DIGEST = bytes(DIGEST_BYTES)
"""Of entries that have no bytes of ours: directories, and files that lie elsewhere."""

MAGIC_BLOCK, MAGIC_LIST = b"rtb1", b"rtl1"
_MOST_UNPACKED_BYTES = {MAGIC_BLOCK: 32 << 20, MAGIC_LIST: 512 << 20}
"""Of what is true: a file from elsewhere that unpacks to more is made to fill the memory."""
_HEAD = struct.Struct("<4sII")
_LENGTH = struct.Struct("<I")


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


_new_entry: Callable[[tuple[object, ...]], Entry] = partial(tuple.__new__, Entry)
"""Twice as fast as the class itself, which goes through a function of Python's."""


_DIRECTORY = int(Kind.DIRECTORY)


def order(path: str) -> str:
    """Return what paths are sorted by: `/` counts as smaller than any other character."""
    return path.replace("/", "\0")


def named(digest: bytes) -> str:
    """Return a digest as it stands in records and on the wire."""
    return f"blake3:{digest.hex()}"


def raw(name: str) -> bytes:
    """Return the 32 bytes of a digest as it stands in records and on the wire."""
    return bytes.fromhex(name.removeprefix("blake3:"))


class Columns:
    """The entries of a block, column by column: most of what is done with a block needs no entry of its own.

    Args:
        paths: in order.
        kinds: a byte each.
        sizes: in bytes.
        digests: 32 bytes each.
        links: URL and etag of external files by their places.
    """

    __slots__ = ("digests", "kinds", "links", "paths", "sizes")

    def __init__(
        self,
        paths: list[str],
        *,
        kinds: bytearray,
        sizes: array.array[int],
        digests: list[bytes],
        links: dict[int, tuple[str, str]],
    ) -> None:
        self.paths = paths
        self.kinds = kinds
        self.sizes = sizes
        self.digests = digests
        self.links = links

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Columns:
        """Return entries, column by column."""
        paths, kinds, sizes, digests, urls, _ = zip(*entries, strict=True) if entries else ((),) * 6
        links = {place: (url, entries[place].etag) for place, url in enumerate(urls) if url} if any(urls) else {}
        return cls(
            list(paths), kinds=bytearray(kinds), sizes=array.array("Q", sizes), digests=list(digests), links=links
        )

    @classmethod
    def read(cls, data: bytes) -> Columns:
        """Read what `write` wrote.

        Raises:
            DigestMismatch: these are other bytes.
        """
        count, columns, digests = unpacked(MAGIC_BLOCK, data)
        paths, place = split(columns, count)
        kinds, place = bytearray(columns[place : place + count]), place + count
        sizes, place = numbers(columns, count, place)
        links = {at: (url, etag) for at, url, etag in json.loads(columns[place:])} if place < len(columns) else {}
        return cls(paths, kinds=kinds, sizes=sizes, digests=digests, links=links)

    def write(self) -> bytes:
        """Return them as bytes."""
        columns = join(self.paths) + self.kinds + whole(self.sizes)
        if self.links:
            links = [(place, *link) for place, link in sorted(self.links.items())]
            columns += json.dumps(links, separators=(",", ":")).encode()
        return packed(MAGIC_BLOCK, len(self.paths), columns) + b"".join(self.digests)

    @property
    def file_count(self) -> int:
        """Entries that are no directories."""
        return len(self.kinds) - self.kinds.count(_DIRECTORY)

    def entry(self, place: int) -> Entry:
        """Return one of them."""
        url, etag = self.links.get(place, ("", ""))
        return Entry(self.paths[place], self.kinds[place], self.sizes[place], self.digests[place], url, etag)

    def entries(self) -> Iterator[Entry]:
        """Return all; they are made as they are taken, which keeps the garbage collector asleep."""
        rows = zip(self.paths, self.kinds, self.sizes, self.digests, repeat(""), repeat(""), strict=False)
        if not self.links:
            return map(_new_entry, rows)
        return map(self.entry, range(len(self.paths)))

    def put(self, place: int, entry: Entry) -> None:
        """Put an entry of the same path in the place of another."""
        self.kinds[place], self.sizes[place], self.digests[place] = entry.kind, entry.size_bytes, entry.digest
        if entry.url:
            self.links[place] = entry.url, entry.etag
        else:
            self.links.pop(place, None)


def encode_block(entries: Sequence[Entry]) -> bytes:
    """Return entries as bytes."""
    return Columns.of(entries).write()


def decode_block(data: bytes) -> list[Entry]:
    """Read what `encode_block` wrote.

    Raises:
        DigestMismatch: these are other bytes.
    """
    return list(Columns.read(data).entries())


def block_digests(data: bytes) -> list[bytes]:
    """Return the digests of the files in a block, in order; faster than reading its entries.

    Raises:
        DigestMismatch: these are other bytes.
    """
    return [digest for digest in unpacked(MAGIC_BLOCK, data)[2] if digest != NO_DIGEST]


def join(paths: Iterable[str]) -> bytes:
    """Return a column of paths: its length, then the paths."""
    joined = "\0".join(paths).encode()
    return _LENGTH.pack(len(joined)) + joined


def split(columns: bytes, count: int) -> tuple[list[str], int]:
    """Return the paths at the beginning of columns, and where they end."""
    (length,) = _LENGTH.unpack_from(columns)
    end = _LENGTH.size + length
    paths = columns[_LENGTH.size : end].decode().split("\0") if count else []
    return paths, end


def whole(values: Iterable[int]) -> bytes:
    """Return a column of whole numbers: 64 bits each, little-endian."""
    column = array.array("Q", values)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def numbers(columns: bytes, count: int, place: int) -> tuple[array.array[int], int]:
    """Return a column of whole numbers that begins at a place, and where it ends."""
    end = place + 8 * count
    column = array.array("Q", columns[place:end])
    if sys.byteorder == "big":
        column.byteswap()
    return column, end


def packed(magic: bytes, count: int, columns: bytes) -> bytes:
    """Return a head and the columns, packed."""
    content = zlib.compress(columns, 1)
    return _HEAD.pack(magic, count, len(content)) + content


def unpacked(magic: bytes, data: bytes) -> tuple[int, bytes, list[bytes]]:
    """Return how many there are, their columns and their digests.

    Raises:
        DigestMismatch: these are other bytes, or fewer.
    """
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
