"""The cache of one machine: trees of dataset versions and the blobs that they are links to.

blobs/, incoming/             see `blob_files`
datasets/<name>/              a tree, complete since it has that name; a version's id, and more for a part of it
datasets/<id>.view/           files of a version that were opened one by one
datasets/<name>.files         what it consists of
datasets/<name>.lock          shared by those who use it; its time is that of the last use
datasets/<name>.making        held by whoever makes it; says how many bytes he may add to the cache
datasets/<id>.view.<blob>.making  the same for one file of a view
datasets/<name>.pin-<random>  link to a file: while that exists, the tree is in use
datasets/.<name>.draft/       a tree that is being made
datasets/.gone-<random>       a tree that is being removed
usage                         how many bytes there are in blobs, and the lock of whoever changes that

Any number of processes use it at once, and each may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import os
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.records.links import LinkPolicy
from orchestrator.sdk.copies import locks
from orchestrator.sdk.copies.blob_files import BlobFiles
from orchestrator.sdk.copies.contents import Contents
from orchestrator.sdk.copies.eviction import Evicted, Ledger, evict
from orchestrator.sdk.copies.raw_files import remove_tree
from orchestrator.sdk.notices import say
from orchestrator.settings import cache_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.sdk.copies.contents import Summary

_NOT_TREES = (".files", ".lock", ".making")
VIEW = ".view"
_ANY_LINKS = LinkPolicy()


class Tree(NamedTuple):
    """A tree that is in the cache.

    Attributes:
        name: in `datasets`.
        path: of its root.
        summary: what it is; None of a view, and where nothing that can be read says so.
        used_at: seconds since 1970.
        in_use: whether somebody uses it now.
    """

    name: str
    path: Path
    summary: Summary | None
    used_at: float
    in_use: bool


class Cache:
    """A folder for copies, on one file system.

    Args:
        root: the folder; it is made when it is needed.
        limit_bytes: of all blobs; `RETRAIN_CACHE_BYTES` where it is not given.
        links: which files that lie elsewhere it may be filled with.
    """

    def __init__(self, root: Path, *, limit_bytes: int | None = None, links: LinkPolicy = _ANY_LINKS) -> None:
        self.root = root
        self.links = links
        self.limit_bytes = cache_bytes() if limit_bytes is None else limit_bytes
        self.folder = root / "datasets"
        self.blobs = BlobFiles(root)
        self.ledger = Ledger(root / "usage")

    def tree(self, name: str) -> Path:
        """Return where a tree is, or is to be."""
        return self.folder / name

    def draft(self, name: str) -> Path:
        """Return where a tree is while it is made."""
        return self.folder / f".{name}.draft"

    def contents(self, name: str) -> Contents:
        """Return what a tree consists of."""
        return Contents(self.folder / f"{name}.files")

    def use_lock(self, name: str) -> Path:
        """Return the lock of those who use a tree."""
        return self.folder / f"{name}.lock"

    def making_lock(self, name: str) -> Path:
        """Return the lock of whoever makes a tree."""
        return self.folder / f"{name}.making"

    def use(self, name: str) -> None:
        """Keep a tree, there or to come, from being evicted for as long as this process lives."""
        self.folder.mkdir(parents=True, exist_ok=True)
        locks.keep(self.use_lock(name))

    @contextlib.contextmanager
    def used(self, name: str) -> Iterator[None]:
        """Use a tree from now on, for as long as this process lives; not where the block fails and there is no tree."""
        self.use(name)
        try:
            yield
        except BaseException:
            if not self.tree(name).is_dir():
                self.let_go(name)
            raise
        self.use(name)  # another thread may have failed and let go

    def let_go(self, name: str) -> None:
        """Use a tree no more."""
        locks.let_go(self.use_lock(name))

    def pin(self, name: str, *, keeper: Path) -> None:
        """Keep a tree from being evicted for as long as a file exists, whichever process lives."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self._pin(name, keeper).symlink_to(keeper)

    def unpin(self, *, keeper: Path) -> None:
        """Take back what was pinned for a file."""
        for pin in self.folder.glob(f"*{self._pin('', keeper).name}"):
            pin.unlink(missing_ok=True)

    def _pin(self, name: str, keeper: Path) -> Path:
        return self.folder / f"{name}.pin-{blake2b(bytes(keeper), digest_size=8).hexdigest()}"

    @contextlib.contextmanager
    def making(self, name: str) -> Iterator[int]:
        """Be the only one who makes or mends a tree; yields what `room` is asked with."""
        with locks.alone(self.making_lock(name)) as descriptor:
            if descriptor is None:
                raise AssertionError(name)  # it was waited for
            os.ftruncate(descriptor, 0)
            remove_tree(self.draft(name))
            yield descriptor

    @contextlib.contextmanager
    def fetching(self, name: str, *, blob: str) -> Iterator[int]:
        """Be the only one who fetches a file into a view, whose others come at the same time; yields as `making` does.

        Args:
            name: of the view.
            blob: what the file's bytes are called.
        """
        lock = self.making_lock(f"{name}.{blob}")
        with locks.alone(lock) as descriptor:
            if descriptor is None:
                raise AssertionError(lock)  # it was waited for
            try:
                yield descriptor
            finally:
                lock.unlink(missing_ok=True)  # there may be very many

    @contextlib.contextmanager
    def room(self, making: int, *, size_bytes: int) -> Iterator[None]:
        """Add bytes to the cache while the context lasts; trees that nobody uses give way to them first.

        Args:
            making: what `making` or `fetching` yielded.
            size_bytes: how many at most.
        """
        with self.ledger.opened() as account:
            used = account.read()
            if used is None or used + size_bytes > self.limit_bytes:
                used = evict(self, to_bytes=self.limit_bytes - size_bytes).left_bytes
            if used + size_bytes > self.limit_bytes:
                say(
                    f"the cache {self.root} grows to {used + size_bytes:,} bytes, over its limit of "
                    f"{self.limit_bytes:,}: all that is in it is in use; RETRAIN_CACHE_BYTES sets the limit"
                )
            os.pwrite(making, b"%d" % size_bytes, 0)
            account.write(used + size_bytes)
        try:
            yield
        except BaseException:
            self.ledger.doubt()
            raise

    def usage(self) -> int:
        """Return how many bytes the blobs have, with those that are on their way."""
        with self.ledger.opened() as account:
            used = account.read()
            if used is None:
                used = evict(self, to_bytes=None).left_bytes
                account.write(used)
            return used

    def evict(self, to_bytes: int) -> Evicted:
        """Remove trees that nobody uses, those first that were not used for longest, until so many bytes are left."""
        with self.ledger.opened() as account:
            evicted = evict(self, to_bytes=to_bytes)
            account.write(evicted.left_bytes)
            return evicted

    def names(self) -> list[str]:
        """Return the names of all trees, and of those of which something is left."""
        found = set()
        with contextlib.suppress(FileNotFoundError):
            for each in os.scandir(self.folder):
                if not each.name.startswith("."):
                    name = each.name.partition(".pin-")[0]
                    for ending in _NOT_TREES:
                        name = name.removesuffix(ending)
                    found.add(name)
        return sorted(found)

    def used_at(self, name: str) -> float:
        """Return when a tree was last asked for, in seconds since 1970."""
        try:
            return self.use_lock(name).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def is_pinned(self, name: str) -> bool:
        """Tell whether a file that keeps the tree exists; pins of files that are gone are removed."""
        found = False
        for pin in self.folder.glob(f"{name}.pin-*"):
            if pin.exists():
                found = True
            else:
                pin.unlink(missing_ok=True)
        return found

    def trees(self) -> list[Tree]:
        """Return the trees that are in the cache, the one first that was not used for longest."""
        found = [
            Tree(
                name,
                self.tree(name),
                self.contents(name).summary(),
                self.used_at(name),
                locks.is_held(self.use_lock(name)) or self.is_pinned(name),
            )
            for name in self.names()
            if self.tree(name).is_dir()
        ]
        return sorted(found, key=lambda tree: tree.used_at)
