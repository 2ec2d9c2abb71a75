"""A large file on its way to a store elsewhere: in parts, several at once, of which none is sent twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import blake3

from orchestrator.blobs.spans import PREFIX, Span, part_path
from orchestrator.errors import InvalidPath

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from orchestrator.blobs.objects import Objects

PART_BYTES = 32 << 20
"""A part of the format: what is stored in parts of another length would be taken for broken."""
AT_ONCE = 3
"""Parts that are in memory. The libraries beneath copy what they send: each takes twice its length."""
_READ_BYTES = 4 << 20


class Hashed(NamedTuple):
    """What a file was when it was read.

    Attributes:
        digest: of all.
        size_bytes: of all.
        prefixes: BLAKE3, for each part, of all up to its end. By these a part is known for the right one before it is
            sent, though nothing is hashed twice for it.
    """

    digest: str
    size_bytes: int
    prefixes: tuple[bytes, ...]


def hash_in_parts(file: Path, *, on_bytes: Callable[[int], object] | None = None) -> Hashed:
    """Read a file.

    Args:
        file: what to read.
        on_bytes: called with numbers of bytes that were read.

    Raises:
        OSError: it cannot be read.
    """
    hasher = blake3.blake3(max_threads=blake3.blake3.AUTO)
    prefixes: list[bytes] = []
    buffer = memoryview(bytearray(_READ_BYTES))
    size_bytes = 0
    with file.open("rb", buffering=0) as source:
        while count := source.readinto(buffer[: PART_BYTES - size_bytes % PART_BYTES]):
            hasher.update(buffer[:count])
            size_bytes += count
            if not size_bytes % PART_BYTES:
                prefixes.append(hasher.digest())
            if on_bytes is not None:
                on_bytes(count)
    digest = hasher.digest()
    if size_bytes % PART_BYTES:
        prefixes.append(digest)
    return Hashed(PREFIX + digest.hex(), size_bytes, tuple(prefixes))


def send_parts(  # noqa: PLR0913  what it is made of
    objects: Objects,
    file: Path,
    *,
    span: Span,
    digest: str,
    prefixes: Sequence[bytes] | None = None,
    on_bytes: Callable[[int], object] | None,
) -> None:
    """Store a file in parts. What a call that was cut off has stored is kept for the next one.

    A part is sent only when it has proved to be the right one, and it is never removed: others may be sending the same
    file, and what they stored belongs to a version perhaps. What nobody uses in the end is collected. A part is not
    sent where the store itself says that it has those bytes.

    Args:
        objects: where to.
        file: what to read.
        span: the folder of the parts, and the size of the whole file.
        digest: of the whole file.
        prefixes: of the file with this digest; None to read it once more for these.
        on_bytes: called with numbers of bytes that are stored, from one thread at a time.

    Raises:
        InvalidPath: the file changed.
        OSError: it cannot be read.
        Unavailable: the store does not answer, even after several tries.
    """
    if prefixes is None:
        hashed = hash_in_parts(file)
        if (hashed.digest, hashed.size_bytes) != (digest, span.size_bytes):
            raise changed(file)
        prefixes = hashed.prefixes
    there = {listed.path for listed in objects.listing(span.path)}
    _Sending(objects, folder=span.path, there=there, on_bytes=on_bytes).send_all(file, prefixes=prefixes)


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

    def send_all(self, file: Path, *, prefixes: Sequence[bytes]) -> None:
        """Send what is missing."""
        hasher = blake3.blake3()
        futures: list[Future[None]] = []
        with file.open("rb", buffering=0) as source, ThreadPoolExecutor(AT_ONCE, "retrain-part") as pool:
            try:
                for number, prefix in enumerate(prefixes):
                    self._room.acquire()
                    if any(future.done() and future.exception() for future in futures):
                        break  # it is raised below
                    data = source.read(PART_BYTES)
                    hasher.update(data)
                    _require(hasher.digest() == prefix, file=file)
                    futures.append(pool.submit(self._send, number, data))
                    futures[-1].add_done_callback(lambda _: self._room.release())
                    del data
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            _require(not source.read(1), file=file)

    def _send(self, number: int, data: bytes) -> None:
        path = part_path(self._folder, number)
        if path not in self._there or not self._objects.holds(path, data):
            self._objects.put(path, data)
        if self._on_bytes is not None:
            with self._lock:
                self._on_bytes(len(data))


def _require(unchanged: bool, *, file: Path) -> None:  # noqa: FBT001  what is required, as in an assert
    if not unchanged:
        raise changed(file)
