"""How far a transfer has come."""

from __future__ import annotations

import threading
from collections.abc import Callable

Progress = Callable[[int, int, int], object]
"""Is called with the bytes done, those in all (0 while that is not known) and the files done."""


class Meter:
    """Counts bytes and files for whoever shows progress. Safe between threads.

    Args:
        progress: called with the bytes done, those in all (0 while that is not known) and the files done.
        total_bytes: those in all.
    """

    def __init__(self, progress: Progress | None, *, total_bytes: int = 0) -> None:
        self._progress = progress
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._done_files = 0
        self._lock = threading.Lock()

    def add(self, part: bytes) -> None:
        """Count the bytes of a part."""
        self.count(len(part))

    def count(self, size_bytes: int, *, files: int = 0) -> None:
        """Count bytes, and files that are done with them."""
        if self._progress is not None:
            with self._lock:
                self._done_bytes += size_bytes
                self._done_files += files
                self._progress(self._done_bytes, self._total_bytes, self._done_files)

    def expect(self, total_bytes: int) -> None:
        """Say how many bytes there are in all, now that it is known."""
        self._total_bytes = total_bytes
        self.count(0)
