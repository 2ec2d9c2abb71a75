"""What was hashed before: files that did not change since are not read again, whichever dataset or version wants them.

One flat file a folder, in the order of a walk, that is merged with the walk in constant memory. It is a cache: a file
that cannot be read is as good as none, and of two processes that write it at once the later one wins.

A file counts as the one that was hashed where device, inode, size and both times are the same. Whoever puts an old
modification time back cannot put back the time of the change of the inode (ctime). A file that changed in the last two
seconds before it was read is not remembered: it could be written to once more within the same tick of the file system's
clock and look the same ("racy git": Documentation/technical/racy-git.txt in the sources of git).
"""

from __future__ import annotations

import array
import contextlib
import hashlib
import heapq
import os
import struct
import sys
from typing import IO, TYPE_CHECKING, NamedTuple

from orchestrator.records.manifest import DIGEST_BYTES, order
from orchestrator.sdk.notices import say
from orchestrator.sdk.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from orchestrator.sdk.scan import Found

_MAGIC = b"rtx1"
_HEAD = struct.Struct("<4sIIQ")
"""Magic, number of files, length of the names, checksum of the rest of the chunk."""
_CHUNK_FILES = 2048
_LONGEST_NAME = 4097
"""With what separates it from the next; Linux opens no path of more than 4095 bytes."""
_TRUSTED_AFTER_NS = 2_000_000_000
_COLUMNS = "QQQqq"
_STALE_SHARE = 4
"""It is written anew when one in so many files of it is gone."""


class Remembered(NamedTuple):
    """A file and what its bytes hashed to.

    Attributes:
        relative: below the folder, parts joined by `/`.
        device, inode, size_bytes, modified_ns, changed_ns: what it was.
        digest: BLAKE3, 32 bytes.
    """

    relative: str
    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int
    digest: bytes


