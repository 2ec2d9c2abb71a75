"""The demo as a person runs it, on real days where their folder is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "occupancy"
PATIENCE_SECONDS = 300


def real_days() -> list[str]:
    """The option that names the folder of real days: RETRAIN_TEST_DAYS, else one beside the checkout, else none."""
    folder = Path(os.environ.get("RETRAIN_TEST_DAYS") or BESIDE)
    return ["--data", str(folder)] if folder.is_dir() else []


def demo(*options: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli.main", "demo", *options],
        env=os.environ | {"COLUMNS": "160"} | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_behind(home: Path) -> list[str]:
    """Command lines of processes that still know the home directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(home) in " ".join(process.cmdline()) or str(home) in process.environ().get("RETRAIN_HOME", ""):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def rows_of(output: str) -> list[list[str]]:
    """The cells of the table's rows."""
    lines = [line for line in output.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def check_table(output: str, *, executor: str, days: int) -> None:
    rows = rows_of(output)
    assert [row[0] for row in rows] == [f"1.0.{patch}" for patch in range(days + 1)]
    assert [row[1] for row in rows[1:]] == ["1"] * days
    assert len({row[2] for row in rows}) == days + 1
    assert [row[3] for row in rows] == ["1"] * (days + 1)
    assert [row[4] for row in rows] == ["by hand", *[executor] * days]
    assert [row[5] for row in rows[2:]] == ["reused"] * (days - 1)
    assert all(row[6].endswith(" s") for row in rows[1:])
    assert all(0.5 < float(row[7]) <= 1 for row in rows)


def test_the_demo_goes_full_circle_with_processes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    run = demo("--executor", "process", "--days", "3", "--home", str(home), *real_days())
    output, _ = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 0, output
    check_table(output, executor="process", days=3)
    assert left_behind(home) == []


@pytest.mark.docker
def test_the_demo_goes_full_circle_in_docker(tmp_path: Path, docker_image: str) -> None:
    home = tmp_path / "home"
    options = ("--executor", "docker", "--docker-image", docker_image, "--days", "2", "--home", str(home))
    run = demo(*options, *real_days())
    output, _ = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 0, output
    check_table(output, executor="docker", days=2)
    assert left_behind(home) == []


@pytest.mark.postgres
def test_the_demo_goes_full_circle_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    home = tmp_path / "home"
    options = ("--executor", "process", "--days", "2", "--home", str(home))
    run = demo(*options, environment={"RETRAIN_DATABASE_URL": postgres_url})
    output, _ = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 0, output
    check_table(output, executor="process", days=2)
    assert not (home / "database.sqlite").exists()
    assert left_behind(home) == []


def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    run = demo("--executor", "process", "--home", str(home))
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not (home / "agent" / "runs").exists() and time.monotonic() < give_up:
        time.sleep(0.05)
    assert left_behind(home)
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 130, output
    assert "\nending\n" in output
    assert left_behind(home) == []


def test_a_folder_without_days_is_named_and_nothing_starts(tmp_path: Path) -> None:
    run = demo("--data", str(tmp_path), "--home", str(tmp_path / "home"))
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 2, output
    assert str(tmp_path) in output
    assert "--data" in output
    assert not (tmp_path / "home").exists()


def test_a_demo_that_fails_keeps_its_state_and_says_where(tmp_path: Path) -> None:
    closed = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    run = demo("--executor", "process", environment=closed)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 1, output
    assert "… installing scikit-learn" in output
    (home,) = tmp_path.glob("retrain-demo-*")
    assert f"its state stays in {home}" in output
    assert (home / "logs" / "environment.log").read_text()
    assert "Traceback" not in output
    assert left_behind(home) == []
