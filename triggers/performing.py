"""Performs what only a scheduler can, in threads, while its claims are extended: gates, functions, webhooks, messages.

Each piece of work is claimed for a time that the server sets. A claim that ran out may be taken by another scheduler,
which does the work over: so what is performed here is performed at least once, and what came of it is reported only
while the claim is ours.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from orchestrator.errors import InvalidRequest, NotFound, OrchestratorError, ServerFailed, ServerUnreachable, StaleClaim
from orchestrator.wire import FinishWork
from triggers.texts import cut

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orchestrator.records.gate import GateReport
    from orchestrator.wire import Due, FiringWork

logger = logging.getLogger(__name__)

AT_ONCE = 20
"""Pieces of work that are performed at once."""
REASON_CHARACTERS = 4000
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
LEAST_CLAIM_SECONDS = 0.3
"""What a claim is taken to last where it is all but over as it comes."""


class Abandoned(Exception):
    """The work is not to be gone on with: another scheduler has it, or this one ends."""


class Claims(Protocol):
    """The part of `triggers.remote.Remote` that is needed here."""

    def extend(self, firing_id: str, *, scheduler: str) -> None:
        """Extend a claim."""

    def finish(self, firing_id: str, outcome: FinishWork) -> None:
        """Report."""


class Performed(NamedTuple):
    """What came of a piece of work that did not fail."""

    gate: GateReport | None = None
    result: dict[str, Any] | None = None


class Actions(Protocol):
    """Knows how to perform each kind of work."""

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions that can be called."""

    def perform(self, hold: Hold) -> Performed:
        """Perform a piece of work; whatever it raises fails the firing."""

    def hide(self, text: str) -> str:
        """Return a text without secrets."""


