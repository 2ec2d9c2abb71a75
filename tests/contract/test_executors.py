"""What every executor promises (agent/execution/base.py), asked of each."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from agent.execution import cgroups
from agent.execution.base import CONSOLE, Executor, Exit, Launch, Run
from agent.execution.factory import executor as make_executor
from orchestrator.errors import AlreadyExists, InvalidRequest
from orchestrator.records.task import ExitReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

END_SECONDS = 30.0

NASTY = [
    "",
    ";rm -rf /",
    "$(id)",
    "`id`",
    "--privileged",
    "-v /:/host",
    "'\"\\'",
    "a\nb\tc",
    "*",
    "~",
    "$HOME",
    "&& true",
    "héllo 🎈 日本",
    "x" * 100_000,
]

# Daemonises, ignores what can be ignored, has no variables, and holds the lock for as long as it lives.
DAEMON = """
import fcntl, os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        lock = os.open("lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.set_inheritable(lock, True)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.execve("/bin/sh", ["/bin/sh", "-c", ": > ready; sleep 1000"], {})
    os._exit(0)
os.wait()
while not os.path.exists("ready"):
    time.sleep(0.001)
"""


@dataclass
class Bench:
    """An executor with a run directory, and what has to be cleaned up after it."""

    executor: Executor
    kind: str
    launch: Launch
    runs: list[Run]

    @property
    def python(self) -> str:
        return sys.executable if self.kind == "process" else "/usr/bin/python3"

    @property
    def source(self) -> Path:
        return self.launch.source

    def start(self, *argv: str, **changes: Any) -> Run:  # noqa: ANN401  fields of Launch
        run = self.executor.start(replace(self.launch, argv=argv, **changes))
        self.runs.append(run)
        return run

    def script(self, code: str, *arguments: str, **changes: Any) -> Run:  # noqa: ANN401  fields of Launch
        return self.start(self.python, "-c", code, *arguments, **changes)

    def end(self, run: Run) -> Exit:
        result = self.executor.wait(run, timeout_seconds=END_SECONDS)
        assert result is not None, self.console()
        return result

    def console(self) -> str:
        return (self.launch.run_directory / CONSOLE).read_text(encoding="utf-8")

    def until(self, name: str) -> None:
        """Wait for a file that the script makes where it stands."""
        deadline = time.monotonic() + END_SECONDS
        while not (self.source / name).exists():
            assert time.monotonic() < deadline, self.console()
            time.sleep(0.005)

    def daemon_lives(self) -> bool:
        descriptor = os.open(self.source / "lock", os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    image = request.getfixturevalue("docker_image") if request.param == "docker" else None
    directory = tmp_path / "a run"
    (directory / "source").mkdir(parents=True)
    launch = Launch(
        run_directory=directory,
        source=directory / "source",
        argv=("true",),
        working_directory=directory / "source",
        name=f"retrain-test-{os.getpid()}-{time.monotonic_ns()}",
        labels={"retrain.task": "test"},
    )
    each = Bench(executor=make_executor(request.param, image=image), kind=request.param, launch=launch, runs=[])
    yield each
    for run in each.runs:
        assert each.executor.kill(run) == ()
        each.executor.wait(run, timeout_seconds=END_SECONDS)
        each.executor.clean(run)


def test_an_executor_that_can_run_says_so(bench: Bench) -> None:
    bench.executor.ready()


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        ("exit 0", 0, ExitReason.COMPLETED),
        ("exit 3", 3, ExitReason.SCRIPT_FAILED),
        ("kill -s SEGV $$", 139, ExitReason.SCRIPT_FAILED),
        ("kill -s KILL $$", 137, ExitReason.SCRIPT_FAILED),
    ],
)
def test_the_end_is_told(bench: Bench, command: str, code: int, reason: ExitReason) -> None:
    run = bench.start("/bin/bash", "-c", command)
    result = bench.end(run)
    assert (result.code, result.reason) == (code, reason)
    assert (result.message is None) == (code == 0)
    assert result.started_at <= result.ended_at
    assert bench.executor.poll(run) == result


def test_the_signal_is_named(bench: Bench) -> None:
    assert "SIGSEGV" in str(bench.end(bench.start("/bin/bash", "-c", "kill -s SEGV $$")).message)


def test_a_run_that_goes_on_is_waited_for_no_longer_than_asked(bench: Bench) -> None:
    run = bench.start("/bin/sleep", "60")
    before = time.monotonic()
    assert bench.executor.wait(run, timeout_seconds=0.2) is None
    assert 0.15 < time.monotonic() - before < 2
    assert bench.executor.poll(run) is None


def test_the_console_holds_both_streams_in_order_and_whole(bench: Bench) -> None:
    code = "import os\nfor n in range(20000): os.write(1 + n % 2, b'line %d\\n' % n)"
    bench.end(bench.script(code))
    assert bench.console().splitlines() == [f"line {number}" for number in range(20000)]


def test_a_console_that_has_begun_is_added_to(bench: Bench) -> None:
    (bench.launch.run_directory / CONSOLE).write_text("retrain: building environment\n")
    bench.end(bench.start("/bin/echo", "hello"))
    assert bench.console() == "retrain: building environment\nhello\n"


def test_arguments_and_variables_arrive_literally(bench: Bench) -> None:
    code = "import json, os, sys\nprint(json.dumps([sys.argv[1:], [os.environ[f'V{n}'] for n in range(14)]]))"
    variables = {f"V{number}": value for number, value in enumerate(NASTY)}
    assert bench.end(bench.script(code, *NASTY, variables=variables)).code == 0
    assert json.loads(bench.console()) == [NASTY, NASTY]


@pytest.mark.parametrize("text", ["x" * 1_000_000, "a\0b"])
def test_what_no_program_can_be_given_is_refused(bench: Bench, text: str) -> None:
    with pytest.raises(InvalidRequest, match="argument"):
        bench.start("/bin/echo", text)
    with pytest.raises(InvalidRequest, match="variable"):
        bench.start("/bin/true", variables={"NAME": text})
    assert bench.executor.find(bench.launch.run_directory) is None


def test_the_script_stands_in_its_working_directory_and_reads_nothing(bench: Bench) -> None:
    directory = bench.source / "Übung 日本"
    directory.mkdir()
    code = "import os, sys\nprint(os.getcwd(), repr(sys.stdin.read()), oct(os.umask(0)))\nopen('out', 'w').close()"
    bench.end(bench.script(code, working_directory=directory))
    assert bench.console() == f"{directory} '' 0o22\n"
    assert (directory / "out").stat().st_uid == os.getuid()


def test_variables_of_the_caller_stay_behind(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "RETRAIN_TOKEN", "RETRAIN_HOME", "DATABASE_URL", "PYTHONPATH"):
        monkeypatch.setenv(name, "secret")
    bench.end(bench.script("import os, json; print(json.dumps(dict(os.environ)))", variables={"MINE": "1"}))
    variables = json.loads(bench.console())
    assert "secret" not in variables.values()
    assert variables["MINE"] == "1"
    assert {"PATH", "HOME"} <= set(variables)


def test_a_script_is_asked_to_end_before_it_is_killed(bench: Bench) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saving', flush=True), sys.exit(5)))\n"
        "open('ready', 'w').close()\n"
        "time.sleep(60)"
    )
    run = bench.script(code)
    bench.until("ready")
    bench.executor.terminate(run)
    result = bench.end(run)
    assert (result.code, result.reason) == (5, ExitReason.STOPPED)
    assert bench.console() == "saving\n"


def test_a_script_that_will_not_end_is_killed(bench: Bench) -> None:
    run = bench.start("/bin/bash", "-c", "trap '' TERM; : > ready; while :; do sleep 0.1; done")
    bench.until("ready")
    bench.executor.terminate(run)
    assert bench.executor.wait(run, timeout_seconds=0.3) is None
    assert bench.executor.kill(run) == ()
    result = bench.end(run)
    assert (result.code, result.reason) == (137, ExitReason.STOPPED)


def test_a_tree_that_hides_is_dead_after_kill(bench: Bench) -> None:
    run = bench.script(DAEMON + "time.sleep(1000)")
    bench.until("ready")
    assert bench.daemon_lives()
    assert bench.executor.kill(run) == ()
    assert not bench.daemon_lives()
    assert bench.end(run).reason == ExitReason.STOPPED


def test_what_a_script_leaves_running_is_dead_when_its_end_is_told(bench: Bench) -> None:
    run = bench.script(DAEMON)
    result = bench.end(run)
    assert (result.code, result.reason) == (0, ExitReason.COMPLETED)
    assert not bench.daemon_lives()


def test_stopping_what_has_ended_changes_nothing(bench: Bench) -> None:
    run = bench.start("/bin/true")
    result = bench.end(run)
    bench.executor.terminate(run)
    assert bench.executor.kill(run) == ()
    assert bench.executor.poll(run) == result


def test_a_run_outlives_whoever_started_it(bench: Bench) -> None:
    starter = (
        "import sys, time\nfrom pathlib import Path\n"
        "from agent.execution.base import Launch\nfrom agent.execution.factory import executor\n"
        "directory, name, kind, image = sys.argv[1:]\n"
        "source = Path(directory) / 'source'\n"
        "launch = Launch(run_directory=Path(directory), source=source, working_directory=source, name=name,\n"
        "    argv=('/bin/bash', '-c', 'for n in 1 2 3 4 5; do echo $n; sleep 0.2; done; exit 7'))\n"
        "executor(kind, image=image or None).start(launch)\n"
        "print('started', flush=True)\ntime.sleep(60)\n"
    )
    directory = bench.launch.run_directory
    image = os.environ.get("RETRAIN_DOCKER_IMAGE", "retrain-base:bookworm")
    argv = [sys.executable, "-c", starter, str(directory), bench.launch.name, bench.kind, image]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGKILL)
    run = bench.executor.find(directory)
    assert run is not None
    bench.runs.append(run)
    assert bench.executor.poll(run) is None
    assert bench.executor.find(directory) == run
    result = bench.end(run)
    assert (result.code, result.reason) == (7, ExitReason.SCRIPT_FAILED)
    assert bench.console() == "1\n2\n3\n4\n5\n"


def test_a_run_that_vanished_is_lost(bench: Bench) -> None:
    run = bench.script(DAEMON + "time.sleep(1000)")
    bench.until("ready")
    vanish(bench, run)
    result = bench.executor.wait(run, timeout_seconds=END_SECONDS)
    assert result is not None
    assert (result.code, result.reason) == (None, ExitReason.LOST)
    assert result.started_at == run.started_at
    assert bench.executor.kill(run) == ()
    assert not bench.daemon_lives()


def vanish(bench: Bench, run: Run) -> None:
    if bench.kind == "process":
        os.kill(int(run.handle), signal.SIGKILL)
    else:
        subprocess.run(["docker", "rm", "--force", run.handle], check=True, capture_output=True)


def test_a_run_whose_files_are_gone_is_lost_or_still_known(bench: Bench, tmp_path: Path) -> None:
    run = bench.start("/bin/true")
    bench.end(run)
    bench.launch.run_directory.rename(tmp_path / "away")
    assert bench.executor.poll(run) is not None
    assert bench.executor.kill(run) == ()


def test_where_nothing_ran_nothing_is_found(bench: Bench) -> None:
    assert bench.executor.find(bench.launch.run_directory) is None
    assert bench.executor.find(bench.launch.run_directory / "nowhere") is None


def test_a_run_is_started_once(bench: Bench) -> None:
    run = bench.start("/bin/sleep", "60")
    with pytest.raises(AlreadyExists):
        bench.executor.start(replace(bench.launch, argv=("/bin/true",)))
    assert bench.executor.poll(run) is None


def test_cleaning_leaves_the_console_alone(bench: Bench) -> None:
    run = bench.start("/bin/echo", "hello")
    bench.end(run)
    bench.executor.clean(run)
    assert sorted(path.name for path in bench.launch.run_directory.iterdir()) == [CONSOLE, "source"]
    assert bench.executor.find(bench.launch.run_directory) is None
    assert bench.console() == "hello\n"


@pytest.mark.parametrize("shell_ends", ["exit 3", "exit 0"])
def test_memory_that_ran_out_in_a_child_is_told_whatever_the_code(bench: Bench, shell_ends: str) -> None:
    if bench.kind == "process" and (reason := no_memory_control()):
        pytest.skip(reason)
    command = f"{bench.python} -c 'x = bytearray(500_000_000)'; {shell_ends}"
    result = bench.end(bench.start("/bin/bash", "-c", command, memory_bytes=100 << 20))
    assert result.reason == ExitReason.OUT_OF_MEMORY
    assert result.code == int(shell_ends[-1])
    assert "memory" in str(result.message)


def no_memory_control() -> str | None:
    group = cgroups.create(f"retrain-test-{os.getpid()}", memory_bytes=None)
    group.remove()
    return None if group.memory_directory else "this machine hands no memory control group down to processes"


def test_the_end_is_noticed_by_a_waiter_in_another_thread(bench: Bench, in_thread: Callable[..., Any]) -> None:
    run = bench.start("/bin/sleep", "0.5")
    assert in_thread(lambda: bench.end(run).reason) == ExitReason.COMPLETED


@pytest.fixture
def in_thread() -> Callable[..., Any]:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  used by this fixture alone

    def call(work: Callable[[], Any]) -> Any:  # noqa: ANN401  whatever the work returns
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work).result()

    return call
