"""What a tick of the scheduler costs, by new events and by triggers, and what it costs to read triggers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from datasets_figures import Verdict, print_rows, say
from triggers_filling import Filling
from triggers_servers import running

from triggers.remote import Remote
from triggers.scheduler import Scheduler

if TYPE_CHECKING:
    from triggers_filling import Layout
    from triggers_servers import Databases, Running

GOAL_TRIGGERS, GOAL_EVENTS = 1.5, 12.0
"""Most of triggers against fewest; ten times as many new events against one time."""


class Sizes(NamedTuple):
    """How many of what."""

    log: int
    triggers: tuple[int, ...]
    events: tuple[int, ...]
    rounds: int
    registered: int


FULL = Sizes(log=100_000, triggers=(100, 1000, 10_000), events=(0, 10, 100, 1000), rounds=5, registered=1000)
QUICK = Sizes(log=10_000, triggers=(100, 1000), events=(0, 10, 100), rounds=3, registered=100)

_Cell = tuple[bool, int, int]
"""Whether events match, how many there are, and triggers."""


class Ticks:
    """Ticks against one server.

    Args:
        server: with an empty database.
        layout: of the triggers.
        sizes: how many of what.
    """

    def __init__(self, server: Running, *, layout: Layout, sizes: Sizes) -> None:
        self._server, self._sizes = server, sizes
        self._filling = Filling(server, layout)
        self._remote = Remote(server.client)
        self.milliseconds: dict[_Cell, float] = {}
        self.start_seconds: dict[int, float] = {}
        self.registering_seconds = self.taking_in_seconds = 0.0

    def measure(self) -> None:
        """Fill the database step by step, and measure after each."""
        self._filling.add_log(self._sizes.log)
        for triggers in self._sizes.triggers:
            self._filling.add_triggers(triggers - len(self._filling.triggers))
            begun = time.perf_counter()
            scheduler = Scheduler(self._remote)
            scheduler.tick()
            self.start_seconds[triggers] = time.perf_counter() - begun
            _take_in(scheduler)
            for matching in (False, True):
                for events in self._sizes.events[matching:]:
                    self.milliseconds[matching, events, triggers] = self._best(scheduler, events, matching=matching)
        self._register(scheduler)

    def _best(self, scheduler: Scheduler, events: int, *, matching: bool) -> float:
        """Return the milliseconds of the best of some rounds: what disturbs only adds to them."""
        return 1000 * min(self._round(scheduler, events, matching=matching) for _ in range(self._sizes.rounds))

    def _round(self, scheduler: Scheduler, events: int, *, matching: bool) -> float:
        if events == 0:
            begun = time.perf_counter()
            scheduler.tick()
            return time.perf_counter() - begun
        read_to = self._filling.last_event()
        # The same triggers however many there are: those that fire are locked and read, which is the firings' own cost.
        asked = self._filling.triggers[: self._sizes.triggers[0]]
        last = self._filling.add_events(events, matching=matching, triggers=asked)[-1]
        begun = time.perf_counter()
        while read_to < last:
            read_to += scheduler.tick()
        seconds = time.perf_counter() - begun
        _take_in(scheduler)
        return seconds

    def _register(self, scheduler: Scheduler) -> None:
        present, number = len(self._filling.triggers), self._sizes.registered
        begun = time.perf_counter()
        for each in range(present, present + number):
            self._server.client.put("/triggers", self._filling.spec(each))
        self.registering_seconds = time.perf_counter() - begun
        begun = time.perf_counter()
        _take_in(scheduler)
        self.taking_in_seconds = time.perf_counter() - begun


def run_ticks(databases: Databases, *, sizes: Sizes) -> list[Verdict]:
    """Measure every layout on every database, print, and return the verdicts."""
    verdicts = []
    layouts: tuple[Layout, ...] = ("1,000 projects", "one project")
    for kind in databases.kinds:
        for layout in layouts:
            say(f"ticks: {kind}, {layout}")
            with running(databases, kind) as server:
                ticks = Ticks(server, layout=layout, sizes=sizes)
                ticks.measure()
            _show(ticks, title=f"{kind}, triggers in {layout}, log of {sizes.log:,} events", sizes=sizes)
            verdicts += _verdicts(ticks, title=f"{kind}, {layout}", sizes=sizes)
    return verdicts


def _take_in(scheduler: Scheduler) -> None:
    while scheduler.tick() > 0:
        pass


def _show(ticks: Ticks, *, title: str, sizes: Sizes) -> None:
    few, many = sizes.triggers[0], sizes.triggers[-1]
    print(f"\nA tick: {title}")
    head = ("new events", "of them match", *(f"{count:,} triggers, ms" for count in sizes.triggers), "ratio")
    rows: list[tuple[str, ...]] = [head]
    for matching in (False, True):
        for events in sizes.events[matching:]:
            cells = [ticks.milliseconds[matching, events, triggers] for triggers in sizes.triggers]
            rows.append(
                (
                    f"{events:,}",
                    "all" if matching else "none",
                    *(f"{cell:.1f}" for cell in cells),
                    f"{ticks.milliseconds[matching, events, many] / ticks.milliseconds[matching, events, few]:.2f} x",
                )
            )
    print_rows(rows)
    started = ", ".join(f"{count:,}: {seconds:.2f} s" for count, seconds in ticks.start_seconds.items())
    print(f"start of a scheduler, by triggers: {started}")
    print(
        f"{sizes.registered:,} more registered, one PUT each: {ticks.registering_seconds:.2f} s; "
        f"the scheduler that runs took them in within {ticks.taking_in_seconds:.2f} s"
    )


def _verdicts(ticks: Ticks, *, title: str, sizes: Sizes) -> list[Verdict]:
    few, many = sizes.triggers[0], sizes.triggers[-1]
    cells = ticks.milliseconds
    by_triggers = max(cells[cell, events, many] / cells[cell, events, few] for cell, events, _ in cells)
    some, more = sizes.events[-2:]
    # Of those that match the rate of firings is the measure: see `triggers_firings`.
    by_events = cells[False, more, many] / cells[False, some, many]
    return [
        Verdict(
            f"tick, {many:,} triggers against {few:,} ({title})",
            f"{by_triggers:.2f} x at most",
            f"{GOAL_TRIGGERS} x",
            by_triggers <= GOAL_TRIGGERS,
        ),
        Verdict(
            f"tick, {more:,} new events against {some:,} ({title})",
            f"{by_events:.1f} x",
            f"{GOAL_EVENTS:.0f} x",
            by_events <= GOAL_EVENTS,
        ),
    ]
