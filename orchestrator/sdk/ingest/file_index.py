"""What was hashed before: files that did not change since are not read again, whichever dataset or version wants them.

One flat file a folder, in the order of a walk, that is merged with the walk in constant memory. What was learned since
stands beside it in a small one, so that a folder of which a few files change is not written down anew each time. It is
a cache: a file that cannot be read is as good as none, and of two processes that write it at once the later one wins.

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
from itertools import islice
from typing import IO, TYPE_CHECKING

from orchestrator.records.manifest import DIGEST_BYTES, order
from orchestrator.sdk.ingest.spool import Spool
from orchestrator.sdk.notices import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from orchestrator.sdk.ingest.scan import Found

    _Record = tuple[str, int, int, int, int, int, bytes]
    """Path below the folder, device, inode, size, times of modification and of change, digest: there are millions."""

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
_RECENT_SHARE = 16
"""Likewise when what was learned since is more than one in so many files of it."""
_MOST_RECENT = 4096


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
        self._recent_file = directory / f"{name}.recent"
        self._recent: dict[str, _Record] = {}
        self._recent_met: set[str] = set()
        self._learned_count = 0
        self._seen = bytearray()
        self._learned = Spool(), Spool()
        self._open: tuple[list[_Record], list[_Record]] = [], []

    def matched(self, files: Iterable[Found]) -> Iterator[tuple[Found, bytes | None]]:
        """Yield files, each with its digest where it is remembered and the file is still the same.

        Args:
            files: in the order of a walk.
        """
        records = _read(self._file)
        self._recent = {record[0]: record for record in islice(_read(self._recent_file), _MOST_RECENT)}
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
                yield found, self._matched_recently(found)
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
                yield found, self._matched_recently(found)

    def _matched_recently(self, found: Found) -> bytes | None:
        record = self._recent.get(found.relative)
        if record is None or identity(found.status) != record[1:6]:
            return None
        self._recent_met.add(found.relative)
        return record[6]

    def learn(self, relative: str, status: os.stat_result, digest: bytes, *, stream: int = 0) -> None:
        """Remember a file.

        Args:
            relative: below the folder.
            status: of the file that was read, which was settled then.
            digest: of its bytes.
            stream: 0 or 1; in each, files come in the order of the walk.
        """
        self._learned_count += 1
        learned = self._open[stream]
        learned.append((relative, *identity(status), digest))
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
        kept = [
            record for record in self._recent.values() if not whole or record[0] in self._recent_met
        ]  # of those that were learned anew, too: the newer comes first below
        gone = self._seen.count(0) if whole else 0
        stale = max(0, gone - len(kept) - self._learned_count)
        if not self._learned_count and stale * _STALE_SHARE <= len(self._seen):
            return
        new = [(record for chunk in spool.chunks() for record in _decode(chunk)) for spool in self._learned]
        recent = heapq.merge(*new, sorted(kept, key=_key), key=_key)  # of two with one name the first is the newest
        few = len(kept) + self._learned_count <= min(_MOST_RECENT, len(self._seen) // _RECENT_SHARE)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if few and stale * _STALE_SHARE <= len(self._seen):
                _write(self._recent_file, _first_of_each(recent))
            else:
                _write(self._file, _first_of_each(heapq.merge(recent, self._old(whole=whole), key=_key)))
                self._recent_file.unlink(missing_ok=True)
        except OSError as error:
            say(f"what was hashed cannot be remembered in {self._file.parent}: {error.strerror}; go on without")

    def _old(self, *, whole: bool) -> Iterator[_Record]:
        """Yield what stands in the file and is not gone."""
        seen = self._seen
        for place, record in enumerate(_read(self._file)):
            if not whole or (place < len(seen) and seen[place]):
                yield record


def _first_of_each(records: Iterable[_Record]) -> Iterator[_Record]:
    last = None
    for record in records:
        if record[0] != last:
            last = record[0]
            yield record


def _write(file: Path, records: Iterator[_Record]) -> None:
    """Write a file, whole or not at all."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with draft.open("wb") as target:
            for chunk in _chunked(records):
                target.write(_encode(chunk))
        draft.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def _read(file: Path) -> Iterator[_Record]:
    try:
        source = file.open("rb")
    except OSError:
        return
    with source:
        while chunk := _read_chunk(source):
            yield from _decode(chunk)


def _key(record: _Record) -> str:
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


def _chunked(records: Iterator[_Record]) -> Iterator[list[_Record]]:
    chunk: list[_Record] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == _CHUNK_FILES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _encode(records: list[_Record]) -> bytes:
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


def _decode(chunk: bytes) -> Iterator[_Record]:
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
