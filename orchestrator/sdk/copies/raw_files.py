"""Bytes between files, at the speed of the disk; the standard library alone."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_AT_ONCE_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 512
"""The unit of st_blocks."""
_CANNOT = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of the bytes: the system may take fewer at once."""
    done = os.write(descriptor, data)
    rest = memoryview(data)[done:]
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def copy_contents(source: str | Path, target: str | Path, *, mode: int = 0o644) -> None:
    """Copy a file's bytes to a new file; where it can, the file system shares them, and holes stay holes.

    Args:
        source: what to copy.
        target: does not exist yet.
        mode: of the target, whatever the umask is.
    """
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.fchmod(writing, mode)
            found = os.fstat(reading)
            if found.st_blocks * _BLOCK_BYTES < found.st_size:
                _copy_data(reading, writing, size_bytes=found.st_size)
            else:
                _copy_range(reading, writing, offset=0, length=found.st_size)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def remove_tree(root: str | Path) -> None:
    """Remove a read-only tree, if it is there."""
    for folder, _, _ in os.walk(root):
        os.chmod(folder, 0o700)  # noqa: PTH101  there may be many
    shutil.rmtree(root, ignore_errors=True)


def _copy_data(reading: int, writing: int, *, size_bytes: int) -> None:
    """Copy what is no hole."""
    os.ftruncate(writing, size_bytes)
    offset = 0
    while offset < size_bytes:
        try:
            offset = os.lseek(reading, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # a hole up to the end
        end = os.lseek(reading, offset, os.SEEK_HOLE)
        _copy_range(reading, writing, offset=offset, length=end - offset)
        offset = end


def _copy_range(reading: int, writing: int, *, offset: int, length: int) -> None:
    end = offset + length
    while offset < end:
        try:
            count = os.copy_file_range(reading, writing, min(_AT_ONCE_BYTES, end - offset), offset, offset)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            _copy_reading(reading, writing, offset=offset, end=end)
            return
        if not count:
            _copy_reading(reading, writing, offset=offset, end=end)
            return
        offset += count


def _copy_reading(reading: int, writing: int, *, offset: int, end: int) -> None:
    os.lseek(writing, offset, os.SEEK_SET)
    while offset < end and (data := os.pread(reading, min(_CHUNK_BYTES, end - offset), offset)):
        write_all(writing, data)
        offset += len(data)
