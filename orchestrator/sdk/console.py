"""What a run by hand prints: copied into a file as it is printed, and sent from there."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from orchestrator.sdk.notices import say

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT_BYTES = 1 << 30
"""Of the copy on this machine's disk; what is printed beyond is not recorded, and the console says so."""


class ConsoleCopy:
    """A file that grows with every write, and how much of it has been sent.

    Args:
        path: the file; made when something is printed.
        on_text: called after something was added.
    """

    def __init__(self, path: Path, *, on_text: Callable[[], None]) -> None:
        self._path = path
        self._on_text = on_text
        self._lock = threading.Lock()
        self._file: int | None = None
        self._full = False
        self._length = 0
        self._sent = 0

    @property
    def waiting_bytes(self) -> int:
        """How much is there that has not been sent."""
        return self._length - self._sent

    def add(self, text: str) -> None:
        """Append what was printed. Never raises: printing goes on when the disk is full."""
        data = text.encode("utf-8", errors="replace")
        problem = None
        with self._lock:
            if self._full:
                return
            if self._length + len(data) > LIMIT_BYTES:
                data, problem = b"", "the console is too long"
            try:
                if self._file is None:
                    self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                while data:
                    count = os.write(self._file, data)
                    self._length += count
                    data = data[count:]
            except OSError as error:
                problem = str(error)
            self._full = problem is not None
        if problem is not None:
            say(f"from here on the console is not recorded: {problem}")
        self._on_text()

    def next_part(self, limit_bytes: int) -> tuple[int, bytes]:
        """Return the first bytes that have not been sent and their offset."""
        with self._lock:
            count = min(limit_bytes, self.waiting_bytes)
            data = os.pread(self._file, count, self._sent) if self._file is not None and count else b""
            return self._sent, data

    def sent_until(self, offset: int) -> None:
        """Remember that the server has everything before this offset."""
        self._sent = max(self._sent, min(offset, self._length))

    def begin_in_child(self) -> None:
        """After a fork: append to the same file, which the parent sends; its lock may be held by nobody any more."""
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file; nothing is added any more."""
        with self._lock:
            self._full = True
            if self._file is not None:
                os.close(self._file)
                self._file = None


class Tee:
    """Copies what is printed to the standard streams, whoever holds them: a logging handler made earlier, too."""

    def __init__(self, copy: ConsoleCopy) -> None:
        self._copy = copy
        self._streams: list[Any] = []

    def install(self) -> None:
        """Begin to copy."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and stream not in self._streams and self._shadow(stream):
                self._streams.append(stream)

    def remove(self) -> None:
        """Give the streams their own `write` back."""
        for stream in self._streams:
            del stream.write
        self._streams.clear()

    def _shadow(self, stream: Any) -> bool:  # noqa: ANN401  any object with a write method can be sys.stdout
        write, add = stream.write, self._copy.add

        def write_twice(text: str) -> Any:  # noqa: ANN401  what the stream's own returns
            result = write(text)
            add(text)
            return result

        try:
            # On the object itself, so that isatty, fileno, buffer and encoding stay the stream's own.
            stream.write = write_twice
        except AttributeError:
            return False
        return True
