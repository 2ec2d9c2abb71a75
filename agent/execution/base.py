"""How one attempt is run: the protocol of executors and the values that they exchange.

An executor starts a script and tells how it ended. It keeps nothing in memory that it could not find again: whoever
started a run may be killed at any moment, and another process goes on with `Executor.find`.
"""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from orchestrator.errors import InvalidRequest
from orchestrator.records.task import ExitReason

if TYPE_CHECKING:
    from pathlib import Path

CONSOLE = "console"
"""File in the run directory that takes what the script prints: both streams, appended in order, without a buffer."""

MARKER = "RETRAIN_RUN"
"""Variable of every process of a run, with the run directory as its value: by it they are found when all else fails."""

_LONGEST_ARGUMENT = 32 * os.sysconf("SC_PAGE_SIZE")  # MAX_ARG_STRLEN of execve(2), with the final NUL
_STOP_MARK = "stop-requested"
_NOT_FOUND = 127
_SIGNALS_FROM = 128
_UNCAUGHT = 1  # Python's exit code after an exception that nobody caught
_TAIL_BYTES = 1 << 16
_AFTERWARDS_LINES = 20
_MESSAGE_LENGTH = 1000
_TRACEBACK = "Traceback (most recent call last):"
_EXCEPTION = re.compile(r"(?:\w+\.)*[^\W\d]\w*(?:: .*)?")
_SYNTAX_ERROR = re.compile(r"(?:SyntaxError|IndentationError|TabError): .*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """What to run and with what.

    Paths are the same inside a container as on the host, so that a traceback reads alike everywhere.
    """

    run_directory: Path
    """Exists already and belongs to this run alone; the console and the executor's own files lie here. In a container
    only the console file of it is visible, beside `source`, `read_only` and `writable`: what a supervisor keeps here is
    no business of the script's. A socket belongs in a directory of its own, so that a new one under the same name can
    be seen."""
    source: Path
    """The rebuilt tree; writable, since scripts write where they stand."""
    argv: tuple[str, ...]
    """The program and its arguments, handed on literally; nothing ever passes through a shell."""
    working_directory: Path
    name: str
    """For people who look at process or container lists; letters, digits, `_`, `.` and `-`."""
    variables: dict[str, str] = field(default_factory=dict)
    read_only: tuple[Path, ...] = ()
    """Files and directories that the script reads: environment, SDK, data."""
    writable: tuple[Path, ...] = ()
    """Files and directories that the script writes, beside the source."""
    image: str | None = None
    """None for the executor's own; executors without containers ignore it."""
    memory_bytes: int | None = None
    """Limit of all processes together; None for none."""
    gpus: tuple[str, ...] = ()
    """Indices or UUIDs as nvidia-smi names them. The script sees these and no others."""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A started attempt. `Executor.find` makes an equal one again from the run directory."""

    run_directory: Path
    handle: str
    """The executor's own name for it: opaque to everyone else."""
    started_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """How a run ended."""

    code: int | None
    """The script's exit status, 128 + n when signal n ended it (as shells and containers count); None when unknown."""
    reason: ExitReason
    message: str | None
    """A sentence for a person; None where there is nothing to say beyond the reason."""
    started_at: datetime
    ended_at: datetime


class Executor(Protocol):
    """Runs attempts. Any thread, and any process of the same user on the machine, may call any method."""

    @property
    def name(self) -> str:
        """The word for it on command lines and in records: `docker`, `process`."""

    def ready(self) -> None:
        """Return if a launch without an image of its own can be expected to start.

        Raises:
            ExecutorUnavailable: the executor's own image is not there.
            Unavailable: the engine does not answer.
        """

    def start(self, launch: Launch) -> Run:
        """Start the script and return when it runs.

        From here the run needs nobody: it goes on, its console and its exit status are kept, whatever happens to the
        caller. Standard input is empty. Of the caller's variables the script gets none that it was not given, save
        those that describe the machine.

        Raises:
            AlreadyExists: there is a run in this run directory.
            InvalidRequest: an argument or variable cannot be handed to any program, being longer than 128 KiB or
                holding a NUL. (Parameters travel in a file and know no such limit.)
            ExecutorUnavailable: the program, the image or a device is not there. Nothing was left behind.
            Unavailable: the engine does not answer; trying later may help.
            NoSpace: the disk is full.
        """

    def find(self, run_directory: Path) -> Run | None:
        """Return the run that was started for this directory, running or ended, or None where none ever ran.

        A start that its caller did not live to see is finished or undone by now: None means that it is safe to start.

        Raises:
            Unavailable: the engine does not answer.
        """

    def poll(self, run: Run) -> Exit | None:
        """Return None while the attempt runs, else how it ended; never raise for a run that is gone.

        A run that vanished without leaving its status is `ExitReason.LOST`, and processes of it may be left: call
        `kill`. Otherwise its whole tree is dead when this answers. After `terminate` or `kill` every end is `STOPPED`;
        memory that ran out is `OUT_OF_MEMORY`, whatever the code; then a code of 0 is `COMPLETED`.

        Raises:
            Unavailable: the engine does not answer, so nothing is known.
        """

    def wait(self, run: Run, *, timeout_seconds: float) -> Exit | None:
        """Poll, but return only when the run has ended or the time is over; the end is noticed at once.

        Raises:
            Unavailable: the engine does not answer when the time is over.
        """

    def terminate(self, run: Run) -> None:
        """Ask the script to end (SIGTERM to its first process alone); nothing happens to a run that is gone.

        Raises:
            Unavailable: the engine does not answer.
        """

    def kill(self, run: Run) -> tuple[int, ...]:
        """Kill the whole tree, also what daemonised, and return the process ids that are alive in spite of it.

        Empty but for processes stuck in the kernel: then the GPUs of the run are not free. Harmless, and quick, for a
        run that has ended. The exit status follows: see `wait`.

        Raises:
            Unavailable: the engine does not answer.
        """

    def clean(self, run: Run) -> None:
        """Forget an ended run: container, control groups and the executor's own files. The console stays.

        Raises:
            Unavailable: the engine does not answer.
        """


def check(launch: Launch) -> None:
    """Refuse what no kernel hands to a program.

    Raises:
        InvalidRequest: an argument or variable is too long or holds a NUL, or a variable's name is none.
    """
    variables = (f"{name}={value}" for name, value in launch.variables.items())
    for kind, text in [*(("argument", text) for text in launch.argv), *(("variable", text) for text in variables)]:
        shown = text[:40]
        if "\0" in text:
            raise InvalidRequest(f"The {kind} {shown!r} holds a NUL, which no program can be given.")
        if len(os.fsencode(text)) >= _LONGEST_ARGUMENT:
            raise InvalidRequest(
                f"The {kind} {shown!r}… has {len(os.fsencode(text)):,} bytes; {_LONGEST_ARGUMENT - 1:,} are the most.",
                hint="Make it a parameter of the task: parameters travel in a file.",
            )
    for name in launch.variables:
        if not name or "=" in name:
            raise InvalidRequest(f"{name!r} cannot be the name of a variable.")


def request_stop(run_directory: Path) -> None:
    """Note that the end of this run is our doing, for whoever reads its status later."""
    if run_directory.is_dir():
        (run_directory / _STOP_MARK).touch()


def stop_was_requested(run_directory: Path) -> bool:
    """Say whether `request_stop` was called for this run."""
    return (run_directory / _STOP_MARK).exists()


def forget_stop(run_directory: Path) -> None:
    """Remove the note of `request_stop`."""
    (run_directory / _STOP_MARK).unlink(missing_ok=True)


def ended(run: Run, *, code: int, ended_at: datetime, out_of_memory: bool) -> Exit:
    """Tell the reasons of an end apart.

    Args:
        run: the run.
        code: exit status, 128 + n for signal n.
        ended_at: when the script ended.
        out_of_memory: whether the kernel killed a process of the run for memory.
    """
    stopped = stop_was_requested(run.run_directory)
    reason, message = ExitReason.SCRIPT_FAILED, _describe(code)
    if stopped:
        reason = ExitReason.STOPPED
    elif out_of_memory:
        reason, message = ExitReason.OUT_OF_MEMORY, "The kernel killed a process of the script: memory ran out."
    elif code == 0:
        reason, message = ExitReason.COMPLETED, None
    elif code == _UNCAUGHT:
        message = _uncaught(run.run_directory / CONSOLE) or message
    # An engine notes the end of the shortest scripts before their start.
    ended_at = max(ended_at, run.started_at)
    return Exit(code=code, reason=reason, message=message, started_at=run.started_at, ended_at=ended_at)


def lost(run: Run, *, message: str) -> Exit:
    """Tell of a run that vanished; its end is when that was noticed."""
    return Exit(
        code=None,
        reason=ExitReason.LOST,
        message=message,
        started_at=run.started_at,
        ended_at=datetime.now(tz=UTC),
    )


def _uncaught(console: Path) -> str | None:
    """Return the line of the exception that a console ends with, as a run by hand would tell it."""
    lines: list[str] = []
    with suppress(OSError), console.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    if _TRACEBACK in lines:
        last = len(lines) - lines[::-1].index(_TRACEBACK)
        # Frames are indented. Further lines of the exception's own text and what was printed at exit may come after it,
        # but not much: else the script caught and printed it, and went on.
        at = next((at for at in range(last, len(lines)) if lines[at] and not lines[at][0].isspace()), None)
        if at is None or len(lines) - at > _AFTERWARDS_LINES or not _EXCEPTION.fullmatch(lines[at]):
            return None
        return lines[at][:_MESSAGE_LENGTH]
    return next((line[:_MESSAGE_LENGTH] for line in reversed(lines) if _SYNTAX_ERROR.fullmatch(line)), None)


def _describe(code: int) -> str | None:
    if code == 0:
        return None
    if code > _SIGNALS_FROM and code - _SIGNALS_FROM in set(signal.Signals):
        return f"The script was ended by {signal.Signals(code - _SIGNALS_FROM).name}."
    note = ": a program was not found" if code == _NOT_FOUND else ""
    return f"The script ended with exit code {code}{note}."
