"""Time and memory of one step, taken in the process that does it. Imports little, so that the step pays for its own."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = "bench"
"""Where the versions are that are made here."""


class Timed:
    """Seconds of a block, and those until all that it wrote was on the disk."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._processor_begun = time.process_time()
        self._begun = self._lap = time.perf_counter()
        self.seconds = self.settled = 0.0
        self.client_bytes = 0
        self.details: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Keep the seconds since the last one, or since the beginning."""
        now = time.perf_counter()
        self.details[f"{name} s"] = now - self._lap
        self._lap = now

    def end(self) -> None:
        """The block has ended."""
        self.seconds = time.perf_counter() - self._begun
        self.details["processor s"] = time.process_time() - self._processor_begun
        self.client_bytes = peak_bytes()
        self.settled = self.seconds + sync_seconds(self._folder)

    def answer(self) -> dict[str, Any]:
        """Return what the parent wants to know."""
        return {
            "seconds": self.seconds,
            "settled": self.settled,
            "client_bytes": self.client_bytes,
            "details": self.details,
        }


@contextlib.contextmanager
def timed(folder: str) -> Iterator[Timed]:
    """Time a block; `folder` names the file system that it writes to."""
    clock = Timed(folder)
    yield clock
    clock.end()


def peak_bytes(pid: int | Literal["self"] = "self") -> int:
    """Return the most memory that a process had resident, as the kernel counts it; 0 of one that has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def sync_seconds(folder: Path) -> float:
    """Wait until the file system of a folder has written everything; return the seconds that took."""
    begun = time.perf_counter()
    subprocess.run(["sync", "-f", str(folder)], check=True)
    return time.perf_counter() - begun
