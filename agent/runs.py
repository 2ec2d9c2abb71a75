"""Run directories: all that a node knows of an attempt, so that any supervisor can go on from there.

agent/runs/<task id>-<attempt>/
    claim.json    the claim with the attempt's token (0600)
    state.json    how far it has come
    lock          held by the supervisor that follows it
    log           what the supervisors had to say
    console       what the script printed, with our lines about its preparation before it
    console.offset  how much of that the server has
    source/       the source tree
    attempt/      what the script sees: socket, task.json
    spool/        writes that the server has still to get
    set-aside     those at which it failed again and again
    start.json, exit.json   the executor's
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from contextlib import suppress
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from agent.locks import ProcessLock
from orchestrator.records.base import Moment, Record
from orchestrator.records.task import ExitReason
from orchestrator.wire import Claim

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]{32}-\d+")
_SOCKET_PATH_BYTES = 107
"""`sun_path` of unix(7) less its closing NUL."""


class Phase(StrEnum):
    """How far an attempt has come on this node. Nothing of the user's has run before `starting`."""

    CLAIMED = "claimed"
    SOURCE = "source"
    ENVIRONMENT = "environment"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"  # it ended; the server has still to hear of it
    FINISHED = "finished"


class Ending(Record):
    """How it ended, as the server is told."""

    reason: ExitReason
    exit_code: int | None = None
    message: str | None = None


class RunState(Record):
    """What a supervisor that takes over must know."""

    phase: Phase = Phase.CLAIMED
    commit: str | None = None
    """The one that its source was rebuilt from."""
    environment: str | None = None
    """Key of the environment."""
    environment_reused: bool | None = None
    started_at: Moment | None = None
    stop_requested: bool = False
    ending: Ending | None = None


class RunDirectory:
    """The directory of one attempt.

    Args:
        path: `<runs>/<task id>-<attempt>`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = ProcessLock(path / "lock")

    def __str__(self) -> str:
        return self.path.name

    @classmethod
    def create(cls, runs: Path, claim: Claim) -> RunDirectory:
        """Make the directory of a claim. It is in its place with the claim in it, or not at all."""
        final = runs / f"{claim.task.id}-{claim.attempt.number}"
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=runs))
        run = cls(made)
        try:
            run.attempt.mkdir()
            _write(run.claim_file, claim.model_dump_json())
            _write(run.state_file, RunState().model_dump_json())
            made.rename(final)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        return cls(final)

    @property
    def claim_file(self) -> Path:
        """The claim, with the attempt's token."""
        return self.path / "claim.json"

    @property
    def state_file(self) -> Path:
        """How far it has come."""
        return self.path / "state.json"

    @property
    def console(self) -> Path:
        """What the script prints."""
        return self.path / "console"

    @property
    def source(self) -> Path:
        """The source tree."""
        return self.path / "source"

    @property
    def attempt(self) -> Path:
        """What the script may see of the directory."""
        return self.path / "attempt"

    @property
    def task_file(self) -> Path:
        """The claim without the token, for the script."""
        return self.attempt / "task.json"

    @property
    def spool(self) -> Path:
        """Writes that the server has still to get."""
        return self.path / "spool"

    @property
    def set_aside(self) -> Path:
        """Writes at which the server failed again and again."""
        return self.path / "set-aside"

    @property
    def socket(self) -> Path:
        """Where the script reaches the supervisor.

        In the attempt's own directory, or where that path is too long for a unix socket in a private directory of
        /tmp; the same for every supervisor that follows the run.
        """
        path = self.attempt / "socket"
        if len(bytes(path)) <= _SOCKET_PATH_BYTES:
            return path
        digest = blake2b(bytes(self.path), digest_size=8).hexdigest()
        return Path(f"/tmp/retrain-{os.getuid()}-{digest}/socket")  # noqa: S108  TMPDIR may change; the owner is checked

    def claim(self) -> Claim:
        """Read the claim."""
        return Claim.model_validate_json(self.claim_file.read_bytes())

    def state(self) -> RunState:
        """Read how far it has come."""
        return RunState.model_validate_json(self.state_file.read_bytes())

    def ended(self) -> bool:
        """Tell whether nothing is left to do; so it is for one whose files a crash of the machine has damaged."""
        try:
            if self.state().phase is not Phase.FINISHED:
                self.claim()
                return False
        except (OSError, ValueError):
            logger.warning("%s cannot be read", self.path, extra={"action": "run_unreadable"})
        return True

    def save(self, state: RunState) -> None:
        """Write how far it has come, whole or not at all."""
        _write(self.state_file, state.model_dump_json())

    def console_offset(self) -> int:
        """Return how many bytes of the console the server has."""
        try:
            return int((self.path / "console.offset").read_text())
        except FileNotFoundError:
            return 0

    def save_console_offset(self, offset: int) -> None:
        """Write how many bytes of the console the server has."""
        _write(self.path / "console.offset", str(offset))

    def say(self, text: str) -> None:
        """Append a line of ours to the console."""
        with self.console.open("ab", buffering=0) as console:
            console.write(f"retrain: {text}\n".encode())

    def remove_socket(self) -> None:
        """Remove the socket, and its directory where it has one of its own."""
        self.socket.unlink(missing_ok=True)
        if self.socket.parent != self.attempt:
            remove_tree(self.socket.parent)

    def strip(self) -> None:
        """Remove what nobody needs after the end: source, socket, token, spool. The rest stays."""
        self.claim_file.unlink(missing_ok=True)
        self.remove_socket()
        for directory in (self.attempt, self.spool, self.source):
            remove_tree(directory)


def unfinished(runs: Path) -> Iterator[RunDirectory]:
    """Return the runs in this directory whose end the server has still to hear of, oldest first."""
    for path in sorted(runs.iterdir()):
        if _NAME.fullmatch(path.name):
            run = RunDirectory(path)
            if not run.ended():
                yield run


def environments_in_use(runs: Path) -> set[str]:
    """Return the keys of the environments in which runs of this directory may go on.

    A run notes its environment before anything runs in it, and is unfinished until nothing does.
    """
    found: set[str | None] = set()
    for run in unfinished(runs):
        with suppress(FileNotFoundError):  # it has ended, and been cleaned away, this moment
            found.add(run.state().environment)
    return {key for key in found if key is not None}


def clean(runs: Path, *, kept: int) -> None:
    """Remove what ended runs have left behind, and what a clean-up that was cut off has left.

    Args:
        runs: the directory of all runs.
        kept: how many ended ones keep their console and states.
    """
    ended = []
    for path in runs.iterdir():
        if path.name.startswith(".gone-"):
            shutil.rmtree(path, ignore_errors=True)
        elif _NAME.fullmatch(path.name):
            run = RunDirectory(path)
            if run.ended() and run.lock.holder() is None:
                ended.append((path.stat().st_mtime, run))
    ended.sort(key=lambda pair: pair[0], reverse=True)
    for _, run in ended[:kept]:
        if run.claim_file.exists():
            run.strip()
    for _, run in ended[kept:]:
        remove_tree(run.path)


def remove_tree(path: Path) -> None:
    """Remove a directory; it is renamed away first, so that nobody ever sees half of it."""
    gone = path.with_name(f".gone-{path.name}-{os.urandom(4).hex()}")
    try:
        path.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.rename(path)
