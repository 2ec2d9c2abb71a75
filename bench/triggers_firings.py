"""How many firings a second the server takes, posted in batches; each makes a clone that is enqueued."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, NamedTuple

import redis
from datasets_figures import Verdict, print_rows, say
from triggers_filling import Filling
from triggers_servers import running

from orchestrator.wire import NewFiring
from triggers.remote import Remote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from triggers_servers import Databases, Running

    from orchestrator.records.trigger import Trigger

GOALS = {"PostgreSQL": 500.0, "SQLite": 200.0}
_BATCHES = (100, 500)
_CASES = ("one trigger, many events", "many triggers, one event each")
_TICKETS = "rq:queue:default"
_GIVE_UP_SECONDS = 120


class Rate(NamedTuple):
    """One case.

    Attributes:
        firings: how many were posted.
        seconds: until the last answer.
        ringing_seconds: until the last ticket was in Redis.
    """

    firings: int
    seconds: float
    ringing_seconds: float

    @property
    def a_second(self) -> float:
        """Firings a second."""
        return self.firings / self.seconds


def run_firings(databases: Databases, *, number: int) -> tuple[list[Verdict], dict[str, float]]:
    """Measure on every database, print, and return the verdicts and the worst rate by database.

    Args:
        databases: which there are.
        number: firings of a case.
    """
    rows = [("database", "case", "a batch", "firings a second", "ms each", "until all rang, a second")]
    worst: dict[str, float] = {}
    for kind in databases.kinds:
        say(f"firings: {kind}")
        with running(databases, kind) as server, redis.Redis.from_url(server.redis_url) as tickets:
            filling = Filling(server, "1,000 projects")
            one, *others = filling.add_triggers(number + 1)
            first = _matches(filling, [one], number=20)
            _post(server, tickets=tickets, firings=first, batch=10)  # for what is loaded when first used
            for case in _CASES:
                for batch in _BATCHES:
                    firings = _matches(filling, [one] if case == _CASES[0] else others, number=number)
                    rate = _post(server, tickets=tickets, firings=firings, batch=batch)
                    worst[kind] = min(worst.get(kind, rate.a_second), rate.a_second)
                    rows.append(
                        (
                            kind,
                            case,
                            str(batch),
                            f"{rate.a_second:.0f}",
                            f"{1000 / rate.a_second:.2f}",
                            f"{rate.firings / rate.ringing_seconds:.0f}",
                        )
                    )
    print(f"\nFirings, {number:,} a case: POST /firings, each a clone with parameters, enqueued")
    print_rows(rows)
    verdicts = [
        Verdict(f"firings ({kind})", f"{rate:.0f}/s at least", f"{GOALS[kind]:.0f}/s", rate >= GOALS[kind])
        for kind, rate in worst.items()
    ]
    return verdicts, worst


def _matches(filling: Filling, triggers: Sequence[Trigger], *, number: int) -> list[NewFiring]:
    events = filling.add_events(number, matching=True, triggers=triggers)
    return [
        NewFiring(trigger_id=trigger.id, revision=trigger.revision, event=event)
        for trigger, event in zip(itertools.cycle(triggers), events, strict=False)
    ]


def _post(server: Running, *, tickets: redis.Redis, firings: Sequence[NewFiring], batch: int) -> Rate:
    remote = Remote(server.client)
    rung = _waiting(tickets) + len(firings)
    begun = time.perf_counter()
    for start in range(0, len(firings), batch):
        results = remote.fire(firings[start : start + batch])
        assert {result.outcome for result in results} == {"launched"}, results
    seconds = time.perf_counter() - begun
    give_up = time.monotonic() + _GIVE_UP_SECONDS
    while _waiting(tickets) < rung:
        assert time.monotonic() < give_up, "not every ticket is in Redis"
        time.sleep(0.01)
    return Rate(len(firings), seconds, time.perf_counter() - begun)


def _waiting(tickets: redis.Redis) -> int:
    return tickets.llen(_TICKETS)
