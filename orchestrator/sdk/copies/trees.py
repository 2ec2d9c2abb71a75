"""Trees of links, made beside their place and put there when they are whole."""

from __future__ import annotations

import errno
import os
import stat
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import InvalidPath
from orchestrator.records.manifest import Kind
from orchestrator.records.paths import check_path
from orchestrator.sdk.copies.blob_files import EXECUTABLE_MODE, FILE_MODE
from orchestrator.sdk.copies.fetching import BUNDLE_BYTES, BUNDLE_FILES, SMALL_BYTES, Fetcher
from orchestrator.sdk.copies.pristine import changed, key_of, seal
from orchestrator.sdk.copies.raw_files import copy_contents, remove_tree
from orchestrator.sdk.meter import Meter
from orchestrator.sdk.notices import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from orchestrator.records.manifest import Entry
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.copies.blob_files import BlobFiles
    from orchestrator.sdk.copies.cache import Cache
    from orchestrator.sdk.meter import Progress

_FOLDER_MODE = 0o555
_BATCHES_AHEAD = 2
_MENDED_AT_MOST = 10_000
"""A tree of which more files were written to is made anew."""
_LARGE_ENOUGH = 64 << 10
"""Of files below this size copies count each time in what is to be fetched: remembering them would cost memory."""
_DIRECTORY = int(Kind.DIRECTORY)
_EXECUTABLE = int(Kind.EXECUTABLE)


def make_tree(cache: Cache, name: str, *, client: Client, making: int, progress: Progress | None) -> None:
    """Make a tree whose contents are known, or restore the files of one that somebody has written to.

    Args:
        cache: where to.
        name: of the tree.
        client: speaks to the server.
        making: what `Cache.making` yielded.
        progress: see `Meter`.
    """
    tree = cache.tree(name)
    contents = cache.contents(name)
    if tree.is_dir():
        differing = list(islice(changed(tree, contents.entries()), _MENDED_AT_MOST + 1))
        if len(differing) <= _MENDED_AT_MOST and all(_can_mend(tree, entry) for entry in differing):
            missing = find_missing(differing, blobs=cache.blobs)
            with cache.room(making, size_bytes=missing.size_bytes):
                meter = Meter(progress, total_bytes=missing.size_bytes)
                Fetcher(client, blobs=cache.blobs, links=cache.links, meter=meter).fetch(differing)
                for entry in differing:
                    _mend(entry, blobs=cache.blobs, tree=tree)
            say(f"{len(differing)} files in {tree} had been written to since they were made; they are restored")
            return
        say(f"{tree} was altered since it was made; it is made anew")
    draft = cache.draft(name)
    try:
        _build(cache, name, client=client, making=making, progress=progress)
        if tree.exists():
            tree.rename(cache.folder / f".gone-{os.urandom(8).hex()}")
        draft.rename(tree)
    except BaseException:
        remove_tree(draft)
        raise


class Missing(NamedTuple):
    """What of a tree is not in the cache."""

    flags: bytearray
    """One for each entry, in order: whether its bytes are to be fetched."""
    files: int
    size_bytes: int
    """Of what is to be fetched; of files below 64 KiB that are alike each counts."""


def find_missing(entries: Iterable[Entry], *, blobs: BlobFiles) -> Missing:
    """Look for the bytes of files in the cache."""
    flags = bytearray()
    files = size_bytes = 0
    seen: set[bytes] = set()
    for entry in entries:
        missing = entry.kind != _DIRECTORY and not blobs.has(entry)
        flags.append(missing)
        if missing:
            files += 1
            if entry.size_bytes < _LARGE_ENOUGH:
                size_bytes += entry.size_bytes
            elif entry.digest not in seen:
                seen.add(entry.digest)
                size_bytes += entry.size_bytes
    return Missing(flags, files, size_bytes)


def _build(cache: Cache, name: str, *, client: Client, making: int, progress: Progress | None) -> None:
    contents = cache.contents(name)
    draft = str(cache.draft(name))
    missing = find_missing(contents.entries(), blobs=cache.blobs)
    fetcher = Fetcher(
        client, blobs=cache.blobs, links=cache.links, meter=Meter(progress, total_bytes=missing.size_bytes)
    )
    link = partial(_link_all, blobs=cache.blobs, root=draft, fetch=fetcher.fetch)
    if not missing.files:
        link(contents.entries())
        return
    with cache.room(making, size_bytes=missing.size_bytes):
        link(_fetched(contents.entries(), flags=missing.flags, fetcher=fetcher))


def _fetched(entries: Iterable[Entry], *, flags: bytearray, fetcher: Fetcher) -> Iterator[Entry]:
    """Yield entries whose bytes are in the cache, in order, while those of the next ones are fetched."""
    from orchestrator.blobs.ahead import ahead  # noqa: PLC0415  its package needs BLAKE3

    def fetch(batch: list[Entry], wanted: list[Entry]) -> list[Entry]:
        if wanted:
            fetcher.fetch(wanted)
        return batch

    calls = (partial(fetch, *batch) for batch in _batches(entries, flags=flags))
    for batch in ahead(calls, depth=_BATCHES_AHEAD):
        yield from batch


