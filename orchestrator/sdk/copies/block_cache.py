"""A version's manifest, read in parts that are kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from orchestrator.records.manifest import Kind
from orchestrator.sdk.datasets.version_files import VersionFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.records.manifest import Entry
    from orchestrator.sdk.client import Client

_KEPT = 64
_AT_ONCE = 32
_NEAR = 8
_SKIPPED_AT_MOST = 512
_LAST = "\U0010ffff" * 64
"""Comes after every name of 255 bytes."""


class BlockCache:
    """Answers questions about the files of one version. Safe between threads.

    Whoever asks for one file causes one block to be read. Who goes through many gets ever more blocks at once.

    Args:
        client: speaks to the server.
        version_id: whose files.
    """

    def __init__(self, client: Client, version_id: str) -> None:
        self._files = VersionFiles(client, version_id)
        self._blocks: OrderedDict[bytes, bytes] = OrderedDict()
        self._positions: dict[bytes, int] | None = None
        self._end = 0
        self._step = 1
        self._lock = threading.RLock()

    def file(self, path: str) -> Entry | None:
        """Return the entry of a file, or None."""
        with self._lock:
            entry = self._files.manifest.entry(path, load=self._load)
        return entry if entry is not None and _is_file(entry) else None

    def entries(self, *, below: str = "", after: str | None = None) -> Iterator[Entry]:
        """Yield entries in order; see `Manifest.entries`.

        Args:
            below: a directory, or a file; empty for all.
            after: only those behind this path.
        """
        with self._lock:
            manifest = self._files.manifest
        return manifest.entries(load=self._load, below=below or None, after=after)

    def is_folder(self, path: str) -> bool:
        """Tell whether something lies below a path, or it is a directory with nothing in it."""
        if not path:
            return True
        first = next(self.entries(below=path), None)
        return first is not None and (first.path != path or not _is_file(first))

    def children(self, folder: str) -> Iterator[tuple[str, Entry | None]]:
        """Yield what lies in a directory: names, and the entries of files; None for directories.

        What lies in the directories inside is not read where it is much.
        """
        prefix = f"{folder}/" if folder else ""
        after: str | None = None
        while True:
            inside = ""
            skipped = 0
            for entry in self.entries(below=folder, after=after):
                if inside and entry.path.startswith(inside):
                    skipped += 1
                    if skipped > _SKIPPED_AT_MOST:
                        after = inside + _LAST
                        break
                    continue
                if entry.path == folder:
                    return
                name, separator, _ = entry.path[len(prefix) :].partition("/")
                if separator:
                    inside = f"{prefix}{name}/"
                    skipped = 0
                yield name, None if separator or not _is_file(entry) else entry
            else:
                return

    def _load(self, digests: Sequence[bytes]) -> Iterator[bytes]:
        """Yield blocks, asking for more at once the more are taken."""
        for place, digest in enumerate(digests):
            with self._lock:
                if digest not in self._blocks:
                    self._ask(digests[place:])
                self._blocks.move_to_end(digest)
                block = self._blocks[digest]
            yield block

    def _ask(self, digests: Sequence[bytes]) -> None:
        if self._positions is None:
            self._positions = {block.digest: place for place, block in enumerate(self._files.manifest.blocks)}
        position = self._positions[digests[0]]
        self._step = min(2 * self._step, _AT_ONCE) if position and 0 <= position - self._end <= _NEAR else 1
        asked = digests[: self._step]
        for digest, block in zip(asked, self._files.load(asked), strict=True):
            self._blocks[digest] = block
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        self._end = position + len(asked)


def _is_file(entry: Entry) -> bool:
    return entry.kind != Kind.DIRECTORY
