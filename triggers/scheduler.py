"""The scheduler: reads the event log, matches, and has the server fire. It needs a URL and a token, nothing else.

It keeps nothing of its own: its place in the log stands on the server and moves only after the firings before it were
answered. Whatever is killed when, the tick is done over, and the server knows a firing by its trigger and its event.
So several schedulers at once are safe, and none of them is special.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from datetime import UTC
from typing import TYPE_CHECKING, NoReturn

from apscheduler.schedulers.background import BackgroundScheduler

from orchestrator.errors import Forbidden, OrchestratorError, StaleRevision, Unauthenticated, UnsupportedProtocol
from orchestrator.records.trigger import TriggerState
from orchestrator.sdk.client import Client
from orchestrator.wire import NewFiring
from triggers.conditions import TRIGGER_EVENTS, matches
from triggers.remote import Remote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from orchestrator.records.event import Event
    from orchestrator.records.trigger import Trigger
    from orchestrator.wire import FiringResult

logger = logging.getLogger(__name__)

AT_ONCE = 500
"""Events a question and firings a request, at most."""
MATCHINGS = 5
"""How often an event is matched again because its trigger was edited in that moment, before the tick is given up."""
FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 5.0
STEPS = ("triggers_read", "events_read", "matched", "batch_fired", "fired", "place_kept")
"""The steps of a tick, in order, as its checkpoint hears them."""


class Scheduler:
    """Follows the event log and fires triggers. One thread ticks, whichever calls `run`.

    Args:
        remote: the server.
        polling_seconds: how often the log is read where the server does not hold a question until it has the answer.
        wait_seconds: how long it is asked to hold one.
        checkpoint: hears the name of each step of a tick, one of `STEPS`, when it is done.
    """

    def __init__(
        self,
        remote: Remote,
        *,
        polling_seconds: float = 60.0,
        wait_seconds: float = 25.0,
        checkpoint: Callable[[str], object] | None = None,
    ) -> None:
        self._remote = remote
        self._polling_seconds = polling_seconds
        self._wait_seconds = wait_seconds
        self._checkpoint = checkpoint or (lambda _step: None)
        self._triggers: list[Trigger] = []
        self._read_to: int | None = None
        self._kept = 0
        self._backoff_seconds = 0.0
        self._wake = threading.Event()
        self._stopping = False

    def run(self) -> None:
        """Tick until `stop`. A server that is away is waited for and told of once.

        Raises:
            OrchestratorError: the server refuses this scheduler for good: its token or its release.
        """
        timer = BackgroundScheduler(daemon=True, timezone=UTC)
        timer.add_job(self._wake.set, "interval", seconds=self._polling_seconds)
        timer.start()
        try:
            while not self._stopping:
                self._follow()
        finally:
            timer.shutdown(wait=False)

    def stop(self) -> None:
        """Have `run` return after the present tick; from any thread."""
        self._stopping = True
        self._wake.set()

    def tick(self, *, wait_seconds: float = 0.0) -> int:
        """Read one stretch of the log, fire for what matches in it, and move on.

        Args:
            wait_seconds: how long the server may hold the question while nothing happens.

        Returns:
            By how much the place in the log grew: 0 when nothing had happened.
        """
        read_to = self._begin() if self._read_to is None else self._read_to
        batch = self._remote.events(after=read_to, wait_seconds=wait_seconds, limit=AT_ONCE)
        self._checkpoint("events_read")
        edited = any(event.type in TRIGGER_EVENTS for event in batch.events)
        if edited:
            self._read_triggers()
        fired = self._fire(batch.events)
        self._checkpoint("fired")
        # A stretch without a match may be read again after a restart: that costs less than a write for each event. But
        # never across an edit: what the old condition passed over is not for the new one.
        if fired or edited or batch.next - self._kept >= AT_ONCE:
            self._remote.keep_place(batch.next)
            self._kept = batch.next
            self._checkpoint("place_kept")
        self._read_to = batch.next
        return batch.next - read_to

    def _follow(self) -> None:
        self._wake.clear()
        asked_at = time.monotonic()
        try:
            moved = self.tick(wait_seconds=self._wait_seconds)
        except (Unauthenticated, Forbidden, UnsupportedProtocol):
            raise
        except OrchestratorError as error:
            self._back_off(error)
            return
        if self._backoff_seconds:
            logger.info("scheduler goes on", extra={"action": "scheduler_resumed"})
            self._backoff_seconds = 0.0
        if not moved and not self._stopping and time.monotonic() - asked_at < self._wait_seconds / 2:
            # Something between here and the server does not let it hold the question: poll instead.
            self._wake.wait()

    def _back_off(self, error: OrchestratorError) -> None:
        if not self._backoff_seconds:
            logger.warning("scheduler waits: %s", error, extra={"action": "scheduler_waits", "code": error.code})
        longest = min(LONGEST_BACKOFF_SECONDS, self._polling_seconds)
        self._backoff_seconds = min(max(2 * self._backoff_seconds, FIRST_BACKOFF_SECONDS), longest)
        self._wake.wait(timeout=self._backoff_seconds)

    def _begin(self) -> int:
        """Read the triggers and find the place to begin at: where schedulers were, else before the first trigger."""
        self._kept = self._remote.place()
        # Before the triggers: one that is registered in between has its event after this one.
        newest = 0 if self._kept else self._remote.newest_event()
        self._read_triggers()
        if self._kept:
            return self._kept
        return min((trigger.starts_after for trigger in self._triggers), default=newest)

    def _read_triggers(self) -> None:
        self._triggers = [trigger for trigger in self._remote.triggers() if trigger.state is not TriggerState.REMOVED]
        self._checkpoint("triggers_read")

    def _fire(self, events: Sequence[Event]) -> int:
        found = self._match(events)
        self._checkpoint("matched")
        fired = len(found)
        for _ in range(MATCHINGS):
            stale = {(result.trigger_id, result.event) for result in self._post(found)}
            if not stale:
                return fired
            self._read_triggers()
            found = [firing for firing in self._match(events) if (firing.trigger_id, firing.event) in stale]
        raise StaleRevision("A trigger is edited faster than it can be matched.", hint="The scheduler tries again.")

    def _match(self, events: Sequence[Event]) -> list[NewFiring]:
        # Paused triggers too: the server records what they skip.
        return [
            NewFiring(trigger_id=trigger.id, revision=trigger.revision, event=event.id)
            for event in events
            for trigger in self._triggers
            if event.id > trigger.starts_after and matches(trigger.condition, event).matched
        ]

    def _post(self, firings: Sequence[NewFiring]) -> list[FiringResult]:
        """Have the server fire, and return those answers that say that a trigger was edited meanwhile."""
        stale = []
        for batch in _batched(firings):
            for result in self._remote.fire(batch):
                _log(result)
                if result.outcome == "stale_revision":
                    stale.append(result)
            self._checkpoint("batch_fired")
        return stale


def run_scheduler(
    url: str, token: str | None, *, polling_seconds: float = 60.0, checkpoint: Callable[[str], object] | None = None
) -> signal.Signals:
    """Serve triggers until SIGTERM or SIGINT, and return which it was; for the main thread.

    Args:
        url: of the server.
        token: a scheduler's, or one that may do more; None where the other side adds one.
        polling_seconds: see `Scheduler`.
        checkpoint: see `Scheduler`.

    Raises:
        OrchestratorError: the server refuses the token or the release.
    """
    heard = signal.SIGINT

    def on_terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
        nonlocal heard
        heard = signal.SIGTERM
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, on_terminate)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    logger.info("scheduler started", extra={"action": "scheduler_started", "url": url})
    try:
        with Client(url, token) as client:
            Scheduler(Remote(client), polling_seconds=polling_seconds, checkpoint=checkpoint).run()
    except KeyboardInterrupt:
        # Wherever it struck: what was not finished is done over by whoever serves next.
        logger.info("scheduler stopped", extra={"action": "scheduler_stopped"})
    finally:
        signal.signal(signal.SIGTERM, before)
    return heard


def _batched(firings: Sequence[NewFiring]) -> list[Sequence[NewFiring]]:
    return [firings[start : start + AT_ONCE] for start in range(0, len(firings), AT_ONCE)]


def _log(result: FiringResult) -> None:
    # Where several schedulers serve, each firing is another's duplicate.
    level = {"failed": logging.WARNING, "duplicate": logging.DEBUG}.get(result.outcome, logging.INFO)
    logger.log(
        level,
        "trigger fired: %s %s",
        result.outcome,
        result.task_id or result.reason or "",
        extra={
            "action": "trigger_fired",
            "trigger_id": result.trigger_id,
            "event": result.event,
            "outcome": result.outcome,
            "task_id": result.task_id,
            "reason": result.reason,
        },
    )
