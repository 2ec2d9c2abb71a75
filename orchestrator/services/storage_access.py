"""The storages that are open in this process."""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.blobs import BlobStore
from orchestrator.blobs.objects import MARKER
from orchestrator.blobs.owner import claim
from orchestrator.errors import Unavailable
from orchestrator.records.dataset import DEFAULT_STORAGE
from orchestrator.services.storages import find_storage, put_default_storage, require_default
from orchestrator.store.protocol import object_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.blobs.objects import Objects
    from orchestrator.records.blob import BlobPlace
    from orchestrator.store.protocol import Store, Transaction

_TRUSTED_SECONDS = 60.0
"""So long the marker of a storage elsewhere is taken to be what it was; one in a directory is read each time."""
_DATABASE = "database_id"


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
        self._default = BlobStore(default_url)
        self._default_identity: str | None = None
        self._by_url: dict[tuple[str, str], BlobStore] = {}
        self._trusted_until: dict[tuple[str, str], float] = {}
        self._paths = _Keyed()

    @cached_property
    def database(self) -> str:
        """The random id of the database, by which a storage knows whose it is."""
        with self._store.hold("database id"):
            return self._store.write(_database_id)

    def register_default(self) -> None:
        """Mark the server's own storage, and note where it is.

        Raises:
            Unavailable: objects are recorded in it, and what is there now is another place, as when a disk is not
                mounted; nothing is written there.
            Conflict: it belongs to another database.
        """
        opened = self._default
        there = opened.objects.identity(create=False)
        self._store.read(lambda transaction: require_default(transaction, url=opened.url, identity=there))
        identity = self.take(opened.objects)
        self._store.write(lambda transaction: put_default_storage(transaction, url=opened.url, identity=identity))
        self._default_identity = identity

    def take(self, objects: Objects) -> str:
        """Make a place this database's own and return its identity, a new one where it has none.

        Raises:
            Conflict: it belongs to another database.
        """
        claim(objects, database=self.database)
        return objects.identity(create=True) or ""

    def of(self, name: str) -> BlobStore:
        """Return a storage.

        Raises:
            NotFound: there is none of that name.
            Unavailable: what is there is another one, as when a disk is not mounted.
        """
        return self._open(name, confirm=False)

    def confirm(self, name: str) -> BlobStore:
        """Return a storage of which it is certain at this moment that it is there: its marker was read just now.

        Raises:
            NotFound, Unavailable: see `of`.
        """
        return self._open(name, confirm=True)

    def confirm_ours(self, name: str) -> BlobStore:
        """Return a storage that is there and in which nobody else stores anything.

        Raises:
            Conflict: it belongs to another database.
            NotFound, Unavailable: see `of`.
        """
        opened = self.confirm(name)
        claim(opened.objects, database=self.database)
        return opened

    def is_gone(self, place: BlobPlace) -> bool:
        """Tell whether an object is gone for certain, from a storage that is there before and after it is looked for.

        Raises:
            Unavailable: the storage is not there, or is another one: nothing is known of what lies in it.
        """
        objects = self.confirm(place.storage).objects
        if place.part_bytes:  # such a blob is all of its object
            gone = sum(listed.size_bytes for listed in objects.listing(place.path)) < place.size_bytes
        else:
            gone = objects.size_of(place.path) is None
        self.confirm(place.storage)
        return gone

    def _open(self, name: str, *, confirm: bool) -> BlobStore:
        if name == DEFAULT_STORAGE and self._default_identity is not None:
            url, identity = self._default.url, self._default_identity
            opened = self._default
        else:
            storage = self._store.read(lambda transaction: find_storage(transaction, name=name))
            url, identity = storage.url, storage.identity
            opened = self._by_url.get((url, identity)) or BlobStore(url)
        key = (url, identity)
        is_near = opened.objects.local_path("x") is not None  # looked at each time: a disk may come and go
        if confirm or is_near or time.monotonic() > self._trusted_until.get(key, 0.0):
            if opened.objects.identity(create=False) != identity:
                raise Unavailable(
                    f"{url} is not the storage {name!r} that it was.",
                    hint=f"See that it is mounted and that the server may read it; its marker is {MARKER}.",
                )
            self._trusted_until[key] = time.monotonic() + _TRUSTED_SECONDS
        return self._by_url.setdefault(key, opened)

    @contextmanager
    def holding(self, storage: str, path: str) -> Iterator[None]:
        """Keep an object from being deleted while it is put into its place and recorded, and the other way round.

        Blobs that are objects of their own have a path made of their digest: without this, what collects garbage could
        delete one that was stored anew since it was found to be unused. It holds within this process; between several
        see `deleting`.
        """
        with self._paths.locked((storage, path.partition("/")[2])):  # a blob and its parts differ in the first folder
            yield

    @contextmanager
    def deleting(self, storage: str, path: str) -> Iterator[bool]:
        """Tell whether an object may be deleted: it is not recorded, and nobody records it before the context ends.

        Another process that put it into its place in between records it only then, looks whether it is still there
        (`require_kept`) and has it sent again where it is not.
        """
        with self.holding(storage, path), self._store.hold(object_lock(storage, path)):
            yield not self._store.read(lambda transaction: transaction.blobs.object_paths(storage, [path]))

    def require_kept(self, storage: str, path: str, *, part_bytes: int = 0) -> None:
        """Check, when an object has been recorded, that no other process deleted it before it was.

        Whoever dies between recording and this leaves a blob that `verify` finds to be gone.

        Raises:
            Unavailable: it was deleted; send it again.
        """
        objects = self.of(storage).objects
        there = next(objects.listing(path), None) if part_bytes else objects.size_of(path)
        if there is None:
            raise Unavailable(f"{path} was collected as garbage while it was stored again.", hint="Send it once more.")


def _database_id(transaction: Transaction) -> str:
    found = transaction.setting(_DATABASE)
    if found is None:
        found = uuid.uuid4().hex
        transaction.put_setting(_DATABASE, found)
    return str(found)


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
