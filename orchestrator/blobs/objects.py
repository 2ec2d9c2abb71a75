"""What a store of bytes is made of: objects that appear whole or not at all, in a directory or in a bucket.

Paths are relative, with `/` between folders. The docstrings are the contract, and `orchestrator.blobs.testing` holds a
store to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

Bytes = bytes | bytearray | memoryview

CHUNK_BYTES = 1 << 20
"""No chunk that is read is longer."""
MARKER = "retrain-store.json"
"""Holds the store's identity, in its root."""
OWNER = "retrain-owner.json"
"""Holds the id of the database that records what lies in the store, in its root."""
UPLOADS = "uploads"
"""Where a directory keeps what is not finished."""


class Listed(NamedTuple):
    """An object that is there."""

    path: str
    size_bytes: int
    changed_at: datetime
    """UTC, by the clock of whoever stores it."""


class Writer(Protocol):
    """Takes the bytes of an object."""

    def write(self, data: Bytes, /) -> object:
        """Take the next bytes; they may be altered afterwards.

        Raises:
            NoSpace: the disk is full; the message names it.
        """


class Draft(Writer, Protocol):
    """An object that has no place yet. Nobody sees it; it is gone when its context ends."""

    def settle(self, path: str) -> None:
        """Put the bytes in their place, in one step; what was there is replaced. Durable when it returns.

        Raises:
            NoSpace: the disk is full.
            Forbidden: the store refuses.
            Unavailable: the store does not answer.
        """


class Objects(Protocol):
    """A store of bytes. Every method may be called from several threads at once.

    Each raises Forbidden where the store refuses, Unavailable where it does not answer, NoSpace where it is full.
    """

    url: str
    """Names the store to a person; holds no secret."""

    def read(self, path: str, *, offset: int = 0, size_bytes: int) -> Iterator[bytes]:
        """Yield bytes in chunks of 1 MiB at most; fewer than asked for where the object is shorter.

        Raises:
            NotFound: no such object.
        """

    def size_of(self, path: str) -> int | None:
        """Return an object's size in bytes, or None where it is not there."""

    def holds(self, path: str, data: bytes) -> bool:
        """Tell whether an object surely has just these bytes, without moving them. When in doubt it has not."""

    def put(self, path: str, data: Bytes) -> None:
        """Store an object from memory, in one step; what was there is replaced. Durable when it returns."""

    def put_first(self, path: str, data: bytes) -> bytes:
        """Store a small object unless one is there, and return what is there then.

        Of several who do so at once all get the same.
        """

    def draft(self, *, held_bytes: int = 0) -> AbstractContextManager[Draft]:
        """Begin an object whose place is not known yet.

        Args:
            held_bytes: how many of its bytes may wait in memory where they cannot wait in the store itself.
        """

    def write(self, path: str) -> AbstractContextManager[Writer]:
        """Begin an object of any size: it is there, whole and durable, when the context ends without an exception."""

    def delete(self, path: str) -> int:
        """Remove an object and return how many bytes that freed: 0 where it was not there."""

    def listing(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects below a folder, or of the whole store where it is empty, in no order.

        Unfinished ones are not among them, unless the folder is `uploads`.
        """

    def local_path(self, path: str) -> Path | None:
        """Return the file that an object is on this machine, whether there or not; None where it can be no file."""

    def identity(self, *, create: bool) -> str | None:
        """Return the random id by which a store is known again, wherever and under whatever name it is reached.

        Args:
            create: give it one where it has none; of several who do so at once all get the same.
        """
