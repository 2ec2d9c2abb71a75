"""Messages that wait to be sent: first in, first out; some in memory, the rest in a file."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MEMORY_BYTES = 8 << 20
FILE_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Message:
    """One request to the server about a run.

    Attributes:
        method: `POST` or `PUT`.
        path: relative to the API.
        body: JSON values.
        file: its octets are stored as a blob first, whose digest and size go into the body.
        files: name to file: the same for several, which go into the body as `files`, each with its name as `path`.
        key: the `Idempotency-Key` of what makes something; without one, the same request sent twice does no harm.
    """

    method: str
    path: str
    body: dict[str, Any]
    file: str | None = None
    files: dict[str, str] | None = None
    key: str | None = None


class Backlog:
    """A queue that neither blocks nor grows without bounds in memory. Safe between threads.

    Args:
        path: the file for what memory does not hold; made when needed, with its folder.
        memory_bytes: most memory for messages.
        file_bytes: most disk; what goes beyond is dropped.
    """

    def __init__(self, path: Path, *, memory_bytes: int = MEMORY_BYTES, file_bytes: int = FILE_BYTES) -> None:
        self.dropped = 0
        self._path = path
        self._memory_bytes = memory_bytes
        self._file_bytes = file_bytes
        self._lock = threading.Lock()
        self._memory: deque[bytes] = deque()
        self._used_bytes = 0
        self._read_at = 0
        self._written_at = 0

    def __bool__(self) -> bool:
        return bool(self._memory) or self._read_at < self._written_at

    def put(self, message: Message) -> None:
        """Append a message; count it as dropped where there is no room left, or no disk."""
        line = _line(message)
        with self._lock:
            on_disk = self._read_at < self._written_at
            if not on_disk and (self._used_bytes + len(line) <= self._memory_bytes or not self._memory):
                self._memory.append(line)
                self._used_bytes += len(line)
            elif self._written_at + len(line) > self._file_bytes:
                self.dropped += 1
            else:
                self._spill(line)

    def head(self) -> Message | None:
        """Return the oldest message, which stays, or None."""
        with self._lock:
            if not self._memory:
                self._refill()
            return Message(**json.loads(self._memory[0])) if self._memory else None

    def remove_head(self) -> None:
        """Take the oldest message away: it is done with."""
        with self._lock:
            self._used_bytes -= len(self._memory.popleft())

    def set_aside(self, message: Message) -> None:
        """Keep a message that will not be sent in a file of its own; count it as dropped where there is no disk."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._path.with_name(f"{self._path.name}-set-aside").open("ab") as file:
                file.write(_line(message))
        except OSError:
            self.dropped += 1

    def clear(self) -> None:
        """Take everything away."""
        with self._lock:
            self._memory.clear()
            self._used_bytes = self._read_at = self._written_at = 0
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    def save(self) -> None:
        """Write what waits in memory to the file, too, in order, so that nothing is lost with this process."""
        with self._lock:
            rest = b""
            if self._read_at < self._written_at:
                with self._path.open("rb") as file:
                    file.seek(self._read_at)
                    rest = file.read()
            if self._memory or rest:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                draft = self._path.with_suffix(".draft")
                draft.write_bytes(b"".join(self._memory) + rest)
                draft.replace(self._path)

    def _spill(self, line: bytes) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._path.open("r+b" if self._written_at else "wb") as file:
                file.seek(self._written_at)
                file.write(line)
        except OSError:
            self.dropped += 1
        else:
            self._written_at += len(line)

    def _refill(self) -> None:
        if self._read_at == self._written_at:
            return
        with self._path.open("rb") as file:
            file.seek(self._read_at)
            while self._read_at < self._written_at and (self._used_bytes < self._memory_bytes or not self._memory):
                line = file.readline()
                self._memory.append(line)
                self._used_bytes += len(line)
                self._read_at += len(line)
        if self._read_at == self._written_at:
            self._read_at = self._written_at = 0


def _line(message: Message) -> bytes:
    return json.dumps(asdict(message), separators=(",", ":")).encode() + b"\n"
