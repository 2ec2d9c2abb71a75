"""What only the process executor has: the shim, control groups, and what happens when they are killed or missing."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.execution import cgroups
from agent.execution.base import CONSOLE, Launch, Run
from agent.execution.process import ProcessExecutor
from orchestrator.errors import ExecutorUnavailable, InvalidRequest, NoSpace
from orchestrator.records.task import ExitReason

if TYPE_CHECKING:
    from collections.abc import Iterator

# A tree that forks twice for each of its branches, hides in sessions of its own and clears its variables.
TREE = """
import os, signal, time
for n in range(20):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
            os.execve("/bin/sleep", ["sleep", "1000"], {})
        time.sleep(1000)
open("ready", "w").close()
time.sleep(1000)
"""


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    source = tmp_path / "source"
    source.mkdir()
    return Launch(
        run_directory=tmp_path, source=source, argv=("/bin/sleep", "1000"), working_directory=source, name="test"
    )


@pytest.fixture
def executor(launch: Launch) -> Iterator[ProcessExecutor]:
    """An executor; what runs in the launch's directory is gone after the test."""
    each = ProcessExecutor()
    yield each
    run = each.find(launch.run_directory)
    if run is not None:
        assert each.kill(run) == ()
        each.wait(run, timeout_seconds=10)
        each.clean(run)


