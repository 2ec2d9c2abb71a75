"""The scheduler: reads the event log, matches, has the server fire, and performs what is due.

It needs a URL and a token, nothing else, and keeps nothing of its own: its place in the log stands on the server and
moves only after the firings before it were answered. Whatever is killed when, the tick is done over, and the server
knows a firing by its trigger and its event; work that it had claimed is somebody else's when the claim has run out. So
several schedulers at once are safe, and none of them is special.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from apscheduler.schedulers.background import BackgroundScheduler

from orchestrator.errors import Forbidden, OrchestratorError, StaleRevision, Unauthenticated, UnsupportedProtocol
from orchestrator.records.event import EventType
from orchestrator.sdk.client import Client
from orchestrator.wire import NewFiring
from triggers.actions import Actions
from triggers.agenda import Agenda
from triggers.conditions import ENDED_TASKS, TRIGGER_EVENTS, matches
from triggers.index import TriggerIndex
from triggers.long_poll import LongPoll
from triggers.performing import Performer
from triggers.remote import Remote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from types import FrameType

    from orchestrator.records.event import Event
    from orchestrator.wire import FiringResult
    from triggers.remote import Batch

logger = logging.getLogger(__name__)

AT_ONCE = 500
"""Events a question, at most."""
POSTED_AT_ONCE = 100
"""Firings and ended tasks a request, at most: each is a transaction, and others wait for its locks."""
MATCHINGS = 5
"""How often an event is matched again because its trigger was edited in that moment, before the tick is given up."""
FUNCTION_SECONDS = 5.0
"""How often a process with functions asks for what is due at least: what waits for it others may have brought so far,
such as the one that looked at the gates before it, and nobody tells it of that."""
FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 5.0
GRACE_SECONDS = 5.0
"""How long work in hand is waited for when the scheduler ends."""
TICK_STEPS = ("triggers_read", "events_read", "matched", "batch_fired", "fired", "place_kept", "due_asked")
WORK_STEPS = ("work_begun", "work_performed", "work_reported")
STEPS = (*TICK_STEPS, *WORK_STEPS)
"""The steps of a tick, in order, as its checkpoint hears them; those of work come from threads."""
_MAY_BE_DUE = frozenset({EventType.TRIGGER_REGISTERED, EventType.TRIGGER_RESUMED, EventType.TRIGGER_WAITING})
"""Events after which there may be something to do at once."""


class Scheduler:
    """Follows the event log, fires triggers, and performs what is due. One thread ticks, whichever calls `run`.

    Args:
        remote: the server.
        actions: perform what it hands out; without functions, and with what the environment says, where none are given.
        polling_seconds: how often the log is read where the server does not hold a question until it has the answer,
            and how often it is asked for what is due at least.
        wait_seconds: how long it is asked to hold a question.
        checkpoint: hears the name of each step, one of `STEPS`, when it is done.
        monotonic: the clock, in seconds.
    """

    def __init__(  # noqa: PLR0913  each has a default
        self,
        remote: Remote,
        *,
        actions: Actions | None = None,
        polling_seconds: float = 60.0,
        wait_seconds: float = 25.0,
        checkpoint: Callable[[str], object] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"{socket.gethostname()[:64]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._remote = remote
        self._actions = actions or Actions(remote)
        self._polling_seconds = polling_seconds
        self._wait_seconds = wait_seconds
        self._checkpoint = checkpoint or (lambda _step: None)
        self._monotonic = monotonic
        asked_within = min(polling_seconds, FUNCTION_SECONDS) if self._actions.functions else polling_seconds
        self._agenda = Agenda(polling_seconds=asked_within, monotonic=monotonic)
        self._performer = Performer(
            remote,
            actions=self._actions,
            scheduler=self.name,
            checkpoint=self._checkpoint,
            on_done=self._on_work_done,
            monotonic=monotonic,
        )
        self._index = TriggerIndex()
        self._read_to: int | None = None
        self._read_at = monotonic()
        self._kept = 0
        self._backoff_seconds = 0.0
        self._unanswered: set[str] = set()
        self._wake = threading.Event()
        self._stopping = False

    def run(self) -> None:
        """Tick until `stop`. A server that is away is waited for and told of once.

        Raises:
            OrchestratorError: the server refuses this scheduler for good: its token or its release.
        """
        events = LongPoll(self._ask_for_events, on_answer=self._on_events)
        timer = BackgroundScheduler(daemon=True, timezone=UTC)
        timer.add_job(self._poll, "interval", seconds=self._polling_seconds)
        timer.start()
        try:
            while not self._stopping:
                self._follow(events, timer)
        finally:
            self._stopping = True
            timer.shutdown(wait=False)
            self._performer.close(grace_seconds=GRACE_SECONDS)

    def stop(self) -> None:
        """Have `run` return after the present tick; from any thread."""
        self._stopping = True
        self._wake.set()

    def tick(self, *, wait_seconds: float = 0.0) -> int:
        """Read one stretch of the log, fire for what matches in it, move on, and ask for what is due when it is time.

        Work that is due is begun in threads; `settle` waits for it.

        Args:
            wait_seconds: how long the server may hold the question while nothing happens.

        Returns:
            By how much the place in the log grew: 0 when nothing had happened.
        """
        self._performer.check()
        read_to = self._begin() if self._read_to is None else self._read_to
        moved = self._act(self._remote.events(after=read_to, wait_seconds=wait_seconds, limit=AT_ONCE), after=read_to)
        self._ask_for_due()
        return moved

    def settle(self, *, timeout_seconds: float = 60.0) -> bool:
        """Wait until no work is in hand; return False where the time is up first. For whoever calls `tick`."""
        return self._performer.settle(timeout_seconds=timeout_seconds)

    def _follow(self, events: LongPoll, timer: BackgroundScheduler) -> None:
        self._wake.clear()
        try:
            moved = self._step(events)
        except (Unauthenticated, Forbidden, UnsupportedProtocol):
            raise
        except OrchestratorError as error:
            self._back_off(error)
            return
        if not moved and not self._stopping:
            self._sleep(timer)

    def _step(self, events: LongPoll) -> bool:
        """Do what there is to do now, and tell whether the log has moved."""
        self._performer.check()
        read_to = self._begin() if self._read_to is None else self._read_to
        wait_seconds = 0.0 if self._backoff_seconds else self._wait_seconds
        batch = events.take(after=read_to, wait_seconds=wait_seconds) if self._monotonic() >= self._read_at else None
        moved = 0
        if batch is not None:
            self._unanswered.discard("events")
            moved = self._act(batch, after=read_to)
            if moved or events.was_held:
                events.take(after=batch.next, wait_seconds=self._wait_seconds)
            else:
                # Something between here and the server does not let it hold the question: poll instead.
                self._read_at = self._monotonic() + self._polling_seconds
        if self._ask_for_due():
            self._unanswered.discard("due")
        if self._backoff_seconds and not self._unanswered:
            logger.info("scheduler goes on", extra={"action": "scheduler_resumed"})
            self._backoff_seconds = 0.0
        return moved > 0

    def _sleep(self, timer: BackgroundScheduler) -> None:
        """Wait until there is something to do: an answer, work that is done, a time that has come."""
        seconds = self._agenda.seconds_left()
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        timer.add_job(self._wake.set, "date", run_date=until, id="due", replace_existing=True, misfire_grace_time=None)
        # A timer goes by this machine's clock; where somebody sets that back, the wait itself ends in time.
        reading = max(self._read_at - self._monotonic(), 0.0) or self._polling_seconds
        self._wake.wait(timeout=min(seconds, reading))

    def _poll(self) -> None:
        self._agenda.ask_now()
        self._read_at = self._monotonic()
        self._wake.set()

    def _on_events(self) -> None:
        self._wake.set()
        if self._stopping:  # nobody takes this answer: whoever held the client has closed it by now
            self._remote.close()

    def _on_work_done(self) -> None:
        # Others may have got their turn by it, and there is room for more.
        self._agenda.ask_now()
        self._wake.set()

    def _back_off(self, error: OrchestratorError) -> None:
        if not self._backoff_seconds:
            logger.warning("scheduler waits: %s", error, extra={"action": "scheduler_waits", "code": error.code})
        # Only when both are answered again it is over.
        self._unanswered = {"events", "due"}
        self._agenda.ask_now()
        longest = min(LONGEST_BACKOFF_SECONDS, self._polling_seconds)
        self._backoff_seconds = min(max(2 * self._backoff_seconds, FIRST_BACKOFF_SECONDS), longest)
        self._wake.wait(timeout=self._backoff_seconds)

    def _begin(self) -> int:
        """Read the triggers and find the place to begin at: where schedulers were, else before the first trigger."""
        self._kept = self._remote.place()
        # Before the triggers: one that is registered in between has its event after this one.
        newest = 0 if self._kept else self._remote.newest_event()
        triggers = self._remote.triggers()
        self._index = TriggerIndex()
        for trigger in triggers:
            self._index.put(trigger)
        self._checkpoint("triggers_read")
        self._read_to = self._kept or min((trigger.starts_after for trigger in triggers), default=newest)
        return self._read_to

    def _read_again(self, trigger_ids: Collection[str]) -> None:
        """Read those triggers that changed, so that what registering many costs grows with their number alone."""
        found = {trigger.id: trigger for trigger in self._remote.triggers_by_id(sorted(trigger_ids))}
        for trigger_id in trigger_ids:
            if trigger_id in found:
                self._index.put(found[trigger_id])
            else:
                self._index.remove(trigger_id)
        self._checkpoint("triggers_read")

    def _ask_for_events(self, after: int, wait_seconds: float) -> Batch:
        return self._remote.events(after=after, wait_seconds=wait_seconds, limit=AT_ONCE)

    def _act(self, batch: Batch, *, after: int) -> int:
        """Fire for what matches in a stretch of the log, and move on; return by how much."""
        self._checkpoint("events_read")
        changed = {event.subject for event in batch.events if event.type in TRIGGER_EVENTS}
        if changed:
            self._read_again(changed)
        acted = self._fire(batch.events)
        self._checkpoint("fired")
        # A stretch without a match may be read again after a restart: that costs less than a write for each event. But
        # never across an edit: what the old condition passed over is not for the new one.
        if acted or changed or batch.next - self._kept >= AT_ONCE:
            self._remote.keep_place(batch.next)
            self._kept = batch.next
            self._checkpoint("place_kept")
        if any(event.type in _MAY_BE_DUE for event in batch.events):
            self._agenda.ask_now()
        self._read_to = batch.next
        return batch.next - after

    def _fire(self, events: Sequence[Event]) -> bool:
        """Post what matches and what ended, in the order of the log; tell whether there was any."""
        found = list(self._found(events))
        self._checkpoint("matched")
        acted = bool(found)
        for _ in range(MATCHINGS):
            stale = {(result.trigger_id, result.event) for result in self._post(found)}
            if not stale:
                return acted
            self._read_again({trigger_id for trigger_id, _ in stale})
            found = [
                each
                for each in self._found(events)
                if isinstance(each, NewFiring) and (each.trigger_id, each.event) in stale
            ]
        raise StaleRevision("A trigger is edited faster than it can be matched.", hint="The scheduler tries again.")

    def _found(self, events: Sequence[Event]) -> Iterator[NewFiring | int]:
        """Yield matches, and ids of events that tell of the end of what a firing made."""
        for event in events:
            # Paused triggers are among them: the server records what they skip.
            for trigger in self._index.candidates(event):
                if event.id > trigger.revised_after and matches(trigger.condition, event).matched:
                    yield NewFiring(trigger_id=trigger.id, revision=trigger.revision, event=event.id)
            if event.type in ENDED_TASKS and event.cause is not None:
                yield event.id

    def _post(self, found: Sequence[NewFiring | int]) -> list[FiringResult]:
        """Have the server act, and return those answers that say that a trigger was edited meanwhile."""
        stale = []
        for start in range(0, len(found), POSTED_AT_ONCE):
            some = found[start : start + POSTED_AT_ONCE]
            ended = [each for each in some if isinstance(each, int)]
            results = self._remote.fire([each for each in some if not isinstance(each, int)], ended=ended)
            for result in results:
                _log(result, name=self._name_of(result))
            stale += [result for result in results if result.outcome == "stale_revision"]
            self._agenda.fired(results)
            # A duplicate is a firing of another scheduler, which may not have the function that it waits for.
            if ended or (self._actions.functions and any(result.outcome == "duplicate" for result in results)):
                self._agenda.ask_now()
            self._checkpoint("batch_fired")
        return stale

    def _name_of(self, result: FiringResult) -> str:
        trigger = self._index.get(result.trigger_id)
        return result.trigger_id if trigger is None else repr(trigger.name)

    def _ask_for_due(self) -> bool:
        """Have the server do what its clock asks for, and begin with what is for this process, when it is time."""
        if self._agenda.seconds_left() > 0:
            return False
        self._agenda.asking()
        try:
            due = self._remote.take_due(
                scheduler=self.name, functions=self._actions.functions, limit=self._performer.free
            )
        except BaseException:
            self._agenda.ask_now()
            raise
        self._checkpoint("due_asked")
        self._agenda.answered(due)
        for result in due.results:
            _log(result, name=self._name_of(result))
        self._performer.begin(due)
        return True


def run_scheduler(
    url: str,
    token: str | None,
    *,
    polling_seconds: float = 60.0,
    functions: Mapping[str, Callable[..., object]] | None = None,
    checkpoint: Callable[[str], object] | None = None,
) -> signal.Signals:
    """Serve triggers until SIGTERM or SIGINT, and return which it was; for the main thread.

    Work in hand is waited for a few seconds then; what is not done by then is done over by whoever serves next.

    Args:
        url: of the server.
        token: a scheduler's, or one that may do more; None where the other side adds one.
        polling_seconds: see `Scheduler`.
        functions: name to function, of those that triggers call here: see `triggers.functions`.
        checkpoint: see `Scheduler`.

    Raises:
        InvalidRequest: a function or a variable of the environment is not of its form.
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
            remote = Remote(client)
            actions = Actions(remote, functions=functions)
            Scheduler(remote, actions=actions, polling_seconds=polling_seconds, checkpoint=checkpoint).run()
    except KeyboardInterrupt:
        # Wherever it struck: what was not finished is done over by whoever serves next.
        logger.info("scheduler stopped", extra={"action": "scheduler_stopped"})
    finally:
        signal.signal(signal.SIGTERM, before)
    return heard


def _log(result: FiringResult, *, name: str) -> None:
    # Where several schedulers serve, each firing is another's duplicate.
    level = {"failed": logging.WARNING, "duplicate": logging.DEBUG}.get(result.outcome, logging.INFO)
    logger.log(
        level,
        "trigger fired: %s %s (%s)",
        result.outcome,
        result.task_id or result.reason or "",
        name,
        extra={
            "action": "trigger_fired",
            "trigger_id": result.trigger_id,
            "event": result.event,
            "outcome": result.outcome,
            "firing": result.firing_id,
            "task_id": result.task_id,
            "reason": result.reason,
        },
    )
