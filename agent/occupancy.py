"""The runs that occupy a slot: started here, or taken over from an agent that is gone."""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.forks import fork
from agent.runs import RunDirectory, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.wire import Claim

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0


@dataclass
class _Followed:
    """A run, and the supervisor that follows it or the time at which it gets the next one."""

    run: RunDirectory
    pid: int = 0
    descriptor: int | None = None
    supervisors: int = 0
    """How many it has had from us."""
    due_at: float = 0.0


class Occupancy:
    """Starts supervisors and notices their end at once, without a thread and without polling.

    Args:
        runs: the directory of all runs of the agent.
        mine: tells whether a claim belongs to the slot.
        supervise: what a supervisor does, in the process forked for it.
    """

    def __init__(self, runs: Path, *, mine: Callable[[Claim], bool], supervise: Callable[[RunDirectory], int]) -> None:
        self._runs = runs
        self._mine = mine
        self._supervise = supervise
        self._followed: list[_Followed] = []
        self._ending = False

    def busy(self) -> bool:
        """Whether a run occupies the slot."""
        return bool(self._followed)

    def begin(self, claim: Claim) -> None:
        """Start an attempt."""
        self._follow(_Followed(run=RunDirectory.create(self._runs, claim)))

    def take_over(self) -> None:
        """Follow what other processes have begun and not finished."""
        known = {followed.run.path for followed in self._followed}
        for run in unfinished(self._runs):
            if run.path not in known and self._mine(run.claim()):
                logger.info("run taken over: %s", run, extra={"action": "run_adopted", "run": str(run)})
                self._follow(_Followed(run=run))

    def wait(self, seconds: float) -> None:
        """Wait until a supervisor ends or is due to get its successor, at most for so long. Changes nothing."""
        poll = select.poll()
        for followed in self._followed:
            if followed.descriptor is not None:
                poll.register(followed.descriptor, select.POLLIN)
            else:
                seconds = min(seconds, max(0, followed.due_at - time.monotonic()))
        poll.poll(seconds * 1000)

    def attend(self) -> None:
        """Collect supervisors that have ended; a run that has not gets the next one when it is due."""
        poll = select.poll()
        for followed in self._followed:
            if followed.descriptor is not None:
                poll.register(followed.descriptor, select.POLLIN)
        ended = {descriptor for descriptor, _ in poll.poll(0)}
        for followed in list(self._followed):
            if followed.descriptor in ended:
                self._collect(followed)
            elif followed.descriptor is None and followed.due_at <= time.monotonic():
                self._start(followed)

    def end(self, number: signal.Signals) -> None:
        """Send a signal to every supervisor, and start none any more."""
        self._ending = True
        for followed in list(self._followed):
            if followed.descriptor is None:
                self._followed.remove(followed)
                continue
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(followed.descriptor, number)

    def forget(self) -> None:
        """Let go of the descriptors, in a child that has nothing to do with them."""
        for followed in self._followed:
            if followed.descriptor is not None:
                os.close(followed.descriptor)
        self._followed.clear()

    def _follow(self, followed: _Followed) -> None:
        self._followed.append(followed)
        self._start(followed)

    def _start(self, followed: _Followed) -> None:
        """Watch the supervisor that the run has, or start one."""
        holder = followed.run.lock.holder()
        if holder is not None:
            followed.pid = holder
        else:
            followed.supervisors += 1
            followed.pid = fork(lambda: self._become_supervisor(followed.run))
        try:
            followed.descriptor = os.pidfd_open(followed.pid)
        except ProcessLookupError:  # the holder ended meanwhile; an own child stays until it is collected
            self._again(followed)

    def _become_supervisor(self, run: RunDirectory) -> int:
        self.forget()
        return self._supervise(run)

    def _collect(self, followed: _Followed) -> None:
        """A supervisor has ended: with the run, or before it."""
        if followed.descriptor is not None:
            os.close(followed.descriptor)
            followed.descriptor = None
        try:
            os.waitpid(followed.pid, 0)
        except ChildProcessError:
            logger.debug("the supervisor was no child of ours", extra={"action": "supervisor_ended"})
        if self._ending or followed.run.ended():
            self._followed.remove(followed)
        else:
            self._again(followed)

    def _again(self, followed: _Followed) -> None:
        """Have a supervisor started: the next almost at once, later ones after growing pauses."""
        logger.warning("the supervisor of %s is gone", followed.run, extra={"action": "supervisor_lost"})
        pause_seconds = _FIRST_PAUSE_SECONDS * 2 ** min(followed.supervisors - 1, 10)
        followed.due_at = time.monotonic() + min(pause_seconds, _LONGEST_PAUSE_SECONDS)
