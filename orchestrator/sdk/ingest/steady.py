"""Reading files that others may write to: what was read is what stood in the file at one moment, or it is refused."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import InvalidPath
from orchestrator.sdk.ingest.file_index import identity
from orchestrator.sdk.ingest.scan import unusable

if TYPE_CHECKING:
    from collections.abc import Callable

_TICK_NS = 20_000_000
"""A file system's clock moves in steps of up to 10 ms; two changes within one step look like one."""
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # what became a pipe meanwhile does not block


class Read(NamedTuple):
    """A file that held still.

    Attributes:
        data: its bytes.
        status: what it was before and after.
        read_at_ns: when reading began, nanoseconds since the epoch.
    """

    data: bytes
    status: os.stat_result
    read_at_ns: int


def read_whole(file: str, *, most_bytes: int) -> Read | None:
    """Read a small file; None where it has become a large one.

    A file that changes while it is read is read once more.

    Args:
        file: links at its end were followed.
        most_bytes: what is larger is not read.

    Raises:
        InvalidPath: it changed twice while it was read, vanished or cannot be read.
    """
    for _ in range(2):
        try:
            descriptor = os.open(file, _FLAGS)
            try:
                before = os.fstat(descriptor)
                if not stat.S_ISREG(before.st_mode):
                    raise changed(file)
                if before.st_size > most_bytes:
                    return None
                read_at_ns = _past_tick(before)
                data = _read(descriptor, before.st_size)
            finally:
                os.close(descriptor)
            after = os.stat(file)  # noqa: PTH116  by its path: another file may have taken its place
        except OSError as error:
            raise unusable(file, error) from None
        if identity(before) == identity(after) and len(data) == after.st_size:
            return Read(data, before, read_at_ns)
    raise changed(file)


class Steady:
    """A large file that must hold still while something reads it.

    Args:
        file: links at its end were followed.

    Attributes:
        status: what it was when it was looked at first.
        read_at_ns: when that was, nanoseconds since the epoch.

    Raises:
        InvalidPath: it vanished or cannot be read.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.status = self._look()
        self.read_at_ns = _past_tick(self.status)

    def check(self) -> None:
        """Refuse it where it changed since.

        Raises:
            InvalidPath: it did, or it vanished.
        """
        if identity(self._look()) != identity(self.status):
            raise changed(self.file)

    def _look(self) -> os.stat_result:
        try:
            return os.stat(self.file)  # noqa: PTH116  as elsewhere here
        except OSError as error:
            raise unusable(self.file, error) from None


def hash_large(file: str, *, on_bytes: Callable[[int], object]) -> bytes:
    """Return the BLAKE3 of a file, 32 bytes, in constant memory; holes are read as the zeros that they are.

    Raises:
        InvalidPath: it cannot be read.
    """
    from blake3 import blake3  # noqa: PLC0415  inside an attempt it may be missing, and the server hashes

    hasher = blake3(max_threads=blake3.AUTO)
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    try:
        descriptor = os.open(file, _FLAGS)
        try:
            while count := os.readv(descriptor, [buffer]):
                hasher.update(buffer[:count])
                on_bytes(count)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unusable(file, error) from None
    return hasher.digest()


def changed(file: str) -> InvalidPath:
    """Return the error of a file that did not hold still."""
    return InvalidPath(f"{file} changed while it was read.", hint="Add it when nothing writes to it.")


_BUFFER_BYTES = 4 << 20


def _past_tick(status: os.stat_result) -> int:
    """Wait until a further change of a file that was changed just now would show, and return the time."""
    now = time.time_ns()
    age = now - max(status.st_mtime_ns, status.st_ctime_ns)
    if 0 <= age < _TICK_NS:
        time.sleep((_TICK_NS - age) / 1e9)
        return time.time_ns()
    return now


def _read(descriptor: int, size_bytes: int) -> bytes:
    """Read to the end: one byte more than there should be shows that there is more."""
    data = os.read(descriptor, size_bytes + 1)
    if len(data) >= size_bytes:
        return data
    parts = [data]
    while data := os.read(descriptor, size_bytes + 1):
        parts.append(data)
    return b"".join(parts)
