"""Writes of an attempt that the server has still to get, in order, on disk.

One file of entries (4 octets of length, big-endian, then JSON) and one with the offset of the first that was not yet
delivered. A supervisor that takes over goes on from that offset; what is delivered twice counts once, because batches
of series are numbered by their sender and the newest of a report stands.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

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


class Spool:
    """The queue of one attempt; safe between threads.

    Args:
        directory: made where it is absent. One process at a time may use it.
        limit_bytes: how much may wait on the disk.
    """

    def __init__(self, directory: Path, *, limit_bytes: int = 1 << 30) -> None:
        directory.mkdir(exist_ok=True)
        self._entries = directory / "entries"
        self._delivered = directory / "delivered"
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._offset = int(self._delivered.read_text()) if self._delivered.exists() else 0
        self._end = self._whole_entries()

    @property
    def empty(self) -> bool:
        """Whether everything was delivered."""
        with self._lock:
            return self._offset >= self._end

    def append(self, write: Write) -> None:
        """Store a write behind those that wait.

        Raises:
            NoSpace: the disk is full, or the limit is reached.
        """
        entry = json.dumps(
            {
                "method": write.method,
                "path": write.path,
                "headers": write.headers,
                "body": base64.b85encode(write.body).decode("ascii"),
            }
        ).encode()
        with self._lock:
            if self._end - self._offset + len(entry) > self._limit_bytes:
                raise NoSpace(
                    f"More than {self._limit_bytes >> 20} MiB of metrics wait for a server that does not answer.",
                    hint="See why the agent cannot reach the server.",
                )
            descriptor = os.open(self._entries, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                try:
                    file.seek(self._end)
                    _write_all(file.fileno(), _LENGTH.pack(len(entry)) + entry)
                except OSError as error:
                    file.truncate(self._end)
                    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                        raise
                    raise NoSpace(f"The disk of {self._entries} is full.", hint="Make room on it.") from None
            self._end += _LENGTH.size + len(entry)

    def first(self) -> Write | None:
        """Return the oldest write that waits, None where none does."""
        with self._lock:
            if self._offset >= self._end:
                return None
            with self._entries.open("rb") as file:
                file.seek(self._offset)
                (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
                entry = json.loads(file.read(length))
        return Write(
            method=entry["method"],
            path=entry["path"],
            headers=entry["headers"],
            body=base64.b85decode(entry["body"]),
        )

    def delivered(self) -> None:
        """Pass over the oldest write: the server has it, or will never take it."""
        with self._lock:
            with self._entries.open("rb") as file:
                file.seek(self._offset)
                (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            self._offset += _LENGTH.size + length
            if self._offset >= self._end:
                # The offset goes first: cut off between the two, the entries are delivered again, and count once.
                self._delivered.unlink(missing_ok=True)
                self._entries.unlink()
                self._offset = self._end = 0
            else:
                temporary = self._delivered.with_suffix(".new")
                temporary.write_text(str(self._offset))
                temporary.replace(self._delivered)

    def _whole_entries(self) -> int:
        """Return where the last whole entry ends: a write may have been cut off."""
        try:
            size = self._entries.stat().st_size
        except FileNotFoundError:
            self._offset = 0
            return 0
        end = 0
        with self._entries.open("rb") as file:
            while end + _LENGTH.size <= size:
                file.seek(end)
                (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
                if end + _LENGTH.size + length > size:
                    break
                end += _LENGTH.size + length
        return end


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
