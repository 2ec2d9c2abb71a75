from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from agent.execution.base import MARKER
from agent.monitor import Gauge, Monitor
from orchestrator.wire import SeriesBatch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.spool import Write

BUSY = """
import subprocess, sys
if len(sys.argv) == 1:
    subprocess.Popen([sys.executable, __file__, "child"])
kept = bytearray(50 << 20)
while True:
    pass
"""
MOST_OF_A_CORE = 0.005
INTERVAL_SECONDS = 15


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run of two processes that each want a core and have 50 MiB."""
    (tmp_path / "script.py").write_text(BUSY)
    command = [sys.executable, str(tmp_path / "script.py")]
    with subprocess.Popen(command, env=os.environ | {MARKER: str(tmp_path)}, start_new_session=True) as process:
        yield process
        os.killpg(process.pid, 9)


def test_all_processes_of_a_run_are_measured_together(tmp_path: Path, busy: subprocess.Popen[bytes]) -> None:
    assert busy.poll() is None
    gauge = Gauge(tmp_path, started_at=time.time())
    time.sleep(0.6)
    gauge.read()
    time.sleep(0.6)
    sample = gauge.read()
    assert sample is not None
    assert sample.memory_mib > 2 * 50
    assert 5 < sample.cpu_percent < 250


def test_a_run_without_a_process_has_no_sample(tmp_path: Path) -> None:
    assert Gauge(tmp_path, started_at=time.time() - 1).read() is None


def test_a_sample_costs_next_to_nothing(tmp_path: Path, busy: subprocess.Popen[bytes]) -> None:
    assert busy.poll() is None
    gauge = Gauge(tmp_path, started_at=time.time())
    gauge.read()
    begin = time.thread_time()
    gauge.read()
    assert time.thread_time() - begin < MOST_OF_A_CORE * INTERVAL_SECONDS


def test_samples_are_reported_as_series_until_the_run_is_over(tmp_path: Path, busy: subprocess.Popen[bytes]) -> None:
    assert busy.poll() is None
    writes: list[Write] = []
    monitor = Monitor(tmp_path, task_id="a" * 32, interval_seconds=0.1, submit=writes.append)
    monitor.start(started_at=time.time() - 100)
    deadline = time.monotonic() + 10
    while len(writes) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    monitor.stop()
    batches = [SeriesBatch.model_validate(json.loads(write.body)) for write in writes]
    assert {write.path for write in writes} == {f"/api/v1/tasks/{'a' * 32}/series"}
    assert batches[0].sequence < batches[1].sequence
    assert [(points.title, points.series, points.steps) for points in batches[0].points] == [
        ("resources", "cpu percent", (100,)),
        ("resources", "memory MiB", (100,)),
    ]


def test_a_report_that_is_stuck_does_not_delay_the_end(tmp_path: Path, busy: subprocess.Popen[bytes]) -> None:
    assert busy.poll() is None
    stuck, free = threading.Event(), threading.Event()

    def submit(_write: Write) -> None:
        stuck.set()
        free.wait(10)

    monitor = Monitor(tmp_path, task_id="a" * 32, interval_seconds=0.01, submit=submit)
    monitor.start(started_at=time.time())
    assert stuck.wait(10)
    begin = time.monotonic()
    monitor.stop()
    assert time.monotonic() - begin < 5
    free.set()
