"""One attempt, from its claim to its last spooled byte.

A supervisor is a process of its own that outlives the agent, and may be killed itself: the run directory says how far
the attempt has come, and the next supervisor goes on from there. It has a single thread until the script runs, so that
the script's parent can be forked from it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from agent.api import AttemptApi
from agent.deliveries import Deliveries
from agent.execution.tree import descendants
from agent.forks import detach
from agent.forwarder import Forwarder
from agent.heart import REFUSALS, Heart
from agent.monitor import Monitor
from agent.node_data import NodeData
from agent.patience import SERVER_AWAY, patiently
from agent.preparation import Preparation
from agent.runs import Ending, Phase
from agent.shipper import ConsoleShipper
from agent.spool import Spool
from agent.upstream import Upstream
from orchestrator.errors import OrchestratorError, Unavailable
from orchestrator.records.task import ExitReason

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from agent.environment import Environment, Hold
    from agent.execution.base import Exit, Run
    from agent.runs import RunDirectory
    from agent.tools import Tools

logger = logging.getLogger(__name__)

T = TypeVar("T")

_WAIT_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_ENGINE_PATIENCE_SECONDS = 10.0
LAST_WORDS_SECONDS = 5.0
"""How long an agent that ends with its runs tries to tell the server of them."""


class Cause(StrEnum):
    """Why a run is ended from outside."""

    STOP = "stop"  # someone asked for it
    REFUSAL = "refusal"  # the attempt owns its task no more
    SILENCE = "silence"  # the server was away for too long
    AGENT = "agent"  # the agent ends, and its runs with it


_GRAVITY = (Cause.STOP, Cause.AGENT, Cause.SILENCE, Cause.REFUSAL)


class Interrupted(BaseException):
    """Ends a preparation from a signal handler; not an Exception, so that nothing on the way takes it for a failure."""


class Supervisor:
    """Follows one attempt.

    Args:
        run: its directory.
        tools: the node's.
    """

    def __init__(self, run: RunDirectory, *, tools: Tools) -> None:
        settings = tools.settings
        self._run = run
        self._tools = tools
        self._claim = run.claim()
        self._state = run.state()
        self._state_lock = threading.Lock()
        self._api = AttemptApi(settings.url, self._claim)
        self._heart = Heart(
            self._api.heartbeat,
            interval_seconds=self._claim.heartbeat_seconds,
            orphan_timeout_seconds=settings.orphan_timeout_seconds,
            on_stop=lambda: self._end(Cause.STOP),
            on_refusal=lambda _: self._end(Cause.REFUSAL),
            on_silence=lambda: self._end(Cause.SILENCE),
        )
        upstream = Upstream(settings.url, self._claim.token)
        self._deliveries = Deliveries(upstream, Spool(run.spool), set_aside=run.set_aside)
        self._shipper = ConsoleShipper(run, put=lambda data, offset: self._api.put_console(data, offset=offset))
        self._monitor = Monitor(
            run.path,
            task_id=self._claim.task.id,
            interval_seconds=settings.monitor_seconds,
            submit=self._deliveries.submit,
        )
        self._data = NodeData(
            settings.home / "cache",
            run=run,
            client=self._api.client,
            links=settings.links,
            patience_seconds=settings.orphan_timeout_seconds,
        )
        self._forwarder = Forwarder(
            run.socket,
            task_id=self._claim.task.id,
            upstream=upstream,
            deliveries=self._deliveries,
            local_data=self._data,
        )
        self._cause: Cause | None = None
        self._agent_ended_at: float | None = None
        self._preparing = False
        self._handle: Run | None = None
        self._hold: Hold | None = None
        self._lock_to_store: bytes | None = None
        self._over = threading.Event()

    def supervise(self) -> None:
        """Go on from where the attempt stands to its end."""
        signal.signal(signal.SIGTERM, self._on_agent_end)
        signal.signal(signal.SIGUSR1, self._on_interrupt)
        signal.signal(signal.SIGALRM, lambda *_: self._heart.start())
        phase = self._state.phase
        logger.info("supervising from %s", phase, extra={"action": "run_supervised", "run": str(self._run)})
        if phase in {Phase.CLAIMED, Phase.SOURCE, Phase.ENVIRONMENT}:
            if phase is not Phase.CLAIMED:
                self._heart.start()  # the lease has waited for this supervisor already
            ending = self._begin()
        elif phase in {Phase.STARTING, Phase.RUNNING}:
            ending = self._resume()
        else:
            ending = self._state.ending
        self._over.set()
        self._monitor.stop()
        if self._cause in {Cause.REFUSAL, Cause.SILENCE} or ending is None:
            self._note(phase=Phase.FINISHED, ending=ending)
        else:
            self._report(ending)
        self._clean()

    def _begin(self) -> Ending | None:
        """Prepare, start and follow; return how it ended, None when nobody wants to know."""
        preparation = Preparation(run=self._run, claim=self._claim, api=self._api, tools=self._tools)
        # A preparation that takes long needs a heartbeat, and so a thread; the usual one is over before.
        signal.setitimer(signal.ITIMER_REAL, self._claim.heartbeat_seconds)
        try:
            self._preparing = True
            self._note(phase=Phase.SOURCE)
            commit = preparation.source()
            self._note(phase=Phase.ENVIRONMENT, commit=commit)
            self._heart.tell(commit=commit)
            environment = preparation.environment()
            launch = preparation.launch(environment)
            self._keep(environment)
            self._preparing = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._save(phase=Phase.STARTING)  # without it a successor would start the script again
            self._handle = patiently(
                lambda: self._tools.executor.start(launch), seconds=_ENGINE_PATIENCE_SECONDS, errors=(Unavailable,)
            )
        except Interrupted:
            return self._interrupted()
        except REFUSALS:
            self._cause = Cause.REFUSAL
            return None
        except Exception as error:  # whatever it was, it is not the script's fault
            logger.warning("the attempt could not be started", exc_info=True, extra={"action": "start_failed"})
            with suppress(OSError):  # the disk may be what failed
                self._run.say(f"the script was not started: {error}")
            return Ending(reason=ExitReason.INFRASTRUCTURE, message=str(error))
        finally:
            self._preparing = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        self._note(phase=Phase.RUNNING, started_at=self._handle.started_at)
        return self._follow(self._handle)

    def _resume(self) -> Ending | None:
        """Find the run that another supervisor started, and follow it."""
        self._heart.start()
        self._handle = patiently(
            lambda: self._tools.executor.find(self._run.path),
            seconds=self._tools.settings.orphan_timeout_seconds,
            errors=(Unavailable,),
        )
        if self._handle is None:
            if self._state.phase is Phase.STARTING:
                return self._begin()
            return Ending(reason=ExitReason.LOST, message="The run is gone without having left its exit status.")
        if self._state.environment is not None:
            self._hold = self._tools.environments.hold(self._state.environment)
        self._note(phase=Phase.RUNNING, started_at=self._handle.started_at)
        return self._follow(self._handle)

    def _follow(self, handle: Run) -> Ending | None:
        """Wait for the end while threads extend the lease, ship the console and serve the script."""
        self._heart.tell(
            executor=self._tools.executor.name,
            environment=self._state.environment,
            environment_reused=self._state.environment_reused,
            commit=self._state.commit,
            started_at=handle.started_at,
        )
        self._heart.start()
        self._forwarder.start()
        self._deliveries.start()
        self._shipper.start()
        self._monitor.start(started_at=handle.started_at.timestamp())
        self._store_lock()
        if self._cause is not None:
            self._start_ending(handle, self._cause)
        elif self._state.stop_requested:
            self._end(Cause.STOP)
        while True:
            try:
                ended = self._tools.executor.wait(handle, timeout_seconds=_WAIT_SECONDS)
            except Unavailable as error:
                logger.warning("%s", error, extra={"action": "engine_away"})
                time.sleep(1)
                continue
            if ended is not None:
                break
        if ended.reason is ExitReason.LOST:
            self._tools.executor.kill(handle)
        return None if self._cause in {Cause.REFUSAL, Cause.SILENCE} else self._ending(ended)

    def _ending(self, ended: Exit) -> Ending:
        if ended.reason is ExitReason.STOPPED and not self._state.stop_requested:
            return Ending(reason=ExitReason.LOST, exit_code=ended.code, message="The agent ended it.")
        return Ending(reason=ended.reason, exit_code=ended.code, message=ended.message)

    def _interrupted(self) -> Ending | None:
        if self._cause is Cause.STOP:
            self._run.say("stopped before the script was started")
            return Ending(reason=ExitReason.STOPPED, message="Stopped before the script was started.")
        if self._cause is Cause.AGENT:
            return Ending(reason=ExitReason.LOST, message="The agent ended.")
        return None

    def _report(self, ending: Ending) -> None:
        """Deliver everything that waits, then how it ended; the next supervisor tries again where this one must end."""
        self._note(phase=Phase.DRAINING, ending=ending)
        self._heart.start()
        self._deliveries.start()
        self._shipper.start()
        self._shipper.finish()
        try:
            self._drain()
            self._store_lock()
            self._heart.flush()
            patiently(
                lambda: self._api.finish(ending),
                seconds=self._tools.settings.orphan_timeout_seconds,
                pause=self._pause,
            )
        except REFUSALS as error:
            logger.warning("how it ended was refused: %s", error, extra={"action": "finish_refused"})
        except (Interrupted, *SERVER_AWAY) as error:
            logger.warning("how it ended was not told: %s", error, extra={"action": "finish_failed"})
            if self._cause is Cause.AGENT:
                return
        self._heart.stop()
        self._note(phase=Phase.FINISHED)
        logger.info("run finished: %s", ending.reason, extra={"action": "run_finished", "run": str(self._run)})

    def _drain(self) -> None:
        """Wait until the server has console and metrics, but no longer than for a server that is silent."""
        give_up = time.monotonic() + self._tools.settings.orphan_timeout_seconds
        while not self._shipper.wait(_LOOK_SECONDS) or not self._deliveries.wait(_LOOK_SECONDS):
            self._check_wanted()
            if time.monotonic() > give_up:
                logger.error("the server does not take what is left", extra={"action": "drain_given_up"})
                return

    def _check_wanted(self) -> None:
        """Raise `Interrupted` when nobody is left to tell, or no time."""
        if self._cause in {Cause.REFUSAL, Cause.SILENCE}:
            raise Interrupted(self._cause)
        if self._agent_ended_at is not None and time.monotonic() > self._agent_ended_at + LAST_WORDS_SECONDS:
            raise Interrupted(Cause.AGENT)

    def _pause(self, seconds: float) -> None:
        self._check_wanted()
        time.sleep(seconds)

    def _clean(self) -> None:
        """Have the executor forget a run whose end was told, and remove what lies outside its directory."""
        if self._state.phase is not Phase.FINISHED:
            return
        self._run.remove_socket()
        self._data.let_go()
        if self._handle is not None:
            try:
                self._tools.executor.clean(self._handle)
            except Unavailable as error:
                logger.warning("not cleaned up: %s", error, extra={"action": "clean_failed"})

    def _end(self, cause: Cause) -> None:
        """End what runs or is being prepared, from any thread; the gravest cause stands."""
        if self._cause is not None and _GRAVITY.index(cause) <= _GRAVITY.index(self._cause):
            return
        self._cause = cause
        logger.info("ending: %s", cause, extra={"action": "run_ending", "run": str(self._run)})
        if self._preparing:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        elif self._handle is not None:
            self._start_ending(self._handle, cause)

    def _start_ending(self, handle: Run, cause: Cause) -> None:
        threading.Thread(target=self._end_run, args=(handle, cause), name=cause, daemon=True).start()

    def _end_run(self, handle: Run, cause: Cause) -> None:
        executor, settings = self._tools.executor, self._tools.settings

        def insist(work: Callable[[], T]) -> T:
            return patiently(work, seconds=settings.orphan_timeout_seconds, errors=(Unavailable,))

        if cause in {Cause.STOP, Cause.AGENT}:
            if cause is Cause.STOP:
                self._note(stop_requested=True)
            insist(lambda: executor.terminate(handle))
            if self._over.wait(settings.stop_grace_seconds):
                return
        left = insist(lambda: executor.kill(handle))
        if left:
            logger.error("these processes cannot be killed: %s", left, extra={"action": "kill_failed"})

    def _on_agent_end(self, _signal: int, _frame: FrameType | None) -> None:
        self._agent_ended_at = time.monotonic()
        self._end(Cause.AGENT)

    def _on_interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        if self._preparing:
            self._preparing = False
            for child in descendants(os.getpid()):  # whoever waits for one of them must wait no more
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            raise Interrupted(self._cause)

    def _keep(self, environment: Environment) -> None:
        self._hold = environment.hold()
        self._note(environment=environment.key, environment_reused=environment.reused)
        packages = self._claim.task.packages
        if packages is not None and packages.lock is None:
            self._lock_to_store = environment.lock

    def _store_lock(self) -> None:
        """Keep as the task's what the environment was built from, so that clones build the same."""
        if self._lock_to_store is None:
            return
        try:
            self._api.set_lock(self._lock_to_store)
        except OrchestratorError as error:
            logger.warning("the lock was not stored: %s", error, extra={"action": "lock_not_stored"})
        else:
            self._lock_to_store = None

    def _note(self, **changes: Any) -> None:  # noqa: ANN401  fields of RunState, which checks them
        """Note how far it has come; on a full disk a successor goes on from further back."""
        try:
            self._save(**changes)
        except OSError as error:
            logger.warning("the state was not saved: %s", error, extra={"action": "state_not_saved"})

    def _save(self, **changes: Any) -> None:  # noqa: ANN401  as above
        with self._state_lock:
            self._state = self._state.changed(**changes)
            self._run.save(self._state)


def supervise(run: RunDirectory, *, tools: Tools) -> int:
    """Be the supervisor of a run, in a process forked for it; return the exit status.

    Args:
        run: its directory.
        tools: the node's.
    """
    detach(run.path / "log")
    if not run.lock.acquire():
        return 0  # it has one
    threading.excepthook = _end_process
    if run.state().phase is not Phase.FINISHED:
        Supervisor(run, tools=tools).supervise()
    return 0


def _end_process(failed: threading.ExceptHookArgs) -> None:
    """End the whole process when one of its threads fails: the next supervisor does better than a half one."""
    logger.critical("a thread failed", exc_info=failed.exc_value, extra={"action": "supervisor_failed"})
    logging.shutdown()
    os._exit(1)
