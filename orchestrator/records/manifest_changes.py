"""Changing manifests, and comparing them: blocks that nothing touches, or that both sides have, are not read."""

from __future__ import annotations

import zlib
from itertools import chain, islice
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from orchestrator.errors import InvalidPath
from orchestrator.records.manifest import Block, Entry, Kind, Manifest, order
from orchestrator.records.manifest_blocks import Columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Load = Callable[[Sequence[bytes]], Iterable[bytes]]
    Save = Callable[[bytes], bytes]

T = TypeVar("T")

_BLOCK_BITS = 8
"""A block ends at one path in 2^8."""
_MOST_IN_BLOCK = 1024
"""A block ends after so many, whatever their paths."""
_PAIRS_AT_ONCE = 32
_GOLDEN = 0x9E3779B1
"""2^32 divided by the golden ratio: multiplying by it spreads a checksum's bits (Knuth, TAOCP 3, 6.4)."""
_WORD = 0xFFFFFFFF
_SHOWN = 5


class Change(NamedTuple):
    """How two manifests differ at a path; one of the two is there."""

    path: str
    before: Entry | None
    after: Entry | None


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
        if not pending.has_before(end) and writer.is_free(block.first):
            writer.take_over(block)
            continue
        (data,) = load([block.digest])
        columns = Columns.read(data)
        here = list(islice(pending.pairs_before(end), len(columns.paths)))
        if writer.is_free(block.first) and not pending.has_before(end) and _replace(columns, here):
            writer.write_over(columns)
            continue
        for entry in _merged(columns.entries(), chain(here, pending.pairs_before(end))):
            writer.add(entry)
    for added in pending.before(None):
        if added is not None:
            writer.add(added)
    return writer.finish()


def diff(before: Manifest, after: Manifest, *, load: Load) -> Iterator[Change]:
    """Yield where two manifests differ, in order. Blocks that both have are not read."""
    known, new = ({block.digest for block in one.blocks} for one in (before, after))
    stretches = _stretches(_without(before, new).blocks, _without(after, known).blocks)
    while some := list(islice(stretches, _PAIRS_AT_ONCE)):
        pairs = [(old[0].digest, now[0].digest) for old, now in some if len(old) == len(now) == 1]
        loaded = iter(load([digest for pair in pairs for digest in pair]) if pairs else ())
        for old, now in some:
            if len(old) == len(now) == 1:
                yield from _diff_blocks(Columns.read(next(loaded)), Columns.read(next(loaded)))
            else:
                yield from _diff_entries(Manifest(old).entries(load=load), Manifest(now).entries(load=load))


def _stretches(before: Sequence[Block], after: Sequence[Block]) -> Iterator[tuple[Sequence[Block], Sequence[Block]]]:
    """Yield pairs of runs of blocks, cut wherever both sides have a block that begins with the same path."""
    there = {block.first: place for place, block in enumerate(after)}
    began, began_there = 0, 0
    for place, block in enumerate(before):
        cut = there.get(block.first)
        if cut is not None and (place or cut):
            if place > began or cut > began_there:
                yield before[began:place], after[began_there:cut]
            began, began_there = place, cut
    if began < len(before) or began_there < len(after):
        yield before[began:], after[began_there:]


def _diff_blocks(before: Columns, after: Columns) -> Iterator[Change]:
    """Yield where two blocks differ; most often the paths are the same."""
    if before.paths != after.paths or before.links or after.links:
        yield from _diff_entries(before.entries(), after.entries())
        return
    old = zip(before.digests, before.kinds, before.sizes, strict=True)
    new = zip(after.digests, after.kinds, after.sizes, strict=True)
    for place, (one, other) in enumerate(zip(old, new, strict=True)):
        if one != other:
            yield Change(after.paths[place], before.entry(place), after.entry(place))


def _diff_entries(before: Iterable[Entry], after: Iterable[Entry]) -> Iterator[Change]:
    old = _Ahead((entry.path, entry) for entry in before)
    for entry in after:
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


def _replace(columns: Columns, changes: list[tuple[str, Entry | None]]) -> bool:
    """Put entries in the places of others of the same paths; return False, changing nothing, where paths come or go."""
    places = {path: place for place, path in enumerate(columns.paths)}
    if any(entry is None or path not in places for path, entry in changes):
        return False
    for path, entry in changes:
        if entry is not None:
            columns.put(places[path], entry)
    return True


def _merged(entries: Iterable[Entry], changes: Iterable[tuple[str, Entry | None]]) -> Iterator[Entry]:
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

    def is_free(self, following: str) -> bool:
        """Tell whether a block that begins with this path may follow as it is."""
        self.settle(following)
        return self.at_boundary

    def take_over(self, block: Block) -> None:
        """Take a block that stays as it is."""
        self._blocks.append(block)

    def write_over(self, columns: Columns) -> None:
        """Take a block of which the paths stay: it ends where it ended."""
        self._blocks.append(
            Block(columns.paths[0], self._save(columns.write()), columns.file_count, sum(columns.sizes))
        )

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
        self.write_over(Columns.of(entries))


def _ends_block(path: str) -> bool:
    return ((zlib.crc32(path.encode()) * _GOLDEN) & _WORD) >> (32 - _BLOCK_BITS) == 0
