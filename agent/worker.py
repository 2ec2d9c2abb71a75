"""The worker of one slot: ticket, claim, supervisor.

A ticket is no more than a ring: what runs next is what the database answers to the claim. So a ticket that is lost, or
taken by a worker that dies, costs seconds and never a task. The worker also asks by itself, after every attempt and now
and then, takes tickets only while its slot is free, and goes on claiming while Redis is away.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from agent.api import AttemptApi
from agent.doorbell import Doorbell
from agent.locks import ProcessLock
from agent.occupancy import Occupancy
from agent.patience import SERVER_AWAY
from agent.runs import Ending
from agent.supervisor import LAST_WORDS_SECONDS, supervise
from orchestrator.errors import OrchestratorError
from orchestrator.records.task import ExitReason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from agent.api import AgentApi
    from agent.runs import RunDirectory
    from agent.tools import Tools
    from orchestrator.records.agent import Slot
    from orchestrator.wire import Claim

logger = logging.getLogger(__name__)

_SIGNALS = {signal.SIGTERM, signal.SIGINT}
_BUSY_SECONDS = 10.0
"""How often a worker whose slot is taken tells RQ that it is there."""
_AWAY_SECONDS = 1.0
"""How long to leave Redis alone after it did not answer."""
_AWAY_CLAIM_SECONDS = 3.0
"""How often to ask for work while no ticket can arrive, or after the server did not answer."""
_LOCK_SECONDS = 0.05
_KILL_MARGIN_SECONDS = 5.0


class Stop(Exception):
    """SIGTERM or SIGINT came while the worker waited."""


class Worker:
    """Serves one slot until it gets a signal.

    Args:
        slot: the slot.
        agent_id: of the agent that it belongs to.
        tools: the node's.
        api: the server, by the agent's token.
    """

    def __init__(self, slot: Slot, *, agent_id: str, tools: Tools, api: AgentApi) -> None:
        self._slot = slot
        self._agent_id = agent_id
        self._tools = tools
        self._api = api
        self._occupancy = Occupancy(tools.settings.runs, mine=self._is_mine, supervise=self._supervise)
        self._lock = ProcessLock(tools.settings.directory / f"slot-{slot.name}.lock")
        self._bell: Doorbell | None = None
        self._claim_at = 0.0
        self._away: set[str] = set()

    def serve(self) -> None:
        """Take work and see it through, until SIGTERM or SIGINT."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for number in _SIGNALS:
            signal.signal(number, _raise_stop)
        try:
            while not self._lock.acquire():  # the worker of an agent that is just ending
                self._sleep(_LOCK_SECONDS)
            self._occupancy.take_over()
            while True:
                self._step()
        except Stop:
            self._leave()

    def claim(self) -> bool:
        """Ask for work for the free slot and start it; tell whether there was any."""
        self._claim_at = time.monotonic() + self._tools.settings.claim_poll_seconds
        try:
            claim = self._api.claim(self._agent_id, slot=self._slot.name)
        except SERVER_AWAY as error:
            self._note_away("server", error)
            self._claim_at = time.monotonic() + _AWAY_CLAIM_SECONDS
            return False
        except OrchestratorError as error:
            logger.error("no work is given to this agent: %s", error, extra={"action": "claim_refused"})  # noqa: TRY400  the sentence says it all
            return False
        self._away.discard("server")
        if claim is None:
            return False
        logger.info("task claimed", extra={"action": "task_claimed", "task_id": claim.task.id})
        try:
            self._occupancy.begin(claim)
        except OSError as error:
            logger.exception("the attempt cannot be started", extra={"action": "start_failed"})
            self._give_up(claim, error)
        return True

    def _step(self) -> None:
        if self._occupancy.busy():
            self._wait_for_runs(_BUSY_SECONDS)
            if not self._occupancy.busy():
                self._claim_at = 0
            elif self._bell is not None:
                with self._redis():
                    self._bell.announce()
        elif time.monotonic() >= self._claim_at:
            self.claim()
        else:
            with self._redis():
                self._listen()

    def _wait_for_runs(self, seconds: float) -> None:
        with _interruptible():
            self._occupancy.wait(seconds)
        self._occupancy.attend()

    def _listen(self) -> None:
        if self._bell is None:
            settings = self._tools.settings
            name = f"{settings.agent_name()}.{self._slot.name}.{os.getpid()}"
            self._bell = Doorbell(self._slot.queues, name=name, redis_url=settings.redis_url)
        self._bell.announce()
        self._away.discard("Redis")
        with _interruptible():
            rung = self._bell.listen(max(1, self._claim_at - time.monotonic()))
        if rung is not None and not self._bell.run_ticket(*rung):
            self.claim()

    @contextmanager
    def _redis(self) -> Iterator[None]:
        """Go on without Redis when it does not answer."""
        try:
            yield
        except RedisError as error:
            self._note_away("Redis", error)
            self._bell = None
            self._claim_at = min(self._claim_at, time.monotonic() + _AWAY_CLAIM_SECONDS)
            if not self._occupancy.busy():
                self._sleep(_AWAY_SECONDS)

    def _note_away(self, who: str, error: Exception) -> None:
        if who not in self._away:
            self._away.add(who)
            logger.warning("%s does not answer, trying again: %s", who, error, extra={"action": "away"})

    def _sleep(self, seconds: float) -> None:
        with _interruptible():
            time.sleep(seconds)

    def _is_mine(self, claim: Claim) -> bool:
        """Tell whether a run belongs to this slot; those of slots that are no more go to the first."""
        slots = self._tools.settings.slots
        if claim.attempt.slot in {slot.name for slot in slots}:
            return claim.attempt.slot == self._slot.name
        return self._slot == slots[0]

    def _supervise(self, run: RunDirectory) -> int:
        """In the child: let go of the worker's connections and be a supervisor."""
        self._api.close()
        if self._bell is not None:
            self._bell.disconnect()
        return supervise(run, tools=self._tools)

    def _give_up(self, claim: Claim, error: OSError) -> None:
        ending = Ending(reason=ExitReason.INFRASTRUCTURE, message=f"The agent could not start the attempt: {error}")
        try:
            AttemptApi(self._tools.settings.url, claim).finish(ending)
        except OrchestratorError:
            logger.exception("its lease will expire", extra={"action": "finish_failed"})

    def _leave(self) -> None:
        settings = self._tools.settings
        if settings.stop_runs:
            self._occupancy.end(signal.SIGTERM)
            give_up = time.monotonic() + settings.stop_grace_seconds + LAST_WORDS_SECONDS + _KILL_MARGIN_SECONDS
            while self._occupancy.busy() and time.monotonic() < give_up:
                self._occupancy.wait(1)
                self._occupancy.attend()
            self._occupancy.end(signal.SIGKILL)
        if self._bell is not None:
            with suppress(RedisError):  # it forgets the worker by itself
                self._bell.leave()


_serving: Worker | None = None


def serve(worker: Worker) -> int:
    """Be the process of a worker; tickets run in its name."""
    global _serving  # noqa: PLW0603  RQ calls a function by its name
    _serving = worker
    worker.serve()
    return 0


def take(task_id: str, attempt: int) -> None:
    """Run a ticket: ask for work. It says of which task it rang, but the database decides.

    Raises:
        RuntimeError: this process is no worker.
    """
    if _serving is None:
        raise RuntimeError("A ticket can be run by a worker alone.")
    logger.debug("rung for attempt %s of task %s", attempt, task_id, extra={"action": "ticket_taken"})
    _serving.claim()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let signals end the worker: here nothing is half done."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # raises when one waits already
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _raise_stop(_signal: int, _frame: FrameType | None) -> None:
    raise Stop
