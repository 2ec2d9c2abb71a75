"""The processes of a run, found in /proc. The standard library alone: the shim uses it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PROC = Path("/proc")
_KILL_SECONDS = 10.0
_DEAD = "ZX"


def boot_id() -> str:
    """Return what tells this start of the machine from all others: process ids mean nothing across it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None where it is dead, also as a zombie.

    With the boot's id, process id and start time name a process for ever.
    """
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def descendants(pid: int) -> set[int]:
    """Return the living processes below this one."""
    children: dict[int, list[int]] = {}
    for other in _pids():
        fields = _stat(other)
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(other)
    found: set[int] = set()
    front = [pid]
    while front:
        below = [child for parent in front for child in children.get(parent, []) if child not in found]
        found.update(below)
        front = below
    return found


def marked(variable: str, value: str) -> set[int]:
    """Return the living processes that were started with this environment variable."""
    wanted = os.fsencode(f"{variable}={value}")
    found = set()
    for pid in _pids():
        try:
            environment = (_PROC / str(pid) / "environ").read_bytes()
        except OSError:  # ended meanwhile, or another user's
            continue
        if wanted in environment.split(b"\0") and start_time(pid) is not None:
            found.add(pid)
    return found


def kill_until_none(find: Callable[[], set[int]], *, timeout_seconds: float = _KILL_SECONDS) -> tuple[int, ...]:
    """Kill what is found until nothing is: faster than it forks.

    Args:
        find: returns the living processes that shall die.
        timeout_seconds: how long to try.

    Returns:
        Those that were still alive at the end, sorted: stuck in the kernel, or not ours to kill.
    """
    deadline = time.monotonic() + timeout_seconds
    pause = 0.0
    while left := find():
        for pid in left:
            _kill(pid)
        if time.monotonic() > deadline:
            return tuple(sorted(left))
        time.sleep(pause)
        pause = min(0.05, pause * 2 or 0.0005)
    return ()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # the next look finds out whether it is gone


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir(_PROC) if name.isdigit())  # noqa: PTH208  ten times as fast


def _stat(pid: int) -> list[str] | None:
    """Return the fields of proc_pid_stat(5) from the third on, or None for what is dead."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in _DEAD else fields
