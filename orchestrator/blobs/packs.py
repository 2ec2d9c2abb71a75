"""Many small blobs in few large objects: a million files of 1 KiB are not a million requests, nor a million syncs."""

from __future__ import annotations

import contextlib
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Self

from orchestrator.blobs.pack_index import Packed, encode_index
from orchestrator.records.blob import PACKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType

    from orchestrator.blobs.objects import Bytes, Draft, Objects

PACK_BYTES = 32 << 20
"""A pack is closed before it would be longer; only a blob that is longer itself makes a longer one."""
_WRITE_BYTES = 1 << 20


class Pack(NamedTuple):
    """An object that holds blobs, one after the other, and an index of them."""

    path: str
    size_bytes: int
    """Of all of it, the index too."""
    blobs: list[Packed]


class PackWriter:
    """Packs what it is given; while one pack is made durable the next is filled.

    When its context ends without an exception everything is stored and told; with one, what was not told is gone.

    Args:
        objects: where to.
        on_pack: told of each pack when it is durable, in order, by the thread that adds.
    """

    def __init__(self, objects: Objects, *, on_pack: Callable[[Pack], object]) -> None:
        self._objects = objects
        self._on_pack = on_pack
        self._filling: _Filling | None = None
        self._settling: tuple[_Filling, Future[None]] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="retrain-pack")

    def __enter__(self) -> Self:
        return self

    def add(self, digest: str, data: Bytes) -> None:
        """Append a blob. That the digest is its own is not checked again.

        Raises:
            NoSpace: the disk is full.
            Forbidden, Unavailable: the store refuses or does not answer.
        """
        if self._filling is not None and self._filling.size_bytes + len(data) > PACK_BYTES:
            self._close()
        if self._filling is None:
            self._filling = _Filling(self._objects)
        self._filling.add(digest, data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                if self._filling is not None:
                    self._close()
                self._take()
        finally:
            if self._settling is not None:
                self._give_up(*self._settling)
            if self._filling is not None:
                self._filling.end()
            self._pool.shutdown()

    def _close(self) -> None:
        self._take()
        if self._filling is not None:
            self._settling = self._filling, self._pool.submit(self._filling.settle)
            self._filling = None

    def _take(self) -> None:
        """Wait for the pack before and tell of it."""
        if self._settling is not None:
            filled, settled = self._settling
            settled.result()
            self._settling = None
            self._on_pack(filled.pack)

    def _give_up(self, filled: _Filling, settled: Future[None]) -> None:
        """Remove a pack that nobody was told of."""
        self._settling = None
        if settled.exception() is None:
            self._objects.delete(filled.pack.path)


class _Filling:
    """A pack that is being written."""

    def __init__(self, objects: Objects) -> None:
        self._context = contextlib.ExitStack()
        self._draft: Draft = self._context.enter_context(objects.draft(held_bytes=PACK_BYTES))
        self._gathered = bytearray()
        self._blobs: list[Packed] = []
        name = uuid.uuid4().hex
        self._path = f"{PACKS}{name[:2]}/{name}.pack"
        self.size_bytes = 0

    @property
    def pack(self) -> Pack:
        """What it holds."""
        return Pack(self._path, self.size_bytes, self._blobs)

    def add(self, digest: str, data: Bytes) -> None:
        """Append a blob; the store gets few large writes."""
        self._gathered += data
        self._blobs.append(Packed(digest, self.size_bytes, len(data)))
        self.size_bytes += len(data)
        if len(self._gathered) >= _WRITE_BYTES:
            self._flush()

    def settle(self) -> None:
        """Put it in its place."""
        with self._context:
            index = encode_index(self._blobs)
            self._gathered += index
            self.size_bytes += len(index)
            self._flush()
            self._draft.settle(self._path)

    def end(self) -> None:
        """Remove what was written."""
        self._context.close()

    def _flush(self) -> None:
        self._draft.write(self._gathered)
        self._gathered = bytearray()
