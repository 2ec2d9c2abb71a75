"""Where an environment is built: the protocol, and this machine itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from orchestrator.errors import EnvironmentFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

KEPT_LINES = 400
"""So many last lines of what a build printed are kept: enough for a compiler's complaint, small for any build."""

DESCRIPTION = """
import json, os, platform, sys, sysconfig
print(json.dumps({
    "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
    "version": platform.python_version(),
    "implementation": sys.implementation.name,
    "platform": sysconfig.get_platform(),
}))
"""
"""A program that describes the interpreter that runs it, as one line of JSON: the fields of `Interpreter`."""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python that environments are built on."""

    executable: str
    """Absolute path where the toolchain runs, links resolved."""
    version: str
    """Full version: `3.11.7`."""
    implementation: str
    """As `sys.implementation.name` has it: `cpython`."""
    platform: str
    """As `sysconfig.get_platform` names it: `linux-x86_64`."""

    @property
    def minor(self) -> str:
        """Major and minor version, which decide what wheels fit: `3.11`."""
        return minor(self.version)

    @classmethod
    def parse(cls, text: str) -> Interpreter:
        """Read one line of JSON that `DESCRIPTION` printed or `text` made."""
        fields = json.loads(text)
        return cls(**{name: str(fields[name]) for name in cls.__dataclass_fields__})

    def text(self) -> str:
        """Return the line of JSON that `parse` reads."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Work:
    """Commands that run one after another until one fails, and what they may touch."""

    commands: tuple[tuple[str, ...], ...]
    variables: Mapping[str, str]
    writable: tuple[Path, ...]
    """Directories that they write to; elsewhere a toolchain may refuse."""
    readable: tuple[Path, ...] = ()
    """Further files and directories that they need to see, at the same path."""
    keep_open: tuple[int, ...] = ()
    """Descriptors of locks that shall last as long as processes of this machine that do the work."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How work ended."""

    code: int
    """0, or the status of the command that failed."""
    lines: tuple[str, ...]
    """The last `KEPT_LINES` lines that it printed."""


class Toolchain(Protocol):
    """A place with an interpreter where commands run, on paths that are the same everywhere."""

    def base(self) -> str:
        """Return what the interpreter stands on, cheaply: the id of an image, or nothing for the machine itself.

        Raises:
            ExecutorUnavailable: there is no such image.
            Unavailable: the engine does not answer.
        """

    def stamp(self, executable: str) -> str:
        """Return a text that changes when the interpreter is replaced; empty when it is gone. Costs microseconds."""

    def describe(self, python: str, *, implementation: str) -> Interpreter:
        """Find the interpreter nearest to a version; may start processes.

        Args:
            python: full version, such as `3.11.7`.
            implementation: `cpython`, `pypy`.

        Returns:
            One of that version if there is, else another of the same major and minor.

        Raises:
            EnvironmentFailed: there is none; the message names those that there are.
        """

    def run(self, work: Work, *, on_line: Callable[[str], None]) -> Outcome:
        """Do the work and pass on each line that it prints; a command that fails is an outcome, no exception."""


def minor(version: str) -> str:
    """Return major and minor of a full version."""
    return ".".join(version.split(".")[:2])


def nearest(found: Sequence[Interpreter], *, python: str, implementation: str, place: str) -> Interpreter:
    """Return the interpreter of that very version, or the first of its minor version.

    Raises:
        EnvironmentFailed: none fits; the message names those at `place`.
    """
    fitting = [one for one in found if one.implementation == implementation and one.minor == minor(python)]
    if not fitting:
        there = ", ".join(f"{one.implementation} {one.version}" for one in found) or "none"
        raise EnvironmentFailed(
            f"The task ran on {implementation} {python}; on {place} there is {there}.",
            hint=f"Install Python {minor(python)} there, run the task in an image that has it, "
            "or start the reference task again on a version that is there.",
        )
    return next((one for one in fitting if one.version == python), fitting[0])


class HostToolchain:
    """Builds on this machine, for runs that are processes of it."""

    def base(self) -> str:
        """See `Toolchain.base`."""
        return ""

    def stamp(self, executable: str) -> str:
        """See `Toolchain.stamp`."""
        try:
            status = os.stat(executable)  # noqa: PTH116  on the path of every hit; a Path costs more than the call
        except FileNotFoundError:
            return ""
        return f"{status.st_size}-{status.st_mtime_ns}"

    def describe(self, python: str, *, implementation: str) -> Interpreter:
        """See `Toolchain.describe`. Looks at the agent's own, `PATH`, pyenv's and uv's, and installs none."""
        found: dict[str, Interpreter] = {}
        for candidate in _candidates(python, implementation=implementation):
            described = _described(candidate)
            if described is not None:
                found.setdefault(described.executable, described)
                if (described.implementation, described.version) == (implementation, python):
                    break
        return nearest(tuple(found.values()), python=python, implementation=implementation, place="this machine")

    def run(self, work: Work, *, on_line: Callable[[str], None]) -> Outcome:
        """See `Toolchain.run`."""
        lines: deque[str] = deque(maxlen=KEPT_LINES)
        for command in work.commands:
            with subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(work.variables),
                cwd="/",
                pass_fds=work.keep_open,
                start_new_session=True,
                text=True,
                errors="replace",
            ) as process:
                try:
                    for line in process.stdout or ():
                        lines.append(line.rstrip())
                        on_line(line.rstrip())
                except BaseException:
                    os.killpg(process.pid, signal.SIGKILL)  # with the compilers that uv started
                    raise
            if process.returncode != 0:
                return Outcome(code=process.returncode, lines=tuple(lines))
        return Outcome(code=0, lines=tuple(lines))


def _candidates(python: str, *, implementation: str) -> Iterator[str]:
    name = ("python" if implementation == "cpython" else implementation) + minor(python)
    yield sys.executable
    # A shim of pyenv answers for the version that its configuration selects, or not at all; the versions follow below.
    folders = [Path(entry) for entry in os.get_exec_path() if not entry.endswith("/.pyenv/shims")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    managed = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")
    for versions in (pyenv, managed):
        folders.extend(sorted(versions.glob("*/bin"), reverse=True))
    yield from _distinct(folder / name for folder in folders)


def _distinct(paths: Iterable[Path]) -> Iterator[str]:
    seen = set()
    for path in paths:
        real = path.resolve()
        if real not in seen and os.access(real, os.X_OK):
            seen.add(real)
            yield str(path)


def _described(executable: str) -> Interpreter | None:
    command = [executable, "-I", "-c", DESCRIPTION]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None  # what does not run here (another machine's binary, a broken installation) is no candidate
    return Interpreter.parse(answer.stdout)
