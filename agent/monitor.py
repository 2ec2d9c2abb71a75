"""What a run uses of its machine, as two series of its task: CPU and memory over the seconds since its start.

The processes are found by the variable that every one of them has, so that it is the same with and without containers.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.execution.base import MARKER
from agent.execution.tree import marked
from agent.spool import Write
from orchestrator.errors import NoSpace
from orchestrator.sdk.client import API, PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

logger = logging.getLogger(__name__)

TITLE = "resources"
WRITER = "monitor"
_MEBIBYTE = 1 << 20


class Sample(NamedTuple):
    """What all processes of a run used."""

    cpu_percent: float
    """Since the last sample; 100 is one core. A process that began and ended in between is not in it."""
    memory_mib: float
    """Resident now; pages that processes share count in each."""


class Gauge:
    """Reads what a run uses.

    Args:
        run_directory: the run's.
        started_at: when its script was started, seconds since 1970 UTC; the first sample covers the time since then.
    """

    def __init__(self, run_directory: Path, *, started_at: float) -> None:
        self._run_directory = run_directory
        self._read_at = started_at
        self._used_seconds: dict[tuple[int, float], float] = {}

    def read(self) -> Sample | None:
        """Return what the run uses; None where no process of it can be seen."""
        import psutil  # noqa: PLC0415  most runs end before the first sample

        used, memory_bytes = {}, 0
        for pid in marked(MARKER, str(self._run_directory)):
            try:
                process = psutil.Process(pid)
                with process.oneshot():
                    times = process.cpu_times()
                    used[pid, process.create_time()] = times.user + times.system
                    memory_bytes += process.memory_info().rss
            except psutil.Error:  # it ended meanwhile
                continue
        now = time.time()
        seconds, self._read_at = now - self._read_at, now
        before, self._used_seconds = self._used_seconds, used
        if not used or seconds <= 0:
            return None
        grown = sum(each - before.get(key, 0.0) for key, each in used.items())
        return Sample(cpu_percent=100 * grown / seconds, memory_mib=memory_bytes / _MEBIBYTE)


class Monitor:
    """Samples a run from a thread of its own and reports what it finds.

    Args:
        run_directory: the run's.
        task_id: the task's.
        interval_seconds: between samples.
        submit: takes each report; nobody waits for the answer.
    """

    def __init__(
        self, run_directory: Path, *, task_id: str, interval_seconds: float, submit: Callable[[Write], object]
    ) -> None:
        self._run_directory = run_directory
        self._path = f"{API}/tasks/{task_id}/series"
        self._interval_seconds = interval_seconds
        self._submit = submit
        self._stopped = threading.Event()

    def start(self, *, started_at: float) -> None:
        """Sample until `stop`.

        Args:
            started_at: when the script was started, seconds since 1970 UTC.
        """
        threading.Thread(target=self._sample, args=(started_at,), name="monitor", daemon=True).start()

    def stop(self) -> None:
        """Sample no more; a report that is on its way is left to itself."""
        self._stopped.set()

    def _sample(self, started_at: float) -> None:
        gauge = Gauge(self._run_directory, started_at=started_at)
        while not self._stopped.wait(self._interval_seconds):
            sample = gauge.read()
            if sample is None or self._stopped.is_set():
                continue
            try:
                self._submit(self._report(sample, started_at=started_at))
            except NoSpace as error:
                logger.info("a sample is lost: %s", error, extra={"action": "sample_lost"})

    def _report(self, sample: Sample, *, started_at: float) -> Write:
        now = time.time()

        def points(series: str, value: float) -> dict[str, Any]:
            return {
                "title": TITLE,
                "series": series,
                "steps": [round(now - started_at)],
                "times": [now],
                "values": [value],
            }

        body = {
            "writer": WRITER,
            # The next supervisor of the run must not begin again at a number that was used.
            "sequence": max(0, round(1000 * (now - started_at))),
            "points": [points("cpu percent", sample.cpu_percent), points("memory MiB", sample.memory_mib)],
        }
        headers = {"Content-Type": "application/json", "Retrain-Protocol": str(PROTOCOL)}
        return Write(method="POST", path=self._path, headers=headers, body=json.dumps(body).encode())