def _batches(entries: Iterable[Entry], *, flags: bytearray) -> Iterator[tuple[list[Entry], list[Entry]]]:
    """Yield entries, and those of them that are to be fetched, as many as one request is to bring."""
    batch: list[Entry] = []
    wanted: list[Entry] = []
    size_bytes = 0
    for entry, missing in zip(entries, flags, strict=True):
        large = entry.size_bytes >= SMALL_BYTES
        if missing and batch and (large or size_bytes + entry.size_bytes > BUNDLE_BYTES):
            yield batch, wanted
            batch, wanted, size_bytes = [], [], 0
        batch.append(entry)
        if missing:
            wanted.append(entry)
            size_bytes += entry.size_bytes
        if len(batch) >= BUNDLE_FILES or (missing and large):
            yield batch, wanted
            batch, wanted, size_bytes = [], [], 0
    if batch:
        yield batch, wanted


def _link_all(entries: Iterable[Entry], *, blobs: BlobFiles, root: str, fetch: Callable[[list[Entry]], object]) -> None:
    folders = _Folders(root)
    for entry in entries:
        path = check_path(entry.path)
        if entry.kind == _DIRECTORY:
            folders.enter(path)
            continue
        folders.enter(path.rpartition("/")[0])
        try:
            place(entry, blobs=blobs, file=f"{root}/{path}")
        except FileNotFoundError:  # a cache that was full gave way to somebody else
            fetch([entry])
            place(entry, blobs=blobs, file=f"{root}/{path}")
    folders.close()


class _Folders:
    """Makes directories on a walk in the order of a manifest, and takes the right to write when it leaves them."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._parts: list[str] = []
        self._current = ""
        os.mkdir(root)  # noqa: PTH102  plain strings: there may be a million

    def enter(self, path: str) -> None:
        """Be in a directory, empty for the root."""
        if path == self._current:
            return
        parts = path.split("/") if path else []
        common = 0
        for ours, theirs in zip(self._parts, parts, strict=False):
            if ours != theirs:
                break
            common += 1
        self._leave(common)
        for part in parts[common:]:
            self._parts.append(part)
            folder = f"{self._root}/{'/'.join(self._parts)}"
            try:
                os.mkdir(folder)  # noqa: PTH102  as above
            except FileExistsError:
                raise InvalidPath(
                    f"{'/'.join(self._parts)!r} is there already.",
                    hint="This disk takes names for one that differ in the version, such as in case.",
                ) from None
        self._current = path

    def close(self) -> None:
        """Leave all of them."""
        self._leave(0)
        os.chmod(self._root, _FOLDER_MODE)  # noqa: PTH101  as above

    def _leave(self, depth: int) -> None:
        while len(self._parts) > depth:
            os.chmod(f"{self._root}/{'/'.join(self._parts)}", _FOLDER_MODE)  # noqa: PTH101  as above
            self._parts.pop()


def place(entry: Entry, *, blobs: BlobFiles, file: str) -> None:
    """Make a link to a blob.

    Raises:
        FileNotFoundError: the blob is not there.
        InvalidPath: something else is there.
    """
    source = blobs.path(entry)
    try:
        os.link(source, file)
    except FileExistsError:
        raise InvalidPath(
            f"{entry.path!r} is there already.",
            hint="This disk takes names for one that differ in the version, such as in case.",
        ) from None
    except OSError as error:
        if error.errno == errno.EMLINK:
            blobs.renew(entry)
            os.link(source, file)
        elif error.errno in {errno.EXDEV, errno.EPERM}:
            copy_contents(source, file, mode=EXECUTABLE_MODE if entry.kind == _EXECUTABLE else FILE_MODE)
            seal(file, key=key_of(entry))
        else:
            raise


def _can_mend(tree: Path, entry: Entry) -> bool:
    """Tell whether a file can be put in its place: the folders that it is in are there, and are ours."""
    if entry.kind == _DIRECTORY:
        return False
    folder = str(tree)
    for part in entry.path.split("/"):
        try:
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                return False
        except FileNotFoundError:
            return False
        folder = f"{folder}/{part}"
    return not os.path.isdir(folder)  # noqa: PTH112  as above


def _mend(entry: Entry, *, blobs: BlobFiles, tree: Path) -> None:
    """Put a file in the place of another: whoever reads the tree sees the old one or the new one."""
    file = tree / check_path(entry.path)
    draft = file.with_name(f".{os.urandom(8).hex()}")
    file.parent.chmod(_FOLDER_MODE | 0o200)
    try:
        place(entry, blobs=blobs, file=str(draft))
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
        file.parent.chmod(_FOLDER_MODE)
