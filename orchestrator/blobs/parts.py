"""A large file on its way to a store elsewhere: in parts, several at once, of which none is sent twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import blake3

from orchestrator.blobs.spans import PREFIX, Span, part_path
from orchestrator.errors import InvalidPath

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from orchestrator.blobs.objects import Objects

PART_BYTES = 32 << 20
"""A part of the format: what is stored in parts of another length would be taken for broken."""
AT_ONCE = 3
"""Parts that are in memory. The libraries beneath copy what they send: each takes twice its length."""


def send_parts(
    objects: Objects, file: Path, *, span: Span, digest: str, on_bytes: Callable[[int], object] | None
) -> None:
    """Store a file in parts. What a call that was cut off has stored is kept for the next one.

    A part is not sent where the store itself says that it has those bytes. One that is there with others is replaced
    only after the whole file has proved to be the one that is meant: it may belong to a version.

    Args:
        objects: where to.
        file: what to read.
        span: the folder of the parts, and the size of the whole file.
        digest: of the whole file.
        on_bytes: called with numbers of bytes that are stored, from one thread at a time.

    Raises:
        InvalidPath: the file changed; what was sent of it is removed.
        Unavailable: the store does not answer, even after several tries.
    """
    there = {listed.path for listed in objects.listing(span.path)}
    sending = _Sending(objects, folder=span.path, there=there, on_bytes=on_bytes)
    found = sending.send_all(file, size_bytes=span.size_bytes)
    if found != digest:
        for path in sending.sent:
            objects.delete(path)
        raise changed(file)
    for number, part in sorted(sending.differing.items()):
        data = _read_part(file, number=number)
        if blake3.blake3(data).digest() != part:
            raise changed(file)
        objects.put(part_path(span.path, number), data)
        sending.tell(len(data))


def changed(file: Path) -> InvalidPath:
    """Return the error of a file that is not the one that was hashed."""
    return InvalidPath(f"{file} changed while it was sent.", hint="Add it again when nothing writes to it.")


class _Sending:
    """One file on its way."""

    def __init__(
        self, objects: Objects, *, folder: str, there: set[str], on_bytes: Callable[[int], object] | None
    ) -> None:
        self._objects = objects
        self._folder = folder
        self._there = there
        self._on_bytes = on_bytes
        self._room = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self.sent: list[str] = []
        """Parts that were not there before."""
        self.differing: dict[int, bytes] = {}
        """BLAKE3 of the parts for which others are there."""

    def send_all(self, file: Path, *, size_bytes: int) -> str:
        """Send what is missing and return the digest of what was read."""
        hasher = blake3.blake3()
        futures: list[Future[None]] = []
        with file.open("rb", buffering=0) as source, ThreadPoolExecutor(AT_ONCE, "retrain-part") as pool:
            try:
                for number in range(-(-size_bytes // PART_BYTES)):
                    self._room.acquire()
                    if any(future.done() and future.exception() for future in futures):
                        break  # it is raised below
                    data = source.read(PART_BYTES)
                    hasher.update(data)
                    futures.append(pool.submit(self._send, number, data))
                    futures[-1].add_done_callback(lambda _: self._room.release())
                    del data
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            return PREFIX + hasher.hexdigest() if not source.read(1) else ""

    def tell(self, count: int) -> None:
        """Show progress."""
        if self._on_bytes is not None:
            with self._lock:
                self._on_bytes(count)

    def _send(self, number: int, data: bytes) -> None:
        path = part_path(self._folder, number)
        if path not in self._there:
            with self._lock:
                self.sent.append(path)
            self._objects.put(path, data)
        elif not self._objects.holds(path, data):
            with self._lock:
                self.differing[number] = blake3.blake3(data).digest()
            return
        self.tell(len(data))


def _read_part(file: Path, *, number: int) -> bytes:
    with file.open("rb", buffering=0) as source:
        source.seek(number * PART_BYTES)
        return source.read(PART_BYTES)
