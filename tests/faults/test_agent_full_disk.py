"""A disk that is full while an attempt is prepared."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.testing import create_script_task, running_agent, wait_for
from orchestrator.api.testing import running_server
from orchestrator.sdk.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.redis


@pytest.fixture
def small_disk() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="disk-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(directory)], check=False)
    if mounted.returncode != 0:
        directory.rmdir()
        pytest.skip("only root may mount a small disk")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)
    directory.rmdir()


def ended(client: Client, task: str) -> dict[str, Any]:
    wait_for(lambda: client.get(f"/tasks/{task}")["task"]["status"] in {"completed", "failed"}, what="the end")
    found: dict[str, Any] = client.get(f"/tasks/{task}")["task"]
    return found


def test_a_full_disk_is_named_and_the_agent_works_again_when_there_is_room(small_disk: Path, tmp_path: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as home,
        running_server(Path(home), lease_seconds=3, heartbeat_seconds=1, sweep_seconds=0.3) as server,
        Client(server.url, server.token) as client,
        running_agent(small_disk / "agent", server) as agent,
    ):
        task = create_script_task(client, "print('hello')", directory=tmp_path)
        client.post(f"/tasks/{task}/enqueue", {})
        assert ended(client, task)["status"] == "completed"

        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 12))
        client.post(f"/tasks/{task}/clone", {"queue": "default"})
        (clone,) = client.get("/tasks", parent=task)["items"]
        failed = ended(client, clone["id"])
        assert (failed["status"], failed["status_reason"]) == ("failed", "infrastructure")
        assert "space" in failed["status_message"].lower() or "full" in failed["status_message"]

        filler.unlink()
        client.post(f"/tasks/{clone['id']}/enqueue", {})
        wait_for(lambda: client.get(f"/tasks/{clone['id']}")["task"]["status"] == "completed", what="the second try")
        assert agent.process.poll() is None
