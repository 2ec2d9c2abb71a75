"""The parent of a script: as small as can be, since it must live as long as the script does.

It outlives whoever started it, adopts every orphan of the script (subreaper), and when the script ends kills what is
left of its tree and writes how it ended to the disk. The standard library alone, at best that of the process it is
forked from: forked it costs a few milliseconds, started as a program some fifty.

Two files in the run directory tell its story, each written whole or not at all:

    start.json  {"boot_id", "shim", "shim_start_time", "script", "script_start_time", "started_at", "group"}
    exit.json   {"code", "ended_at", "out_of_memory", "left_behind"}

The script does not run one instruction before start.json is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from agent.execution.cgroups import Group, machine_out_of_memory_kills
from agent.execution.tree import boot_id, descendants, kill_until_none, start_time

START = "start.json"
EXIT = "exit.json"

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_EXIT_RESERVE_BYTES = 4096
_SIGNALS_FROM = 128
_NOT_STARTED = 127
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What the shim is told."""

    run_directory: str
    console: str
    working_directory: str
    argv: tuple[str, ...]
    variables: dict[str, str]
    """All of them: nothing is inherited."""
    group: Group


def become(job: Job, *, report: int, lock: int) -> NoReturn:
    """Turn the calling process into the shim of this job. Never returns.

    Args:
        job: what to run.
        report: descriptor that takes one line of JSON if the script cannot be started, and is closed once it runs.
        lock: descriptor of a lock that ends with this descriptor, once start.json is written.
    """
    code = 1
    try:
        _supervise(job, report=report, lock=lock)
        code = 0
    except BaseException as error:  # noqa: BLE001  a copy of the caller must never unwind into the caller's code
        _complain(job, report, error)
    finally:
        os._exit(code)


def main() -> NoReturn:
    """Become the shim of the job written to descriptor 3, with the report at 4 and the lock at 5."""
    with open(3, encoding="utf-8", errors="surrogateescape") as stream:
        fields: dict[str, Any] = json.load(stream)
    group = Group(**fields.pop("group"))
    become(Job(**fields, group=group), report=4, lock=5)


def _supervise(job: Job, *, report: int, lock: int) -> None:
    _detach(keep={report, lock})
    for descriptor in (report, lock):  # started as a program, it got them open for whatever it starts
        os.set_inheritable(descriptor, False)  # noqa: FBT003  the standard library's own signature
    kills_before = machine_out_of_memory_kills()
    directory = Path(job.run_directory)
    reserve = os.open(directory / f"{EXIT}.part", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    # Room for the exit status now: a disk that the script fills must not swallow it.
    os.posix_fallocate(reserve, 0, _EXIT_RESERVE_BYTES)

    gate, opener = os.pipe()
    script = os.fork()
    if script == 0:
        _run_script(job, report=report, gate=gate, opener=opener)
    started = {
        "boot_id": boot_id(),
        "shim": os.getpid(),
        "shim_start_time": start_time(os.getpid()),
        "script": script,
        "script_start_time": start_time(script),
        "started_at": time.time(),
        "group": asdict(job.group),
    }
    part = directory / f"{START}.part"
    part.write_text(json.dumps(started))
    part.rename(directory / START)
    os.write(opener, b"1")
    for descriptor in (opener, gate, lock, report):
        os.close(descriptor)

    code = _reap_until(script)
    ended_at = time.time()
    left_behind = _kill_rest(job.group)
    kills = job.group.out_of_memory_kills()
    if kills is None:
        # Nobody counts the kills of this run alone: one anywhere on the machine and a SIGKILL here are taken as one.
        killed = code == _SIGNALS_FROM + signal.SIGKILL
        kills = machine_out_of_memory_kills() - kills_before if killed else 0
    result = {"code": code, "ended_at": ended_at, "out_of_memory": kills > 0, "left_behind": left_behind}
    text = json.dumps(result).encode()
    os.pwrite(reserve, text, 0)
    os.ftruncate(reserve, len(text))
    os.fsync(reserve)
    (directory / f"{EXIT}.part").rename(directory / EXIT)
    job.group.remove()


def _detach(*, keep: set[int]) -> None:
    with contextlib.suppress(PermissionError):  # already leads a session: it was started as a program
        os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its script does
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    # Locks and sockets of the caller would stay held for as long as the script runs.
    low = 3
    for descriptor in sorted(keep):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_NAME, b"retrain-shim")
    os.chdir("/")


def _run_script(job: Job, *, report: int, gate: int, opener: int) -> NoReturn:
    try:
        os.close(opener)
        os.setsid()
        job.group.enter()
        if not os.read(gate, 1):  # the shim died before it could write start.json
            os._exit(_NOT_STARTED)
        console = os.open(job.console, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        os.dup2(console, 1)
        os.dup2(console, 2)
        os.chdir(job.working_directory)
        os.umask(0o022)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            with contextlib.suppress(OSError):  # those that the C library keeps for itself
                signal.signal(number, signal.SIG_DFL)
        os.execvpe(job.argv[0], job.argv, job.variables)  # noqa: S606  no shell is wanted
    except BaseException as error:  # noqa: BLE001  as in `become`
        _complain(job, report, error)
    finally:
        os._exit(_NOT_STARTED)


def _complain(job: Job, report: int, error: BaseException) -> None:
    """Send why the script could not be started; once it runs, the console is where it can be said."""
    number = error.errno if isinstance(error, OSError) else None
    line = json.dumps({"errno": number, "message": str(error)}).encode()
    try:
        os.write(report, line)
    except OSError:
        with contextlib.suppress(OSError), Path(job.console).open("a") as console:
            console.write("retrain: " + "".join(traceback.format_exception(error)))


def _reap_until(script: int) -> int:
    """Reap every child, adopted ones as well, until the script has ended; return its status as a shell counts."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == script:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else _SIGNALS_FROM - code


def _kill_rest(group: Group) -> tuple[int, ...]:
    """Kill and reap what the script left running; return what would not die."""
    if not _has_children():
        return ()
    group.kill()

    def left() -> set[int]:
        _has_children()
        return descendants(os.getpid())

    return kill_until_none(left)


def _has_children() -> bool:
    """Reap what has ended and say whether anything lives."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _prctl(option: int, argument: int | bytes) -> None:
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    sys.exit(main())