class Hold:
    """A piece of work in hand, as whoever performs it sees it.

    Args:
        work: what is to be done.
        now: by the database's clock, when it came.
        is_closing: set when the scheduler ends.
        monotonic: the clock by which time passes, in seconds.
    """

    def __init__(
        self, work: FiringWork, *, now: datetime, is_closing: threading.Event, monotonic: Callable[[], float]
    ) -> None:
        self.work = work
        self.is_lost = False
        self.is_reporting = False
        self._monotonic = monotonic
        self._taken = (now, monotonic())
        self._is_closing = is_closing
        until = work.firing.claimed_until
        # The difference of two moments of one clock, the database's: this machine's may say anything.
        seconds = (until - now).total_seconds() if until is not None else 0.0
        self.claim_seconds = max(seconds, LEAST_CLAIM_SECONDS)
        self.extend_at = 0.0
        self.extended()

    def now(self) -> datetime:
        """Return what time it is by the database's clock."""
        then, at = self._taken
        return then + timedelta(seconds=self._monotonic() - at)

    def elapsed_seconds(self) -> float:
        """Return for how long it has been in hand."""
        return self._monotonic() - self._taken[1]

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Abandoned: the work is not to be gone on with.
        """
        if self._is_closing.wait(seconds) or self.is_lost:
            raise Abandoned

    def extended(self) -> None:
        """Take note that the claim holds for its whole time from now on."""
        self.extend_at = self._monotonic() + self.claim_seconds / 3

    def is_same(self, work: FiringWork) -> bool:
        """Tell whether this is that very work, still to be reported."""
        return (self.work.firing.id, self.work.kind) == (work.firing.id, work.kind) and not self.is_reporting


class Performer:
    """Performs work, each piece in a thread of its own. Safe between threads.

    Args:
        remote: the server.
        actions: perform.
        scheduler: who holds the claims.
        checkpoint: hears `work_begun`, `work_performed` and `work_reported`, in the thread of the work.
        on_done: called when a piece of work is out of hand.
        at_once: most pieces of work.
        monotonic: the clock, in seconds.
    """

    def __init__(  # noqa: PLR0913  the parts of a scheduler
        self,
        remote: Claims,
        *,
        actions: Actions,
        scheduler: str,
        checkpoint: Callable[[str], object],
        on_done: Callable[[], object],
        at_once: int = AT_ONCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._remote = remote
        self._actions = actions
        self._scheduler = scheduler
        self._checkpoint = checkpoint
        self._on_done = on_done
        self._at_once = at_once
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._held: set[Hold] = set()
        self._keeper: threading.Thread | None = None
        self._is_closing = threading.Event()
        self._failure: BaseException | None = None

    @property
    def free(self) -> int:
        """How many more pieces of work can be taken."""
        return max(0, self._at_once - len(self._held))

    def begin(self, due: Due) -> None:
        """Begin with the work that came with an answer."""
        for work in due.work:
            with self._changed:
                present = next((hold for hold in self._held if hold.is_same(work)), None)
                if present is not None:
                    # Our claim had run out, and nobody else took it: it is reported under the new one.
                    present.work = work
                    present.extended()
                    continue
                hold = Hold(work, now=due.now, is_closing=self._is_closing, monotonic=self._monotonic)
                self._held.add(hold)
                if self._keeper is None:
                    self._keeper = threading.Thread(target=self._keep_claims, name="claims", daemon=True)
                    self._keeper.start()
                self._changed.notify_all()
            # A daemon: a function that never returns does not keep the process from ending.
            threading.Thread(target=self._work, args=(hold,), name=f"firing {work.firing.id}", daemon=True).start()

    def check(self) -> None:
        """Raise what broke a thread of this performer, should that have happened."""
        if self._failure is not None:
            raise self._failure

    def settle(self, *, timeout_seconds: float) -> bool:
        """Wait until nothing is in hand; return False where the time is up first.

        Raises:
            BaseException: see `check`.
        """
        with self._changed:
            settled = self._changed.wait_for(lambda: not self._held, timeout=timeout_seconds)
        self.check()
        return settled

    def close(self, *, grace_seconds: float) -> None:
        """Wait a little for what is in hand, then leave it: its claims run out, and another scheduler does it over."""
        self._is_closing.set()
        with self._changed:
            self._changed.notify_all()
            if self._changed.wait_for(lambda: not self._held, timeout=grace_seconds):
                return
            left = [hold.work.firing.id for hold in self._held]
            logger.warning("work is left to other schedulers", extra={"action": "work_left", "firings": left})
            for hold in self._held:
                hold.is_lost = True
            self._changed.notify_all()

    def _work(self, hold: Hold) -> None:
        try:
            self._checkpoint("work_begun")
            outcome = self._outcome(hold)
            self._checkpoint("work_performed")
            hold.is_reporting = True
            self._report(hold, outcome)
            self._checkpoint("work_reported")
        except Abandoned:
            logger.info("work is given up", extra=_about(hold, action="work_abandoned"))
        except BaseException as error:  # noqa: BLE001  carried over to the thread that ticks
            self._failure = error
        finally:
            with self._changed:
                self._held.discard(hold)
                self._changed.notify_all()
            self._on_done()

    def _outcome(self, hold: Hold) -> FinishWork:
        try:
            performed = self._actions.perform(hold)
        except Abandoned:
            raise
        except OrchestratorError as error:
            return self._failed(hold, str(error))
        except Exception as error:  # noqa: BLE001  whatever is wrong with one firing, the others go on
            told = self._actions.hide(traceback.format_exc())
            logger.error("work failed\n%s", told, extra=_about(hold, action="work_failed"))  # noqa: TRY400  without secrets
            return self._failed(hold, f"{type(error).__name__}: {error}")
        return FinishWork(
            **self._claim(hold),
            outcome="done",
            gate=performed.gate,
            result=_hidden(performed.result, self._actions),
        )

    def _failed(self, hold: Hold, reason: str) -> FinishWork:
        reason = cut(self._actions.hide(reason), characters=REASON_CHARACTERS)
        return FinishWork(**self._claim(hold), outcome="failed", reason=reason)

    def _claim(self, hold: Hold) -> dict[str, Any]:
        """Return what says which claim a report is about."""
        return {"scheduler": self._scheduler, "kind": hold.work.kind, "tries": hold.work.firing.tries}

    def _report(self, hold: Hold, outcome: FinishWork) -> None:
        """Report until it is answered: nobody else can take the work while the server is away.

        Raises:
            Abandoned: another scheduler has the work, or this one ends.
        """
        pause_seconds = FIRST_PAUSE_SECONDS
        while not hold.is_lost:
            try:
                self._remote.finish(hold.work.firing.id, outcome)
            except (StaleClaim, NotFound):
                hold.is_lost = True
            except (ServerUnreachable, ServerFailed):
                hold.pause(pause_seconds)
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            except OrchestratorError as error:
                if outcome.outcome == "failed" or not isinstance(error, InvalidRequest):
                    logger.error("work is not reported: %s", error, extra=_about(hold, action="report_refused"))  # noqa: TRY400  it is the server's error
                    raise Abandoned from error
                # What is not reported is done over and over, for ever.
                outcome = self._failed(hold, f"The server does not keep what came of it: {error}")
            else:
                _log(hold, outcome)
                return
        raise Abandoned

    def _keep_claims(self) -> None:
        """Extend claims, each when a third of its time is over."""
        while True:
            with self._changed:
                kept = [hold for hold in self._held if not hold.is_lost]
                if self._is_closing.is_set() and not kept:
                    return
                next_at = min((hold.extend_at for hold in kept), default=None)
                left = None if next_at is None else next_at - self._monotonic()
                if left is None or left > 0:
                    self._changed.wait(timeout=left)
                    continue
            for hold in kept:
                if hold.extend_at <= self._monotonic():
                    self._extend(hold)

    def _extend(self, hold: Hold) -> None:
        try:
            self._remote.extend(hold.work.firing.id, scheduler=self._scheduler)
        except (StaleClaim, NotFound):
            # One that is being reported ends by that; whether it was ours is what the report is answered.
            hold.is_lost = not hold.is_reporting
            hold.extended()
        except OrchestratorError as error:
            logger.warning("a claim is not extended: %s", error, extra=_about(hold, action="claim_not_extended"))
            hold.extend_at = self._monotonic() + min(hold.claim_seconds / 10, LONGEST_PAUSE_SECONDS)
        else:
            hold.extended()


def _hidden(result: dict[str, Any] | None, actions: Actions) -> dict[str, Any] | None:
    if result is None:
        return None
    return {name: actions.hide(value) if isinstance(value, str) else value for name, value in result.items()}


def _about(hold: Hold, *, action: str) -> dict[str, object]:
    work = hold.work
    return {"action": action, "firing": work.firing.id, "trigger": work.trigger.name, "kind": work.kind}


def _log(hold: Hold, outcome: FinishWork) -> None:
    said = outcome.outcome if outcome.gate is None else f"gates {'open' if outcome.gate.open else 'closed'}"
    level = logging.WARNING if outcome.outcome == "failed" else logging.INFO
    extra = _about(hold, action="work_done") | {"outcome": outcome.outcome, "reason": outcome.reason}
    why = outcome.reason or ""
    logger.log(level, "work of trigger %r done: %s %s", hold.work.trigger.name, said, why, extra=extra)
