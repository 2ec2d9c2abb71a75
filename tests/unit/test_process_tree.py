from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from agent.execution import tree
from agent.execution.base import Launch, check
from agent.execution.factory import executor
from orchestrator.errors import InvalidRequest

FAMILY = (
    "import subprocess, sys\n"
    "child = subprocess.Popen(['sh', '-c', 'sleep 1000 & echo $!; wait'], stdout=subprocess.PIPE, text=True)\n"
    "print(child.pid, child.stdout.readline(), end='', flush=True)\n"
    "sys.stdin.read()\n"
)


def test_a_process_is_known_by_its_start_and_dead_as_a_zombie() -> None:
    assert tree.start_time(os.getpid()) == tree.start_time(os.getpid())
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        deadline = time.monotonic() + 5
        while tree.start_time(pid) is not None:
            assert time.monotonic() < deadline
    finally:
        os.waitpid(pid, 0)
    assert tree.start_time(pid) is None


def test_descendants_are_found_and_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as family:
        assert family.stdout is not None
        child, grandchild = (int(word) for word in family.stdout.readline().split())
        assert tree.descendants(family.pid) == {child, grandchild}
        assert tree.kill_until_none(lambda: tree.descendants(family.pid)) == ()
        assert tree.start_time(grandchild) is None


def test_a_process_is_found_by_a_variable_that_it_was_started_with() -> None:
    with subprocess.Popen(["sleep", "1000"], env={"MARK": "here", "OTHER": "MARK=there"}) as sleeper:
        assert tree.marked("MARK", "here") == {sleeper.pid}
        assert tree.marked("MARK", "there") == set()
        assert tree.marked("MARK", "her") == set()
        sleeper.kill()


def test_what_does_not_die_is_named() -> None:
    never = 2**22 + 1  # beyond the largest process id, so that nothing is hit
    assert tree.kill_until_none(lambda: {never}, timeout_seconds=0.02) == (never,)


@pytest.mark.parametrize("name", ["", "a=b"])
def test_a_variable_has_a_name(name: str, launch: Launch) -> None:
    launch.variables[name] = "x"
    with pytest.raises(InvalidRequest, match="variable"):
        check(launch)


def test_an_executor_is_named_exactly() -> None:
    assert executor("process").name == "process"
    with pytest.raises(InvalidRequest, match="docker, process"):
        executor("slurm")
    with pytest.raises(InvalidRequest, match="--docker IMAGE"):
        executor("docker")


@pytest.fixture
def launch(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    directory = tmp_path_factory.getbasetemp()
    return Launch(run_directory=directory, source=directory, argv=("true",), working_directory=directory, name="x")