def until(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def console(launch: Launch) -> str:
    return (launch.run_directory / CONSOLE).read_text()


def test_a_caller_with_threads_does_not_wait_for_the_script(executor: ProcessExecutor, launch: Launch) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    starter = threading.Thread(target=executor.start, args=(launch,), daemon=True)
    starter.start()
    starter.join(timeout=5)
    stop.set()
    thread.join()
    assert not starter.is_alive()


def test_a_caller_with_threads_starts_the_same_run(executor: ProcessExecutor, launch: Launch) -> None:
    argv = (sys.executable, "-c", "import os, sys; print(sys.argv[1], os.environ['V'])", "é🎈 'x'")
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        run = executor.start(replace(launch, argv=argv, variables={"V": "\n$(id)"}))
        result = executor.wait(run, timeout_seconds=10)
        with pytest.raises(ExecutorUnavailable):
            executor.start(replace(launch, argv=("no-such-program",), run_directory=launch.source))
    finally:
        stop.set()
        thread.join()
    assert result is not None
    assert result.reason == ExitReason.COMPLETED
    assert console(launch) == "é🎈 'x' \n$(id)\n"


def test_a_program_that_is_not_there_leaves_nothing(executor: ProcessExecutor, launch: Launch) -> None:
    with pytest.raises(ExecutorUnavailable, match="no-such-program"):
        executor.start(replace(launch, argv=("no-such-program",)))
    with pytest.raises(ExecutorUnavailable, match="nowhere"):
        executor.start(replace(launch, working_directory=launch.source / "nowhere"))
    assert executor.find(launch.run_directory) is None
    assert sorted(path.name for path in launch.run_directory.iterdir()) in (["source"], [CONSOLE, "source"])
    run = executor.start(replace(launch, argv=("true",)))
    assert executor.wait(run, timeout_seconds=10) is not None


def test_arguments_that_are_too_many_are_the_callers_fault(executor: ProcessExecutor, launch: Launch) -> None:
    with pytest.raises(InvalidRequest, match="parameters"):
        executor.start(replace(launch, argv=("/bin/true", *["x" * 100_000] * 100)))


def test_a_full_disk_is_told_before_the_script_runs(executor: ProcessExecutor, launch: Launch, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    assert os.system(f"mount -t tmpfs -o size=4k,mode=755 tmpfs '{disk}'") == 0  # noqa: S605  a path of our own
    try:
        (disk / "filler").write_bytes(b"x" * 4096)
        with pytest.raises(NoSpace):
            executor.start(replace(launch, run_directory=disk))
    finally:
        os.system(f"umount '{disk}'")  # noqa: S605  a path of our own


def test_the_script_sees_its_gpus_and_no_others(
    executor: ProcessExecutor, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    argv = ("/bin/sh", "-c", 'echo "$CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER"')
    run = executor.start(replace(launch, argv=argv, gpus=("2", "3"), variables={"CUDA_VISIBLE_DEVICES": "0"}))
    executor.wait(run, timeout_seconds=10)
    executor.clean(run)
    executor.wait(executor.start(replace(launch, argv=argv)), timeout_seconds=10)
    assert console(launch) == "2,3 PCI_BUS_ID\n PCI_BUS_ID\n"


def test_the_end_is_noticed_at_once(executor: ProcessExecutor, launch: Launch) -> None:
    delays = []
    for _ in range(5):
        run = executor.start(replace(launch, argv=("/bin/sleep", "0.05")))
        result = executor.wait(run, timeout_seconds=10)
        now = time.time()
        assert result is not None
        delays.append(now - result.ended_at.timestamp())
        executor.clean(run)
    assert min(delays) < 0.25  # it is told of the end, it does not look for it


def test_the_run_holds_no_lock_or_socket_of_its_starter(executor: ProcessExecutor, launch: Launch) -> None:
    path = launch.run_directory / "supervisor.lock"
    mine = os.open(path, os.O_RDWR | os.O_CREAT)
    os.set_inheritable(mine, True)
    fcntl.flock(mine, fcntl.LOCK_EX)
    run = executor.start(launch)
    os.close(mine)
    other = os.open(path, os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    assert executor.poll(run) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_ends_the_agent_does_not_end_the_run(
    executor: ProcessExecutor, launch: Launch, number: signal.Signals
) -> None:
    run = executor.start(launch)
    os.kill(int(run.handle), number)
    assert executor.wait(run, timeout_seconds=0.1) is None


def test_a_script_gets_the_signals_of_a_fresh_program(executor: ProcessExecutor, launch: Launch) -> None:
    code = "for line in open('/proc/self/status'):\n  if line[:6] in ('SigBlk', 'SigIgn'): print(line.split()[1])"
    run = executor.start(replace(launch, argv=("/usr/bin/env", "python3", "-c", code)))
    executor.wait(run, timeout_seconds=10)
    blocked, ignored = (int(line, 16) for line in console(launch).split())
    assert blocked == 0
    settable = sum(1 << number - 1 for number in signal.valid_signals())  # 32 and 33 are the C library's own
    assert ignored & settable & ~(1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0  # Python ignores those two


@pytest.mark.parametrize("offers", ["kill", "freezer", "nothing"])
def test_a_tree_dies_by_whatever_the_machine_offers(
    executor: ProcessExecutor, launch: Launch, monkeypatch: pytest.MonkeyPatch, offers: str
) -> None:
    if offers == "nothing":
        roots = cgroups._Roots()
    else:
        roots = cgroups._Roots(**{offers: getattr(cgroups._probe(), offers)})
        if roots == cgroups._Roots():
            pytest.skip(f"this machine has no control groups that offer: {offers}")
    monkeypatch.setattr(cgroups, "_probe", lambda: roots)
    run = executor.start(replace(launch, argv=(sys.executable, "-c", TREE)))
    until(launch.source / "ready")
    assert executor.kill(run) == ()
    result = executor.wait(run, timeout_seconds=10)
    assert result is not None
    assert result.reason == ExitReason.STOPPED
    assert sleepers(launch) == []


def sleepers(launch: Launch) -> list[str]:
    """Return the processes that stand in the run's source."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == launch.source:
                found.append(process.name)
        except OSError:  # ended meanwhile
            continue
    return found


def test_without_its_shim_a_run_is_found_by_its_mark(
    executor: ProcessExecutor, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_probe", cgroups._Roots)
    run = executor.start(launch)
    os.kill(int(run.handle), signal.SIGKILL)
    lost = executor.wait(run, timeout_seconds=10)
    assert lost is not None
    assert lost.reason == ExitReason.LOST
    assert len(sleepers(launch)) == 1
    assert executor.kill(run) == ()
    until = time.monotonic() + 5
    while sleepers(launch):  # it has its signal, and is on its way out
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_run_of_before_the_machine_restarted_is_lost(
    executor: ProcessExecutor, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = executor.start(launch)
    with monkeypatch.context() as patch:
        patch.setattr("agent.execution.tree.boot_id", lambda: "another")
        lost = executor.poll(run)
    assert lost is not None
    assert lost.reason == ExitReason.LOST


def test_control_groups_do_not_outlive_their_run(executor: ProcessExecutor, launch: Launch) -> None:
    run = executor.start(launch)
    group = cgroups.Group(**_group(launch))
    directories = group._directories()
    assert all(Path(directory).is_dir() for directory in directories)
    executor.kill(run)
    executor.wait(run, timeout_seconds=10)
    assert not any(Path(directory).is_dir() for directory in directories)


def _group(launch: Launch) -> dict[str, str]:
    group: dict[str, str] = json.loads((launch.run_directory / "start.json").read_text())["group"]
    return group


def test_a_starter_killed_at_any_moment_leaves_a_run_or_nothing(tmp_path: Path) -> None:
    executor = ProcessExecutor()

    def prepared(name: str) -> Launch:
        source = tmp_path / name / "source"
        source.mkdir(parents=True)
        return Launch(
            run_directory=tmp_path / name,
            source=source,
            argv=("/bin/sh", "-c", "echo ran >> ran"),
            working_directory=source,
            name="test",
        )

    whole_seconds = seconds_of_a_start(executor, prepared("whole"))
    found = 0
    for step in range(40):
        launch = prepared(str(step))
        directory, source = launch.run_directory, launch.source
        kill_starter_after(step * whole_seconds / 20, executor, launch)  # from at once to twice as long as it takes
        run = executor.find(directory)
        if run is None:
            time.sleep(0.02)
            assert not (source / "ran").exists()
            run = executor.start(launch)
        else:
            found += 1
        finish(executor, run)
        assert (source / "ran").read_text() == "ran\n"
    assert 0 < found < 40


def seconds_of_a_start(executor: ProcessExecutor, launch: Launch) -> float:
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            executor.start(launch)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    seconds = time.monotonic() - began
    run = executor.find(launch.run_directory)
    assert run is not None
    finish(executor, run)
    return seconds


def kill_starter_after(seconds: float, executor: ProcessExecutor, launch: Launch) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            executor.start(launch)
            time.sleep(60)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def finish(executor: ProcessExecutor, run: Run) -> None:
    result = executor.wait(run, timeout_seconds=10)
    assert result is not None
    assert result.reason == ExitReason.COMPLETED
    executor.clean(run)
