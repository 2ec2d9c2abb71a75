"""Attempts as processes of this machine.

The script's parent is the shim (`agent.execution.shim`). It is forked from the caller while that has a single thread,
which takes a few milliseconds, and started as a program otherwise: a copy of a process with threads may hold locks that
nobody ever releases.

Memory is bounded, and its end told apart, where a memory control group can be made. Elsewhere a SIGKILL while the
kernel killed something for memory, anywhere on the machine, is taken for the script's memory having run out.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import select
import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agent.execution import cgroups, shim, tree
from agent.execution.base import (
    CONSOLE,
    MARKER,
    Exit,
    Launch,
    Run,
    check,
    ended,
    forget_stop,
    lost,
    request_stop,
)
from orchestrator.errors import AlreadyExists, ExecutorUnavailable, InvalidRequest, NoSpace, OrchestratorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LOCK = "start.lock"
_ROOT = Path(__file__).parents[2]

_INHERITED = {
    *(
        "HOME",
        "LANG",
        "LANGUAGE",
        "LOGNAME",
        "PATH",
        "SHELL",
        "TEMP",
        "TMP",
        "TMPDIR",
        "TZ",
        "USER",
        "XDG_CACHE_HOME",
        "XDG_RUNTIME_DIR",
    ),
    *("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"),
    *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "http_proxy", "https_proxy", "no_proxy"),
    *("LD_LIBRARY_PATH", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
}
_INHERITED_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "NCCL_")


class ProcessExecutor:
    """Runs scripts as processes of the caller's user."""

    name = "process"

    def __init__(self, *, environ: Mapping[str, str] | None = None) -> None:
        """Take the variables to choose those of the machine from; by default the process's own."""
        self._environ = environ

    def ready(self) -> None:
        """See `Executor.ready`: there is always a machine."""

    def start(self, launch: Launch) -> Run:
        """See `Executor.start`."""
        check(launch)
        directory = launch.run_directory
        if (directory / shim.START).exists():
            raise AlreadyExists(f"A run was started in {directory} before.", hint="Adopt it with `find`.")
        group = cgroups.create(_group_name(launch), memory_bytes=launch.memory_bytes)
        job = shim.Job(
            run_directory=str(directory),
            console=str(directory / CONSOLE),
            working_directory=str(launch.working_directory),
            argv=launch.argv,
            variables=self._variables(launch),
            group=group,
        )
        try:
            failure = _start_shim(job)
        except OSError as error:
            group.remove()
            raise _refusal(launch, {"errno": error.errno, "message": str(error)}) from error
        if failure is not None:
            group.remove()
            for name in (shim.START, shim.EXIT, f"{shim.START}.part", f"{shim.EXIT}.part", _LOCK):
                (directory / name).unlink(missing_ok=True)
            raise _refusal(launch, failure)
        return _Started.read(directory).run(directory)

    def find(self, run_directory: Path) -> Run | None:
        """See `Executor.find`."""
        try:
            with _locked(run_directory, flags=os.O_RDWR):  # a shim that was just born gets to write its start
                return _Started.read(run_directory).run(run_directory)
        except FileNotFoundError:
            return None

    def poll(self, run: Run) -> Exit | None:
        """See `Executor.poll`."""
        result = _read_exit(run)
        if result is not None:
            _reap(run)
            return result
        started = _read_started(run)
        if started is not None and started.shim_lives():
            return None
        _reap(run)
        # It may have written its last word between the two looks.
        return _read_exit(run) or lost(run, message="The run vanished: its files are gone, or its parent was killed.")

    def wait(self, run: Run, *, timeout_seconds: float) -> Exit | None:
        """See `Executor.wait`."""
        result = self.poll(run)
        if result is not None:
            return result
        try:
            descriptor = os.pidfd_open(int(run.handle))
        except ProcessLookupError:
            return self.poll(run)
        try:
            waiter = select.poll()
            waiter.register(descriptor, select.POLLIN)
            # The id may have been given to another process before it was opened; then the run has ended.
            result = self.poll(run)
            if result is None and waiter.poll(timeout_seconds * 1000):
                result = self.poll(run)
        finally:
            os.close(descriptor)
        return result

    def terminate(self, run: Run) -> None:
        """See `Executor.terminate`."""
        started = _read_started(run)
        if started is None or not started.script_lives():
            return
        request_stop(run.run_directory)
        try:
            descriptor = os.pidfd_open(started.script)
        except ProcessLookupError:
            return
        try:
            if started.script_lives():
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)

    def kill(self, run: Run) -> tuple[int, ...]:
        """See `Executor.kill`."""
        started = _read_started(run)
        group = started.group if started is not None else cgroups.Group()
        if started is not None and started.script_lives():
            request_stop(run.run_directory)
        group.kill()

        def left() -> set[int]:
            found = tree.marked(MARKER, str(run.run_directory)) | group.processes()
            if started is not None and started.shim_lives():
                found |= tree.descendants(started.shim)
            return {pid for pid in found if tree.start_time(pid) is not None} - {os.getpid()}

        return tree.kill_until_none(left)

    def clean(self, run: Run) -> None:
        """See `Executor.clean`."""
        started = _read_started(run)
        _reap(run)
        if started is not None:
            started.group.remove()
        for name in (shim.START, shim.EXIT, f"{shim.EXIT}.part", _LOCK):
            (run.run_directory / name).unlink(missing_ok=True)
        forget_stop(run.run_directory)

    def _variables(self, launch: Launch) -> dict[str, str]:
        environ = os.environ if self._environ is None else self._environ
        inherited = {
            name: value for name, value in environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
        }
        # Without the bus order CUDA counts by speed, and an index would not be the one that nvidia-smi shows.
        devices = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(launch.gpus)}
        return inherited | launch.variables | devices | {MARKER: str(launch.run_directory)}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Started:
    """What start.json says."""

    boot_id: str
    shim: int
    shim_start_time: int
    script: int
    script_start_time: int
    started_at: float
    group: cgroups.Group

    @classmethod
    def read(cls, run_directory: Path) -> Self:
        fields = json.loads((run_directory / shim.START).read_bytes())
        return cls(**fields | {"group": cgroups.Group(**fields["group"])})

    def run(self, run_directory: Path) -> Run:
        return Run(
            run_directory=run_directory,
            handle=str(self.shim),
            started_at=datetime.fromtimestamp(self.started_at, tz=UTC),
        )

    def shim_lives(self) -> bool:
        return self.boot_id == tree.boot_id() and tree.start_time(self.shim) == self.shim_start_time

    def script_lives(self) -> bool:
        return self.boot_id == tree.boot_id() and tree.start_time(self.script) == self.script_start_time


