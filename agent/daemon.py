"""The agent: registers, keeps one worker for each slot, says that it is there.

It has no thread and nothing of it is needed by a run: workers are forked from it with everything loaded, supervisors
outlive it, and what they left unfinished is taken over by the workers of the next agent in the same home.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import time
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from agent.api import AgentApi
from agent.forks import end_with_parent, fork
from agent.locks import ProcessLock
from agent.patience import SERVER_AWAY
from agent.runs import clean
from agent.tools import make_tools
from agent.worker import Worker, serve
from orchestrator.errors import AlreadyExists, NotFound, OrchestratorError
from orchestrator.wire import RegisterAgent

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.settings import AgentSettings
    from agent.tools import Tools
    from orchestrator.records.agent import Slot

logger = logging.getLogger(__name__)

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
_LOCK_SECONDS = 3.0
_CLEAN_SECONDS = 20.0
_AWAY_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_LIVED_LONG_SECONDS = 60.0


@dataclass
class _Seat:
    """A slot and the process that serves it, or the time at which it gets the next one."""

    slot: Slot
    pid: int | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    pause_seconds: float = _FIRST_PAUSE_SECONDS


class Stop(Exception):
    """SIGTERM or SIGINT came."""


def run_agent(settings: AgentSettings, *, ready: Callable[[], None] | None = None) -> None:
    """Be an agent until SIGTERM or SIGINT. Call it from the main thread of a process that has no other.

    Args:
        settings: what it works for and with.
        ready: called once, when it is registered and takes work.

    Raises:
        AlreadyExists: an agent runs in this home already.
        ExecutorUnavailable, Unavailable: the engine or its image is not there.
        OrchestratorError: the server does not take it.
    """
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    lock = ProcessLock(settings.directory / "lock")
    try:
        tools = make_tools(settings)
        _lock_home(lock, settings=settings)
        tools.executor.ready()
        _Daemon(tools).run(ready)
    except Stop:
        logger.info("agent ended", extra={"action": "agent_ended"})
    finally:
        lock.release()
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


class _Daemon:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._settings = tools.settings
        self._api = AgentApi(tools.settings.url, tools.settings.token)
        self._seats = [_Seat(slot=slot) for slot in tools.settings.slots]
        self._agent_id = ""
        self._seen_at = 0.0
        self._clean_at = 0.0
        self._cleaner: int | None = None

    def run(self, ready: Callable[[], None] | None) -> None:
        self._register()
        gc.collect()
        gc.freeze()  # what is loaded stays on pages that all processes share
        try:
            self._fill_seats()
            logger.info("agent ready", extra={"action": "agent_ready", "agent_id": self._agent_id})
            if ready is not None:
                ready()
            while True:
                self._tend()
                _pause(self._next_due())
                self._collect()
        finally:
            self._end_workers()

    def _register(self) -> None:
        """Register, for as long as it takes until the server is there."""
        said = False
        while True:
            try:
                agent = self._api.register(
                    RegisterAgent(
                        name=self._settings.agent_name(),
                        hostname=socket.gethostname(),
                        version=version("retrain-orchestrator"),
                        executor=self._settings.executor,
                        slots=self._settings.slots,
                    )
                )
            except SERVER_AWAY as error:
                if not said:
                    logger.warning("waiting for the server: %s", error, extra={"action": "server_away"})
                    said = True
                _pause(_AWAY_SECONDS)
            else:
                break
        self._agent_id = agent.id
        self._seen_at = time.monotonic()

    def _tend(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if now >= self._seen_at + self._settings.heartbeat_seconds:
            self._seen_at = now
            self._say_seen()
        if now >= self._clean_at and self._cleaner is None:
            self._clean_at = now + _CLEAN_SECONDS
            self._cleaner = fork(self._clean)
        self._fill_seats()

    def _say_seen(self) -> None:
        try:
            self._api.seen(self._agent_id)
        except NotFound:
            logger.warning("the server does not know this agent, registering again", extra={"action": "agent_unknown"})
            self._register()
            for seat in self._seats:  # their agent is gone
                if seat.pid is not None:
                    os.kill(seat.pid, signal.SIGTERM)
        except OrchestratorError as error:
            logger.info("heartbeat failed: %s", error, extra={"action": "agent_heartbeat_failed"})

    def _clean(self) -> int:
        os.nice(10)
        clean(self._settings.runs, kept=self._settings.kept_runs)
        self._tools.environments.evict()
        return 0

    def _fill_seats(self) -> None:
        now = time.monotonic()
        for seat in self._seats:
            if seat.pid is None and seat.due_at <= now:
                seat.started_at = now
                seat.pid = fork(partial(self._serve, seat.slot, parent=os.getpid()))

    def _serve(self, slot: Slot, *, parent: int) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        end_with_parent(parent)
        self._api.close()
        return serve(Worker(slot, agent_id=self._agent_id, tools=self._tools, api=self._api))

    def _collect(self) -> None:
        """Collect children that have ended and have their seats filled again; soon the first time, then later."""
        while (ended := _ended_child()) is not None:
            if ended == self._cleaner:
                self._cleaner = None
            for seat in self._seats:
                if seat.pid == ended:
                    now = time.monotonic()
                    long = now - seat.started_at > _LIVED_LONG_SECONDS
                    seat.pause_seconds = (
                        _FIRST_PAUSE_SECONDS if long else min(2 * seat.pause_seconds, _LONGEST_PAUSE_SECONDS)
                    )
                    seat.pid, seat.due_at = None, now + seat.pause_seconds
                    logger.warning("the worker of slot %s ended", seat.slot.name, extra={"action": "worker_ended"})

    def _next_due(self) -> float:
        """Return how many seconds nothing is due."""
        due = [self._seen_at + self._settings.heartbeat_seconds, self._clean_at]
        due += [seat.due_at for seat in self._seats if seat.pid is None]
        return max(0.0, min(due) - time.monotonic())

    def _end_workers(self) -> None:
        """End the workers, and with them the runs where that is wanted, and wait for them."""
        pids = {seat.pid for seat in self._seats if seat.pid is not None}
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        if self._cleaner is not None:
            pids.add(self._cleaner)
            os.kill(self._cleaner, signal.SIGTERM)
        for pid in pids:
            os.waitpid(pid, 0)


def _lock_home(lock: ProcessLock, *, settings: AgentSettings) -> None:
    give_up = time.monotonic() + _LOCK_SECONDS
    while not lock.acquire():
        if time.monotonic() > give_up:
            raise AlreadyExists(
                f"An agent runs in {settings.home} already (process {lock.holder()}).",
                hint="Give the second one a home of its own: --home DIR or RETRAIN_HOME.",
            )
        _pause(_FIRST_PAUSE_SECONDS)


def _pause(seconds: float) -> None:
    """Wait until a child ends, at most for so long; raise `Stop` at the signals that end the agent."""
    received = signal.sigtimedwait(_SIGNALS, seconds)
    if received is not None and received.si_signo != signal.SIGCHLD:
        raise Stop


def _ended_child() -> int | None:
    try:
        pid, _ = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return pid or None
