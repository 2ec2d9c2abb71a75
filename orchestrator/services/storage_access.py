"""The storages that are open in this process."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.blobs import BlobStore
from orchestrator.errors import Unavailable
from orchestrator.records.dataset import DEFAULT_STORAGE
from orchestrator.services.storages import find_storage, put_default_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.store.protocol import Store


class Storages:
    """Opens storages by name, each once. Safe to use from many threads.

    Args:
        store: knows where they are.
        default_url: of the server's own.

    Raises:
        InvalidRequest: the server's own cannot be one.
    """

    def __init__(self, store: Store, *, default_url: str) -> None:
        self._store = store
        self._opened = {DEFAULT_STORAGE: BlobStore(default_url)}
        self._by_url: dict[tuple[str, str], BlobStore] = {}
        self._paths = _Keyed()
        self.collecting = threading.Lock()
        """Held by the one collection of garbage that is going on."""

    def register_default(self) -> None:
        """Mark the server's own storage, and note where it is."""
        opened = self._opened[DEFAULT_STORAGE]
        identity = opened.objects.identity(create=True) or ""
        self._store.write(lambda transaction: put_default_storage(transaction, url=opened.url, identity=identity))

    def of(self, name: str) -> BlobStore:
        """Return a storage.

        Raises:
            NotFound: there is none of that name.
            Unavailable: what is there is another one, as when a disk is not mounted.
        """
        if name in self._opened:
            return self._opened[name]
        storage = self._store.read(lambda transaction: find_storage(transaction, name=name))
        key = (storage.url, storage.identity)
        opened = self._by_url.get(key) or BlobStore(storage.url)
        is_near = opened.objects.local_path("x") is not None  # looked at each time: a disk may come and go
        if (is_near or key not in self._by_url) and opened.objects.identity(create=False) != storage.identity:
            raise Unavailable(
                f"{storage.url} is not the storage {name!r} that it was.",
                hint="See that it is mounted and that the server may read it; its marker is retrain-store.json.",
            )
        return self._by_url.setdefault(key, opened)

    @contextmanager
    def holding(self, storage: str, path: str) -> Iterator[None]:
        """Keep an object from being deleted while it is put into its place and recorded, and the other way round.

        Blobs that are objects of their own have a path made of their digest: without this, what collects garbage could
        delete one that was stored anew since it was found to be unused.
        """
        with self._paths.locked((storage, path.partition("/")[2])):  # a blob and its parts differ in the first folder
            yield


class _Keyed:
    """A lock for every key that somebody holds."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)
        self._users: defaultdict[tuple[str, str], int] = defaultdict(int)

    @contextmanager
    def locked(self, key: tuple[str, str]) -> Iterator[None]:
        with self._guard:
            lock = self._locks[key]
            self._users[key] += 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key], self._locks[key]