def _start_shim(job: shim.Job) -> dict[str, Any] | None:
    """Start the shim and return when the script runs, or with what the shim reports about why it does not."""
    reader, report = os.pipe()
    with os.fdopen(reader, "rb") as reports, _locked(Path(job.run_directory), flags=os.O_RDWR | os.O_CREAT) as lock:
        try:
            # threading.active_count knows only Python's own threads.
            single = len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208  hot path
            pid = _fork(job, report, lock) if single else _spawn(job, report, lock)
        finally:
            os.close(report)
        text = reports.read()
    if not text:
        return None
    with suppress(ChildProcessError):  # the caller's own handler of SIGCHLD was faster
        os.waitpid(pid, 0)
    failure: dict[str, Any] = json.loads(text)
    return failure


def _fork(job: shim.Job, report: int, lock: int) -> int:
    pid = os.fork()
    if pid == 0:
        shim.become(job, report=report, lock=lock)
    return pid


def _spawn(job: shim.Job, report: int, lock: int) -> int:
    """Start the shim as a program: in isolated mode, so that nothing but the standard library is looked at."""
    code = f"import sys; sys.path.append({str(_ROOT)!r}); from agent.execution.shim import main; main()"
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-c", code]
    with os.fdopen(os.memfd_create("job"), "w+", encoding="utf-8", errors="surrogateescape") as stream:
        json.dump(asdict(job), stream)
        stream.flush()
        stream.seek(0)
        # Out of the way of their targets first, or one could overwrite another.
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10) for descriptor in (stream.fileno(), report, lock)]
        try:
            actions = [(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in enumerate(high, start=3)]
            libraries = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
            return os.posix_spawn(sys.executable, argv, libraries, file_actions=actions, setsid=True)
        finally:
            for descriptor in high:
                os.close(descriptor)


@contextmanager
def _locked(run_directory: Path, *, flags: int) -> Iterator[int]:
    """Hold the lock that a starting shim holds, too, until it has told that it runs."""
    descriptor = os.open(run_directory / _LOCK, flags | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _refusal(launch: Launch, failure: Mapping[str, Any]) -> OrchestratorError:
    """Turn the reason why a script did not start into an error that says what to do."""
    message = f"{launch.argv[0]!r} cannot be started in {launch.working_directory}: {failure['message']}."
    if failure["errno"] == errno.E2BIG:
        return InvalidRequest(message, hint="Arguments and variables are too much for one program: use parameters.")
    if failure["errno"] in {errno.ENOSPC, errno.EDQUOT}:
        return NoSpace(message, hint=f"Free some of the disk that holds {launch.run_directory}.")
    return ExecutorUnavailable(message)


def _group_name(launch: Launch) -> str:
    return "retrain-" + hashlib.blake2b(os.fsencode(launch.run_directory), digest_size=8).hexdigest()


def _read_started(run: Run) -> _Started | None:
    try:
        return _Started.read(run.run_directory)
    except FileNotFoundError:
        return None


def _read_exit(run: Run) -> Exit | None:
    try:
        fields = json.loads((run.run_directory / shim.EXIT).read_bytes())
    except FileNotFoundError:
        return None
    return ended(
        run,
        code=fields["code"],
        ended_at=datetime.fromtimestamp(fields["ended_at"], tz=UTC),
        out_of_memory=fields["out_of_memory"],
    )


def _reap(run: Run) -> None:
    """Collect the shim where it is our child; anyone else's is collected by its own parent."""
    try:
        os.waitpid(int(run.handle), os.WNOHANG)
    except ChildProcessError:
        return
