"""Writes of an attempt that the server has still to get, in order, on disk.

Numbered files of entries (4 octets of length, big-endian, then JSON), and one that says which file and which offset in
it comes next. A file goes when all of it was delivered, so that the disk holds what waits and one file more. A
supervisor that takes over goes on from there; what is delivered twice counts once, because batches of series are
numbered by their sender and the newest of a report stands.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from orchestrator.errors import NoSpace

if TYPE_CHECKING:
    from pathlib import Path

_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, kw_only=True)
class Write:
    """One request whose answer the script does not wait for."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def encoded(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(
            {
                "method": self.method,
                "path": self.path,
                "headers": self.headers,
                "body": base64.b85encode(self.body).decode("ascii"),
            }
        ).encode()

    @classmethod
    def decoded(cls, entry: bytes) -> Self:
        """Read what `encoded` made."""
        fields = json.loads(entry)
        return cls(
            method=fields["method"],
            path=fields["path"],
            headers=fields["headers"],
            body=base64.b85decode(fields["body"]),
        )


class Spool:
    """The queue of one attempt; safe between threads.

    Args:
        directory: made where it is absent. One process at a time may use it.
        limit_bytes: how much may wait on the disk.
        file_bytes: a file that has grown so large is followed by a new one.
    """

    def __init__(self, directory: Path, *, limit_bytes: int = 1 << 30, file_bytes: int = 16 << 20) -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self._delivered = directory / "delivered"
        self._limit_bytes = limit_bytes
        self._file_bytes = file_bytes
        self._lock = threading.Lock()
        self._first, self._offset = 0, 0
        if self._delivered.exists():
            self._first, self._offset = map(int, self._delivered.read_text().split())
        self._ends = self._whole_entries()
        """Where the last whole entry of each file ends, by its number."""

    @property
    def empty(self) -> bool:
        """Whether everything was delivered."""
        with self._lock:
            return not self._waiting_bytes()

    def append(self, write: Write) -> None:
        """Store a write behind those that wait.

        Raises:
            NoSpace: the disk is full, or the limit is reached.
        """
        entry = write.encoded()
        with self._lock:
            if self._waiting_bytes() + len(entry) > self._limit_bytes:
                raise NoSpace(
                    f"More than {self._limit_bytes >> 20} MiB of metrics wait for a server that does not answer.",
                    hint="See why the agent cannot reach the server.",
                )
            last = max(self._ends, default=self._first)
            if self._ends.get(last, 0) >= self._file_bytes:
                last += 1
            end = self._ends.get(last, 0)
            path = self._entries(last)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                try:
                    file.seek(end)
                    _write_all(file.fileno(), _LENGTH.pack(len(entry)) + entry)
                except OSError as error:
                    file.truncate(end)
                    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                        raise
                    raise NoSpace(f"The disk of {path} is full.", hint="Make room on it.") from None
            self._ends[last] = end + _LENGTH.size + len(entry)

    def first(self) -> Write | None:
        """Return the oldest write that waits, None where none does."""
        with self._lock:
            if not self._waiting_bytes():
                return None
            with self._entries(self._first).open("rb") as file:
                file.seek(self._offset)
                (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
                return Write.decoded(file.read(length))

    def delivered(self) -> None:
        """Pass over the oldest write: the server has it, or will never take it."""
        with self._lock:
            with self._entries(self._first).open("rb") as file:
                file.seek(self._offset)
                (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            self._offset += _LENGTH.size + length
            if self._offset < self._ends[self._first]:
                self._save_place()
                return
            done = self._first
            del self._ends[done]
            self._first, self._offset = (done + 1, 0) if self._ends else (0, 0)
            # The place goes first: cut off between the two, entries are passed over, or delivered again and count once.
            if self._ends:
                self._save_place()
            else:
                self._delivered.unlink(missing_ok=True)
            self._entries(done).unlink()

    def _entries(self, number: int) -> Path:
        return self._directory / f"entries-{number}"

    def _waiting_bytes(self) -> int:
        return sum(self._ends.values()) - self._offset

    def _save_place(self) -> None:
        temporary = self._delivered.with_suffix(".new")
        temporary.write_text(f"{self._first} {self._offset}")
        temporary.replace(self._delivered)

    def _whole_entries(self) -> dict[int, int]:
        """Return where the last whole entry of each file ends: a write may have been cut off."""
        numbers = sorted(int(path.name.partition("-")[2]) for path in self._directory.glob("entries-*"))
        for number in numbers:
            if number < self._first:  # the file of a place that was saved, but no more
                self._entries(number).unlink()
        ends = {number: _cut_to_whole(self._entries(number)) for number in numbers if number >= self._first}
        if min(ends, default=-1) != self._first:
            self._first, self._offset = min(ends, default=0), 0
        return ends


def _cut_to_whole(path: Path) -> int:
    """Cut an entry that is not whole off the end of a file, and return what is left, in bytes."""
    size = path.stat().st_size
    end = 0
    with path.open("r+b") as file:
        while end + _LENGTH.size <= size:
            file.seek(end)
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            if end + _LENGTH.size + length > size:
                break
            end += _LENGTH.size + length
        file.truncate(end)
    return end


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
