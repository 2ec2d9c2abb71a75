"""Control groups of runs: kill a whole tree at once, count and bound its memory. The standard library alone.

What a machine offers is probed: `cgroup.kill` (version 2, also beside version 1), else the freezer of version 1, else
nothing, and the process tree is walked instead. A memory limit needs a memory controller that may be delegated: version
1 as root, version 2 where the own group hands the controller down.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FREEZE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Group:
    """The control groups of one run: a directory for each purpose; None where the machine offers none."""

    kill_directory: str | None = None
    """Version 2: everything in it dies by one write."""
    freezer_directory: str | None = None
    """Version 1: stands still while each process in it is killed."""
    memory_directory: str | None = None
    """Counts what the kernel kills for memory; may be the same as `kill_directory`."""

    def enter(self) -> None:
        """Move the calling process in; children that it forks from now on are born there.

        Raises:
            OSError: the kernel refuses.
        """
        for directory in self._directories():
            with open(f"{directory}/cgroup.procs", "w", encoding="ascii") as members:  # noqa: PTH123  hot path
                members.write("0")

    def processes(self) -> set[int]:
        """Return the living processes in it."""
        found: set[int] = set()
        for directory in self._directories():
            with contextlib.suppress(OSError):  # the group is gone, so nothing lives in it
                found.update(int(line) for line in Path(directory, "cgroup.procs").read_text().split())
        return found

    def kill(self) -> None:
        """Kill everything in it, also what forks as fast as it can. Processes die a little later."""
        if self.kill_directory is not None:
            with contextlib.suppress(FileNotFoundError):
                Path(self.kill_directory, "cgroup.kill").write_text("1")
        elif self.freezer_directory is not None:
            with contextlib.suppress(FileNotFoundError):
                _freeze_and_kill(Path(self.freezer_directory))

    def out_of_memory_kills(self) -> int | None:
        """Return how many of its processes the kernel has killed for memory; None where nothing counts them."""
        if self.memory_directory is None:
            return None
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(FileNotFoundError):
                return _counter(Path(self.memory_directory, name), "oom_kill")
        return None

    def remove(self) -> None:
        """Remove it, which works once nothing lives in it; do nothing for what is gone or still populated."""
        for directory in self._directories():
            with contextlib.suppress(OSError):
                os.rmdir(directory)  # noqa: PTH106  hot path

    def _directories(self) -> list[str]:
        every = (self.kill_directory, self.freezer_directory, self.memory_directory)
        return list(dict.fromkeys(directory for directory in every if directory is not None))


def create(name: str, *, memory_bytes: int | None) -> Group:
    """Make the control groups for one run, as far as the machine allows.

    Args:
        name: unique on this machine; becomes a directory's name.
        memory_bytes: limit of all its processes together; None for none.

    Returns:
        The group, with `memory_directory` None where memory can be neither bounded nor counted.
    """
    roots = _probe()
    kill = _make(roots.kill, name)
    freezer = None if kill else _make(roots.freezer, name)
    memory = kill if kill and Path(kill, "memory.max").exists() else _make(roots.memory, name)
    if memory and memory_bytes is not None:
        _limit(Path(memory), memory_bytes)
    return Group(kill_directory=kill, freezer_directory=freezer, memory_directory=memory)


def machine_out_of_memory_kills() -> int:
    """Return how many processes the kernel has killed for memory since boot, anywhere on the machine."""
    return _counter(Path("/proc/vmstat"), "oom_kill")


@dataclass(frozen=True, slots=True)
class _Roots:
    kill: Path | None = None
    freezer: Path | None = None
    memory: Path | None = None


@cache
def _probe() -> _Roots:
    mounts = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            mounts[""] = Path(where)
        elif kind == "cgroup":
            mounts.update(dict.fromkeys(options.split(","), Path(where)))
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path.lstrip("/")))
    usable = {
        controller: mounts[controller] / own[controller]
        for controller in ("", "freezer", "memory")
        if controller in mounts and controller in own and _usable(mounts[controller] / own[controller])
    }
    kill = usable.get("")
    # The root group has no cgroup.kill of its own, its children do: only making one tells.
    if kill is not None and not _child_has(kill, "cgroup.kill"):
        kill = None
    return _Roots(kill=kill, freezer=usable.get("freezer"), memory=usable.get("memory"))


def _usable(directory: Path) -> bool:
    return os.access(directory, os.W_OK) and os.access(directory / "cgroup.procs", os.W_OK)


def _child_has(directory: Path, name: str) -> bool:
    child = _make(directory, f"retrain-probe-{os.getpid()}")
    if child is None:
        return False
    has = Path(child, name).exists()
    Path(child).rmdir()
    return has


def _make(root: Path | None, name: str) -> str | None:
    if root is None:
        return None
    try:
        (root / name).mkdir(exist_ok=True)
    except OSError:  # the kernel's limits on depth and number, or a mount that is read-only after all
        return None
    return str(root / name)


def _limit(memory: Path, limit_bytes: int) -> None:
    # Without a bound on swap the limit would only slow the script down; where swap is not counted there is none.
    for limit, swap, rest in (
        ("memory.max", "memory.swap.max", 0),
        ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", limit_bytes),
    ):
        if (memory / limit).exists():
            (memory / limit).write_text(str(limit_bytes))
            with contextlib.suppress(OSError):
                (memory / swap).write_text(str(rest))


def _freeze_and_kill(freezer: Path) -> None:
    (freezer / "freezer.state").write_text("FROZEN")
    deadline = time.monotonic() + _FREEZE_SECONDS
    while (freezer / "freezer.state").read_text().strip() != "FROZEN" and time.monotonic() < deadline:
        time.sleep(0.001)
    for pid in (freezer / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    (freezer / "freezer.state").write_text("THAWED")


def _counter(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
