from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.forks import fork
from agent.locks import ProcessLock
from agent.runs import Ending, Phase, RunDirectory, RunState, clean, environments_in_use, unfinished
from orchestrator.records.task import Attempt, ExitReason, Task
from orchestrator.wire import Claim

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = "2026-01-02T03:04:05Z"


def claim(number: int = 1, *, task_id: str = "a" * 32) -> Claim:
    return Claim(
        task=Task(id=task_id, project="p", name="n", created_at=NOW, created_by="b" * 32, changed_at=NOW),
        attempt=Attempt(
            task_id=task_id, number=number, slot="main", token_id="c" * 32, lease_expires_at=NOW, claimed_at=NOW
        ),
        parameters=(),
        token="rt_secret",
        lease_seconds=60,
        heartbeat_seconds=15,
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    directory = tmp_path / "runs"
    directory.mkdir()
    return directory


@pytest.fixture
def child() -> Callable[[Callable[[], int]], int]:
    started: list[int] = []

    def start(work: Callable[[], int]) -> int:
        started.append(fork(work))
        return started[-1]

    yield start
    for pid in started:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def test_a_new_run_is_claimed_and_its_token_is_for_the_owner_alone(runs: Path) -> None:
    run = RunDirectory.create(runs, claim())
    assert run.path.name == f"{'a' * 32}-1"
    assert run.claim() == claim()
    assert run.state() == RunState()
    assert run.claim_file.stat().st_mode & 0o777 == 0o600
    assert run.path.stat().st_mode & 0o777 == 0o700


def test_state_is_what_was_saved_last(runs: Path) -> None:
    run = RunDirectory.create(runs, claim())
    state = RunState(phase=Phase.DRAINING, ending=Ending(reason=ExitReason.SCRIPT_FAILED, exit_code=3))
    run.save(state)
    assert RunDirectory(run.path).state() == state


def test_only_runs_whose_end_was_not_told_are_taken_over(runs: Path) -> None:
    for number in (1, 2):
        RunDirectory.create(runs, claim(number))
    RunDirectory(runs / f"{'a' * 32}-1").save(RunState(phase=Phase.FINISHED))
    (runs / ".new-abc").mkdir()
    assert [run.path.name for run in unfinished(runs)] == [f"{'a' * 32}-2"]


def test_an_environment_is_in_use_until_its_run_is_finished(runs: Path) -> None:
    for number, phase in enumerate((Phase.STARTING, Phase.RUNNING, Phase.DRAINING, Phase.FINISHED), start=1):
        RunDirectory.create(runs, claim(number)).save(RunState(phase=phase, environment=phase.value))
    RunDirectory.create(runs, claim(5))
    assert environments_in_use(runs) == {"starting", "running", "draining"}


def test_a_run_that_cannot_be_read_holds_nobody_up(runs: Path) -> None:
    run = RunDirectory.create(runs, claim())
    run.state_file.write_text("")
    assert list(unfinished(runs)) == []


def test_a_socket_path_that_is_too_long_for_the_kernel_lies_elsewhere(tmp_path: Path) -> None:
    short, long = RunDirectory(Path("/a")), RunDirectory(tmp_path / ("x" * 120))
    assert short.socket == Path("/a/attempt/socket")
    assert len(bytes(long.socket)) <= 107
    assert long.socket == RunDirectory(long.path).socket


def test_cleaning_keeps_the_consoles_of_the_newest_and_nothing_else_of_theirs(runs: Path) -> None:
    for number in (1, 2, 3):
        run = RunDirectory.create(runs, claim(number))
        run.source.mkdir()
        run.say("hello")
        run.save(RunState(phase=Phase.FINISHED))
        os.utime(run.path, (number, number))
    going_on = RunDirectory.create(runs, claim(4))
    (runs / ".gone-half").mkdir()
    clean(runs, kept=2)
    assert sorted(path.name[-1] for path in runs.iterdir()) == ["2", "3", "4"]
    kept = RunDirectory(runs / f"{'a' * 32}-3")
    assert sorted(path.name for path in kept.path.iterdir()) == ["console", "state.json"]
    assert going_on.claim_file.exists()


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path: Path, child: Callable[[Callable[[], int]], int]) -> None:
    lock = ProcessLock(tmp_path / "lock")
    reader, writer = os.pipe()

    def hold() -> int:
        ProcessLock(tmp_path / "lock").acquire()
        os.write(writer, b"1")
        signal.pause()
        return 0

    assert lock.holder() is None
    pid = child(hold)
    os.read(reader, 1)
    assert lock.holder() == pid
    assert not lock.acquire()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert lock.holder() is None
    assert lock.acquire()
    lock.release()
    os.close(reader)
    os.close(writer)


def test_a_forked_child_does_not_keep_its_parents_lock(
    tmp_path: Path, child: Callable[[Callable[[], int]], int]
) -> None:
    lock = ProcessLock(tmp_path / "lock")
    assert lock.acquire()

    def wait() -> int:
        signal.pause()
        return 0

    child(wait)
    lock.release()
    assert ProcessLock(tmp_path / "lock").holder() is None
