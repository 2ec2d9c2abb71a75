"""What `bench/datasets.py` measured, as tables, and whether the goals are met."""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1 << 20
GOAL_MEMORY_MIB = 300
_BEGUN = time.monotonic()


class Run(NamedTuple):
    """One run of one step.

    Attributes:
        seconds: until the step returned.
        settled: until all that it wrote was on the disk.
        client_bytes: most memory that the process itself had resident.
        server_bytes: most memory that the server's processes had resident meanwhile; 0 where there is no server.
        details: further figures by name.
    """

    seconds: float
    settled: float
    client_bytes: int
    server_bytes: int
    details: dict[str, float]


class Verdict(NamedTuple):
    """A goal, what was measured, and whether that is good enough."""

    what: str
    measured: str
    goal: str
    met: bool


class Figures:
    """Runs by step and contestant, in the order in which they came.

    Args:
        title: says under which conditions.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.runs: dict[tuple[str, str], list[Run]] = {}

    def add(self, step: str, who: str, run: Run) -> None:
        """Keep a run."""
        self.runs.setdefault((step, who), []).append(run)

    def has(self, step: str, who: str) -> bool:
        """Tell whether there are runs of this."""
        return (step, who) in self.runs

    def median(self, step: str, who: str, *, settled: bool = False) -> float:
        """Return the median seconds of a contestant."""
        return statistics.median(run.settled if settled else run.seconds for run in self.runs[step, who])

    def detail(self, step: str, who: str, name: str) -> float:
        """Return the median of a further figure."""
        return statistics.median(run.details[name] for run in self.runs[step, who])

    def show(self) -> None:
        """Print all of it."""
        print(f"\n{self.title}")
        rows = [("step", "who", "median s", "best s", "to disk s", "client MiB", "server MiB", "details (medians)")]
        for (step, who), runs in self.runs.items():
            details = ", ".join(f"{name} {self.detail(step, who, name):,.3g}" for name in runs[0].details)
            server = max(run.server_bytes for run in runs)
            rows.append(
                (
                    step,
                    who,
                    f"{self.median(step, who):.3f}",
                    f"{min(run.seconds for run in runs):.3f}",
                    f"{self.median(step, who, settled=True):.3f}",
                    f"{max(run.client_bytes for run in runs) / MIB:.0f}",
                    f"{server / MIB:.0f}" if server else "",
                    details,
                )
            )
        print_rows(rows)

    def memory_verdicts(self, who: str = "retrain") -> list[Verdict]:
        """Return whether memory stayed below the goal in every run of a contestant, client and server."""
        verdicts = []
        for (step, name), runs in self.runs.items():
            if not name.startswith(who):
                continue
            most = [max(run.client_bytes for run in runs) / MIB, max(run.server_bytes for run in runs) / MIB]
            verdicts.append(
                Verdict(
                    f"memory, {step} ({name}; {self.title})",
                    f"client {most[0]:.0f} MiB, server {most[1]:.0f} MiB",
                    f"each below {GOAL_MEMORY_MIB} MiB",
                    max(most) < GOAL_MEMORY_MIB,
                )
            )
        return verdicts


def show_verdicts(verdicts: list[Verdict]) -> None:
    """Print goals, measured figures and verdicts.

    Raises:
        SystemExit: a goal was missed.
    """
    print()
    rows = [("what", "measured", "goal", "verdict")]
    print_rows(rows + [(each.what, each.measured, each.goal, "met" if each.met else "MISSED") for each in verdicts])
    missed = sum(not each.met for each in verdicts)
    if missed:
        raise SystemExit(f"{missed} of {len(verdicts)} goals were missed")


def print_rows(rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table, the first row being its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def say(text: str) -> None:
    """Tell on stderr how far the program has come."""
    print(f"[{time.monotonic() - _BEGUN:7.1f} s] {text}", file=sys.stderr, flush=True)


class Pace:
    """Says on stderr, once a second, how many bytes and files are done and how many a second that is.

    Args:
        what: is being done.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._begun = self._said = time.monotonic()

    def __call__(self, done_bytes: int, total_bytes: int, done_files: int) -> None:
        """Take what is done, as the `progress=` of `Dataset`."""
        now = time.monotonic()
        if now - self._said < 1:
            return
        self._said = now
        seconds = now - self._begun
        of = f" of {total_bytes / MIB:,.0f}" if total_bytes else ""
        say(
            f"{self._what}: {done_bytes / MIB:,.0f}{of} MiB, {done_files:,} files; "
            f"{done_bytes / MIB / seconds:,.0f} MiB/s, {done_files / seconds:,.0f} files/s"
        )