def identity(status: os.stat_result) -> tuple[int, int, int, int, int]:
    """Return what changes when a file does: device, inode, size, times of modification and of change."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def is_settled(status: os.stat_result, *, read_at_ns: int) -> bool:
    """Tell whether a file had been left alone for long enough when it was read.

    Args:
        status: of the file.
        read_at_ns: when reading it began, nanoseconds since the epoch.
    """
    return max(status.st_mtime_ns, status.st_ctime_ns) < read_at_ns - _TRUSTED_AFTER_NS


class FileIndex:
    """What is remembered of a folder.

    Args:
        directory: where indexes are kept.
        root: the folder.
    """

    def __init__(self, directory: Path, *, root: str) -> None:
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
        self._file = directory / f"{name}.index"
        self._seen = bytearray()
        self._learned = Spool(), Spool()
        self._open: tuple[list[Remembered], list[Remembered]] = [], []

    def matched(self, files: Iterable[Found]) -> Iterator[tuple[Found, bytes | None]]:
        """Yield files, each with its digest where it is remembered and the file is still the same.

        Args:
            files: in the order of a walk.
        """
        records = self._records()
        seen = self._seen
        record = next(records, None)
        for found in files:
            relative = found.relative
            if record is not None and record[0] != relative:
                key = order(relative)
                while record is not None and order(record[0]) < key:
                    seen.append(0)
                    record = next(records, None)
            if record is None or record[0] != relative:
                yield found, None
                continue
            status = found.status
            if (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) == record[1:6]:
                seen.append(1)
                digest = record[6]
                record = next(records, None)
                yield found, digest
            else:
                seen.append(0)
                record = next(records, None)
                yield found, None

    def learn(self, relative: str, status: os.stat_result, digest: bytes, *, stream: int = 0) -> None:
        """Remember a file.

        Args:
            relative: below the folder.
            status: of the file that was read, which was settled then.
            digest: of its bytes.
            stream: 0 or 1; in each, files come in the order of the walk.
        """
        learned = self._open[stream]
        learned.append(Remembered(relative, *identity(status), digest))
        if len(learned) == _CHUNK_FILES:
            self._learned[stream].add(_encode(learned))
            learned.clear()

    def save(self, *, whole: bool) -> None:
        """Write the index where that is worth it. That it cannot be written is said, and harms nothing.

        Args:
            whole: whether all of the folder was walked through, so that what was not met is gone.
        """
        for learned, spool in zip(self._open, self._learned, strict=True):
            if learned:
                spool.add(_encode(learned))
                learned.clear()
        stale = self._seen.count(0) if whole else 0
        if not any(map(len, self._learned)) and stale * _STALE_SHARE <= len(self._seen):
            return
        draft = self._file.with_suffix(f".{os.getpid()}.{os.urandom(4).hex()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as target:
                for chunk in _chunked(self._merged(whole=whole)):
                    target.write(_encode(chunk))
            draft.replace(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            say(f"what was hashed cannot be remembered in {self._file.parent}: {error.strerror}; go on without")

    def _merged(self, *, whole: bool) -> Iterator[Remembered]:
        """Yield what is to be remembered: what was learned, and what was there and is not gone."""
        seen = self._seen
        old = (
            record for place, record in enumerate(self._records()) if not whole or (place < len(seen) and seen[place])
        )
        new = ((record for chunk in spool.chunks() for record in _decode(chunk)) for spool in self._learned)
        last = None
        for record in heapq.merge(*new, old, key=_key):  # of two with one name the one that was learned comes first
            if record[0] != last:
                last = record[0]
                yield Remembered._make(record)

    def _records(self) -> Iterator[tuple[str, int, int, int, int, int, bytes]]:
        try:
            source = self._file.open("rb")
        except OSError:
            return
        with source:
            while chunk := _read_chunk(source):
                yield from _decode(chunk)


def _key(record: tuple[str, int, int, int, int, int, bytes]) -> str:
    return order(record[0])


def _read_chunk(source: IO[bytes]) -> bytes:
    """Return the next chunk; nothing where there is none, or where it is damaged."""
    try:
        head = source.read(_HEAD.size)
        magic, count, length, checksum = _HEAD.unpack(head)
        if magic != _MAGIC or count > _CHUNK_FILES or length > count * _LONGEST_NAME:
            return b""
        body = source.read(length + count * (8 * len(_COLUMNS) + DIGEST_BYTES))
    except (struct.error, OSError):
        return b""
    return head + body if checksum == _checksum(body) else b""


def _checksum(body: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(body, digest_size=8).digest(), "little")


def _chunked(records: Iterator[Remembered]) -> Iterator[list[Remembered]]:
    chunk = []
    for record in records:
        chunk.append(record)
        if len(chunk) == _CHUNK_FILES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _encode(records: list[Remembered]) -> bytes:
    names, *columns, digests = zip(*records, strict=True)
    joined = "\0".join(names).encode()
    body = bytearray(joined)
    for code, column in zip(_COLUMNS, columns, strict=True):
        numbers = array.array(code, column)
        if sys.byteorder == "big":
            numbers.byteswap()
        body += numbers.tobytes()
    body += b"".join(digests)
    return _HEAD.pack(_MAGIC, len(records), len(joined), _checksum(bytes(body))) + body


def _decode(chunk: bytes) -> Iterator[tuple[str, int, int, int, int, int, bytes]]:
    _, count, length, _ = _HEAD.unpack_from(chunk)
    place = _HEAD.size + length
    names = chunk[_HEAD.size : place].decode().split("\0")
    columns = []
    for code in _COLUMNS:
        numbers = array.array(code, chunk[place : place + 8 * count])
        if sys.byteorder == "big":
            numbers.byteswap()
        columns.append(numbers)
        place += 8 * count
    digests = [chunk[start : start + DIGEST_BYTES] for start in range(place, len(chunk), DIGEST_BYTES)]
    return zip(names, *columns, digests, strict=True)
