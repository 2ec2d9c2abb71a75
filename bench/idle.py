"""Memory and processor time of an idle `retrain up`, all processes together.

    python bench/idle.py [--seconds 30]

Proportional set size (a page shared by n processes counts 1/n for each) and resident set size are read from the
kernel's `/proc/PID/smaps_rollup`; processor time from `/proc/PID/stat`, both over the whole process tree.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import psutil

from orchestrator.cli.stack import Stack

MIB = 1024 * 1024
GOAL_MIB, GOAL_PERCENT = 300, 2.0


def set_sizes(process: psutil.Process) -> tuple[int, int]:
    """Return proportional and resident set size in bytes."""
    rows = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:])
    return tuple(int(rows[name].split()[0]) * 1024 for name in ("Pss", "Rss"))  # type: ignore[return-value]


def processor_seconds(processes: list[psutil.Process]) -> float:
    """Return the processor time of all of them, user and system."""
    times = [process.cpu_times() for process in processes]
    return float(sum(one.user + one.system for one in times))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to look at an idle stack")
    seconds = parser.parse_args().seconds
    with (
        tempfile.TemporaryDirectory(prefix="retrain-idle-") as home,
        Stack(Path(home), port=0, image=None).running(say=lambda _: None),
    ):
        time.sleep(5)
        children = psutil.Process().children(recursive=True)
        before, begun = processor_seconds(children), time.monotonic()
        time.sleep(seconds)
        spent = (processor_seconds(children) - before) / (time.monotonic() - begun) * 100
        total_pss = total_rss = 0
        for child in children:
            proportional, resident = set_sizes(child)
            total_pss, total_rss = total_pss + proportional, total_rss + resident
            command = " ".join(child.cmdline()[1:5])
            print(f"{proportional / MIB:8.1f} MiB PSS {resident / MIB:8.1f} MiB RSS   {command[:80]}")
        print(f"{total_pss / MIB:8.1f} MiB PSS {total_rss / MIB:8.1f} MiB RSS   together; goal {GOAL_MIB} MiB PSS")
        print(f"{spent:8.2f} % of a core over {seconds:.0f} s; goal {GOAL_PERCENT} %")
        if total_pss > GOAL_MIB * MIB or spent > GOAL_PERCENT:
            raise SystemExit("a goal was missed")


if __name__ == "__main__":
    main()
