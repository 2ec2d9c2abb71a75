"""What a real run used of the machine, in its task."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from agent.testing import create_script_task, running_agent, wait_for
from orchestrator.api.testing import running_server
from orchestrator.sdk.client import Client

pytestmark = pytest.mark.redis

SCRIPT = """
import time
kept = bytearray(100 << 20)
end = time.monotonic() + 1.5
while time.monotonic() < end:
    pass
"""


def test_cpu_and_memory_of_a_run_are_series_of_its_task(tmp_path: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="monitor-", ignore_cleanup_errors=True) as home,
        running_server(Path(home) / "server") as server,
        Client(server.url, server.token) as client,
        running_agent(Path(home) / "agent", server, monitor_seconds=0.3),
    ):
        task = create_script_task(client, SCRIPT, directory=tmp_path)
        client.post(f"/tasks/{task}/enqueue", {"queue": "default"})
        wait_for(lambda: client.get(f"/tasks/{task}")["task"]["status"] == "completed", what="the end of the run")
        series = {each["series"]: each for each in client.get(f"/tasks/{task}/series")["items"]}
        assert series.keys() == {"cpu percent", "memory MiB"}
        assert {each["title"] for each in series.values()} == {"resources"}
        assert series["memory MiB"]["maximum"] > 100
        assert 10 < series["cpu percent"]["maximum"] < 150
        assert client.get(f"/tasks/{task}")["attempts"][0]["exit_code"] == 0
