"""Merging a folder into a draft: the walk, what was hashed before and what the draft has, side by side.

All three come in the same order, so that memory is constant and a file that did not change costs a comparison.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import InvalidPath
from orchestrator.records.manifest import NO_DIGEST, Entry, Kind, order
from orchestrator.sdk.ingest.changes import Run, removal
from orchestrator.sdk.ingest.file_index import FileIndex, is_settled
from orchestrator.sdk.ingest.refused import Refused
from orchestrator.sdk.ingest.storing import SMALL_BYTES, Storing, Wanted

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from orchestrator.sdk.ingest.scan import Found, Selection
    from orchestrator.sdk.ingest.storing import Outcome

    OnName = Callable[[str], object]

_OWNER_EXECUTES = stat.S_IXUSR
_FILE, _EXECUTABLE = int(Kind.FILE), int(Kind.EXECUTABLE)
"""Looking a member up in an enumeration takes as long as all else here."""


class Counted(NamedTuple):
    """What became of the files that were looked at; folders with nothing in them do not count."""

    added: int = 0
    modified: int = 0
    removed: int = 0
    unchanged: int = 0
    size_bytes: int = 0
    """Of those that are there now."""

    @property
    def changed(self) -> int:
        """New or changed."""
        return self.added + self.modified


class Adding:
    """One call of `add` or `sync`.

    Args:
        selection: what to add.
        entries: what the draft has in the folder that the selection goes into, in order.
        index_directory: where is kept what was hashed before.
        mirror: whether what is selected and is not there any more is removed.
        on_name: told of each name.
    """

    def __init__(
        self,
        selection: Selection,
        *,
        entries: Iterable[Entry],
        index_directory: Path,
        mirror: bool = False,
        on_name: OnName | None = None,
    ) -> None:
        self._selection = selection
        self._entries = iter(entries)
        self._mirror = mirror
        self._on_name = on_name
        self._index = FileIndex(index_directory, root=selection.root)
        self._refused = Refused()
        self._added = self._modified = self._removed = self._unchanged = self._size_bytes = 0
        self._runs = Run(), Run()

    @property
    def counted(self) -> Counted:
        """How many so far."""
        return Counted(self._added, self._modified, self._removed, self._unchanged, self._size_bytes)

    def run(self, storing: Storing) -> tuple[Run, ...]:
        """Go through all and return the changes.

        Args:
            storing: stores what is new; it tells `take` of it.

        Raises:
            InvalidPath: files cannot be added; the message names them.
        """
        whole = False
        try:
            self._merge(storing)
            storing.finish()
            self._refused.check()
            whole = self._selection.whole
        finally:
            self._index.save(whole=whole)  # what was hashed need not be hashed again, whatever failed
        for run in self._runs:
            run.close()
        return self._runs

    def take(self, outcome: Outcome, lane: int) -> None:
        """Note what became of files.

        Args:
            outcome: in the order of the walk.
            lane: each has an order of its own.

        Raises:
            InvalidPath: these are many that cannot be added.
        """
        for error in outcome.errors:
            self._refused.add(error)
        run = self._runs[lane]
        for entry, wanted, status, read_at_ns in outcome.done:
            if wanted is not None:
                if status is not None and is_settled(status, read_at_ns=read_at_ns) and self._is_indexed(status):
                    self._index.learn(wanted.found.relative, status, entry.digest, stream=lane)
                self._size_bytes += entry.size_bytes
                if entry == wanted.before:
                    self._unchanged += 1
                    continue
                if wanted.before is None or wanted.before.kind == Kind.DIRECTORY:
                    self._added += 1
                else:
                    self._modified += 1
            run.add(entry)

    def _merge(self, storing: Storing) -> None:
        head, on_name, entries = self._selection.head, self._on_name, self._entries
        unchanged = size_bytes = 0
        entry = next(entries, None)
        for found, digest in self._files():
            relative, _, status = found
            name = head + relative if head else relative
            if entry is not None and entry[0] != name:
                key = order(name)
                while entry is not None and order(entry[0]) < key:
                    self._pass_by(entry, storing)
                    entry = next(entries, None)
            before = None
            if entry is not None and entry[0] == name:
                before, entry = entry, next(entries, None)
            mode = status.st_mode
            if (
                digest is not None
                and before is not None
                and before[3] == digest
                and before[1] == (_EXECUTABLE if mode & _OWNER_EXECUTES else _FILE)
            ):
                unchanged += 1
                size_bytes += status.st_size
            else:
                self._change(Wanted(name, found, digest, before), storing, following=entry)
            if on_name is not None:
                on_name(name)
        while entry is not None:
            self._pass_by(entry, storing)
            entry = next(entries, None)
        self._unchanged += unchanged
        self._size_bytes += size_bytes

    def _files(self) -> Iterator[tuple[Found, bytes | None]]:
        files = self._selection.files(self._refused)
        if self._selection.is_folder:
            return self._index.matched(files)
        return self._one(files)

    def _is_indexed(self, status: os.stat_result) -> bool:
        return self._selection.is_folder or status.st_size >= SMALL_BYTES

    def _one(self, files: Iterator[Found]) -> Iterator[tuple[Found, bytes | None]]:
        """Look a single file up where reading it takes longer than reading an index."""
        for found in files:
            if self._is_indexed(found.status):
                yield from self._index.matched([found])
            else:
                yield found, None

    def _change(self, wanted: Wanted, storing: Storing, *, following: Entry | None) -> None:
        name, before = wanted.name, wanted.before
        inside = following is not None and following.path.startswith(f"{name}/")
        if not stat.S_ISDIR(wanted.found.status.st_mode):
            if inside and not self._mirror:
                self._refused.add(
                    InvalidPath(
                        f"{wanted.found.file} is a file and {name} in the dataset a folder.",
                        hint=f"Remove that first: {name}",
                    )
                )
                return
            storing.store(wanted)
        elif (before is None or before.kind != Kind.DIRECTORY) and (self._mirror or not inside):
            storing.change(Entry(name, Kind.DIRECTORY, 0, NO_DIGEST))

    def _pass_by(self, entry: Entry, storing: Storing) -> None:
        """Go past an entry for which there is no file."""
        if not self._mirror or entry.kind == Kind.EXTERNAL:
            return
        selection = self._selection
        if entry.kind == Kind.DIRECTORY:
            if selection.whole:
                storing.change(removal(entry.path))
        elif selection.selects(entry.path[len(selection.head) :]):
            self._removed += 1
            storing.change(removal(entry.path))
            if self._on_name is not None:
                self._on_name(entry.path)
