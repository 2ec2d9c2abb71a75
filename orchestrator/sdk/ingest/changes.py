"""What is to change in a draft's manifest and was not sent yet: sorted runs of which the later one wins.

There may be millions of changes, so they are kept in the compact form of a manifest's blocks. Runs are merged as they
come, so that there are few of them however often something is added (a log-structured merge tree: O'Neil et al., 1996).
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from orchestrator.records.manifest import NO_DIGEST, Entry, Kind, decode_block, encode_block, order
from orchestrator.sdk.ingest.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK_ENTRIES = 1024
_REMOVED = 255
"""Kind of what is to be removed; it stands in runs only."""


def removal(path: str) -> Entry:
    """Return the change that removes a path."""
    return Entry(path, _REMOVED, 0, NO_DIGEST)


def is_removal(change: Entry) -> bool:
    """Tell whether a change removes its path."""
    return change.kind == _REMOVED


class Run:
    """Changes in the order of manifests, each path once. Written once, then read."""

    def __init__(self, changes: Iterable[Entry] = ()) -> None:
        self._spool = Spool()
        self._firsts: list[str] = []
        self._open: list[Entry] = []
        self.count = 0
        for change in changes:
            self.add(change)
        self.close()

    def add(self, change: Entry) -> None:
        """Append a change."""
        self._open.append(change)
        if len(self._open) == _CHUNK_ENTRIES:
            self.close()

    def close(self) -> None:
        """Take in what was added: it can be read then."""
        if self._open:
            self._firsts.append(order(self._open[0].path))
            self._spool.add(encode_block(self._open))
            self.count += len(self._open)
            self._open = []

    def changes(self, start: str = "") -> Iterator[Entry]:
        """Yield the changes from a path on."""
        if not start:
            for chunk in self._spool.chunks():
                yield from decode_block(chunk)
            return
        key = order(start)
        for chunk in self._spool.chunks(max(0, bisect_right(self._firsts, key) - 1)):
            yield from (change for change in decode_block(chunk) if order(change.path) >= key)


class Changes:
    """All changes that were noted."""

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def __bool__(self) -> bool:
        return bool(self._runs)

    @property
    def count(self) -> int:
        """How many they are at most: of two for one path both may count."""
        return sum(run.count for run in self._runs)

    def note(self, run: Run) -> None:
        """Add a run; it wins over those before."""
        while self._runs and self._runs[-1].count <= 2 * run.count:
            run = Run(_merged([self._runs.pop(), run], start=""))
        if run.count:
            self._runs.append(run)

    def clear(self) -> None:
        """Forget all."""
        self._runs = []

    def changes(self, start: str = "") -> Iterator[Entry]:
        """Yield what is to be put or removed, each path once, in order, from a path on."""
        return _merged(self._runs, start=start)

    def at(self, path: str) -> Entry | None:
        """Return the change of a path, or None."""
        found = next(self.changes(path), None)
        return found if found is not None and found.path == path else None

    def over(self, entries: Iterator[Entry], *, below: str | None = None) -> Iterator[Entry]:
        """Yield entries as they will be when the changes are sent.

        Args:
            entries: in order.
            below: they are what is in this directory, or the file of this path itself; None for all.
        """
        if not self._runs:
            return entries
        changes = self.changes(below or "")
        if below is not None:
            inside = f"{below}/"
            changes = takewhile(lambda change: change.path == below or change.path.startswith(inside), changes)
        return _without_filled_folders(_overlaid(entries, changes))


def batches(changes: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """Yield changes in lists of at most this length."""
    iterator = iter(changes)
    while batch := list(islice(iterator, size)):
        yield batch


def _merged(runs: list[Run], *, start: str) -> Iterator[Entry]:
    if len(runs) == 1:
        yield from runs[0].changes(start)
        return
    # The newest first: of equal keys `merge` takes those of the earlier iterable first.
    last = None
    for change in heapq.merge(*(run.changes(start) for run in reversed(runs)), key=_key):
        if change.path != last:
            last = change.path
            yield change


def _key(change: Entry) -> str:
    return change.path.replace("/", "\0")


def _overlaid(entries: Iterator[Entry], changes: Iterator[Entry]) -> Iterator[Entry]:
    last = None
    for change in heapq.merge(changes, entries, key=_key):
        if change.path != last:
            last = change.path
            if change.kind != _REMOVED:
                yield change


def _without_filled_folders(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Leave out a folder that was empty and is not any more."""
    held = None
    for entry in entries:
        if held is not None and not entry.path.startswith(f"{held.path}/"):
            yield held
        held = None
        if entry.kind == Kind.DIRECTORY:
            held = entry
        else:
            yield entry
    if held is not None:
        yield held
