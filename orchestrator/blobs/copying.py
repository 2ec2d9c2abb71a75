"""Copies of files, hashed on their way: each byte is read once by us, holes stay holes, memory is constant.

Hashing and copying take a core each: BLAKE3 runs in a thread beside the copy.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import blake3

from orchestrator.blobs.directory import write_all
from orchestrator.blobs.objects import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    OnBytes = Callable[[int], object]

_ZEROS = memoryview(bytes(CHUNK_BYTES))
_BUFFERS = 4
_STEP_BYTES = 16 << 20
"""What the kernel copies at once, and after which it is told to write to the disk."""
_HOLE_BYTES = 256 << 20
"""Of a hole that is hashed at once: progress is to be seen."""
_STAT_BLOCK_BYTES = 512
_CANNOT = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY})
"""What `copy_file_range` says where file systems cannot do it with each other, or a sandbox forbids it."""


class SourceError(OSError):
    """What is copied cannot be read; any other error is one of the copy."""


def copy_file(
    source: int, target: int, *, size_bytes: int, shared: bool = False, on_bytes: OnBytes | None = None
) -> tuple[str, int]:
    """Copy a file. What is hashed is what the copy holds, whatever happens to the source meanwhile.

    Args:
        source: descriptor that is read from offset 0.
        target: descriptor of an empty file, opened for reading and writing.
        size_bytes: how much to copy.
        shared: let the kernel copy, so that a file system that can shares the bytes; for a copy that is not synced.
            Else the kernel is told early to write to the disk, so that little is left when the target is synced.
        on_bytes: called with numbers of bytes that are copied.

    Returns:
        BLAKE3 of the copied bytes as 64 digits, and how many they are: fewer where the source is shorter.

    Raises:
        SourceError: the source cannot be read.
        OSError: the target cannot be written.
    """
    if size_bytes <= CHUNK_BYTES:
        try:
            data = os.pread(source, size_bytes, 0)
        except OSError as error:
            raise SourceError(error.errno, error.strerror) from error
        write_all(target, data)
        if on_bytes is not None:
            on_bytes(len(data))
        return blake3.blake3(data).hexdigest(), len(data)
    with ThreadPoolExecutor(1, thread_name_prefix="retrain-hash") as pool:
        return _Copy(source, target, pool=pool, shared=shared, on_bytes=on_bytes).run(size_bytes)


class _Copy:
    """One copy of a large file."""

    def __init__(
        self, source: int, target: int, *, pool: ThreadPoolExecutor, shared: bool, on_bytes: OnBytes | None
    ) -> None:
        self._source = source
        self._target = target
        self._pool = pool
        self._shared = shared
        self._on_bytes = on_bytes
        self._hasher = blake3.blake3()
        self._hashing: deque[Future[None]] = deque()
        self._steps = 0
        self._buffers = [memoryview(bytearray(CHUNK_BYTES)) for _ in range(_BUFFERS)]
        self._behind = memoryview(bytearray(CHUNK_BYTES)) if shared else self._buffers[0]
        self._flushed = 0

    def run(self, size_bytes: int) -> tuple[str, int]:
        """Copy and return digest and size."""
        offset = 0
        for start, length, hole in _runs(self._source, size_bytes=size_bytes):
            offset, end = start, start + length
            while offset < end:
                count = self._skip(end - offset) if hole else self._move(offset, end - offset)
                if not count:
                    return self._finish(offset)
                offset += count
                if self._on_bytes is not None:
                    self._on_bytes(count)
        return self._finish(offset)

    def _finish(self, size_bytes: int) -> tuple[str, int]:
        os.ftruncate(self._target, size_bytes)
        self._wait(below=1)
        return self._hasher.hexdigest(), size_bytes

    def _move(self, offset: int, length: int) -> int:
        """Copy some bytes and return how many; 0 at the end of the source."""
        self._wait(below=_BUFFERS)
        if self._shared:
            try:
                count = os.copy_file_range(self._source, self._target, min(length, _STEP_BYTES), offset, offset)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                self._shared = False
            else:
                self._submit(self._hash_copied, offset, count)
                return count
        buffer = self._buffers[self._steps % _BUFFERS]
        try:
            count = os.preadv(self._source, [buffer[:length]], offset)
        except OSError as error:
            raise SourceError(error.errno, error.strerror) from error
        if count:
            self._submit(self._hasher.update, buffer[:count])
            os.lseek(self._target, offset, os.SEEK_SET)
            write_all(self._target, buffer[:count])
            self._write_back(offset + count)
        return count

    def _skip(self, length: int) -> int:
        """Hash a part of a hole, which nobody needs to read."""
        self._wait(below=_BUFFERS)
        step = min(length, _HOLE_BYTES)
        self._submit(self._hash_zeros, step)
        return step

    def _write_back(self, end: int) -> None:
        if end - self._flushed >= _STEP_BYTES:
            os.posix_fadvise(self._target, self._flushed, end - self._flushed, os.POSIX_FADV_DONTNEED)
            self._flushed = end

    def _submit(self, step: Callable[..., object], *arguments: object) -> None:
        self._steps += 1
        self._hashing.append(self._pool.submit(step, *arguments))  # type: ignore[arg-type]

    def _wait(self, *, below: int) -> None:
        """Wait until hashing is fewer steps behind; buffers are then free in the order in which they were used."""
        while len(self._hashing) >= below:
            self._hashing.popleft().result()

    def _hash_copied(self, offset: int, length: int) -> None:
        end = offset + length
        while offset < end:
            count = os.preadv(self._target, [self._behind[: end - offset]], offset)
            if not count:
                raise OSError(errno.EIO, "the copy is shorter than the system said")
            self._hasher.update(self._behind[:count])
            offset += count

    def _hash_zeros(self, length: int) -> None:
        while length:
            step = min(length, CHUNK_BYTES)
            self._hasher.update(_ZEROS[:step])
            length -= step


def _runs(descriptor: int, *, size_bytes: int) -> Iterator[tuple[int, int, bool]]:
    """Yield offset, length and whether it is a hole for what a file consists of, up to a size."""
    if os.fstat(descriptor).st_blocks * _STAT_BLOCK_BYTES >= size_bytes:
        yield 0, size_bytes, False
        return
    offset = 0
    while offset < size_bytes:
        data = min(_seek(descriptor, offset, os.SEEK_DATA), size_bytes)
        if data < offset:
            return  # the file was cut meanwhile
        if data > offset:
            yield offset, data - offset, True
        if data < size_bytes:
            end = min(_seek(descriptor, data, os.SEEK_HOLE), size_bytes)
            if end <= data:
                return
            yield data, end - data, False
            data = end
        offset = data


def _seek(descriptor: int, offset: int, kind: int) -> int:
    """Return where the next data or hole begins; the end of the file where there is none."""
    try:
        return os.lseek(descriptor, offset, kind)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return os.fstat(descriptor).st_size
