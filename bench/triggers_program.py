"""The parts of `bench/triggers.py`, which says what they are."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import triggers_peers
import triggers_ticks
from datasets_figures import show_verdicts
from triggers_firings import run_firings
from triggers_peers import Ours, run_peers
from triggers_servers import Databases
from triggers_tickets import run_tickets
from triggers_ticks import run_ticks

if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets_figures import Verdict

PARTS = ("ticks", "firings", "tickets", "peers")
KINDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_TRIGGERS = 1000
"""Registered while tickets are waited for."""


def run(description: str) -> None:
    """Measure and print.

    Args:
        description: of the program.
    """
    options = _options(description)
    found: list[Verdict] = []
    rates: dict[str, float] = {}
    latencies: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        databases = stack.enter_context(Databases([KINDS[kind] for kind in options.databases]))
        if "ticks" in options.only:
            found += run_ticks(databases, sizes=triggers_ticks.QUICK if options.quick else triggers_ticks.FULL)
        if "firings" in options.only:
            verdicts, rates = run_firings(databases, number=500 if options.quick else 3000)
            found += verdicts
        if "tickets" in options.only:
            verdicts, latencies = run_tickets(databases, triggers=_TRIGGERS, tags=30 if options.quick else 200)
            found += verdicts
        if "peers" in options.only:
            folder = options.dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="retrain-peers-")))
            folder.mkdir(parents=True, exist_ok=True)
            sizes = triggers_peers.QUICK if options.quick else triggers_peers.FULL
            found += run_peers(databases, folder=folder.absolute(), sizes=sizes, ours=Ours(rates, latencies))
    show_verdicts(found)


def _options(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, for trying; the goals are for the full ones")
    parser.add_argument("--only", type=_names(PARTS), default=list(PARTS), metavar=",".join(PARTS))
    parser.add_argument("--databases", type=_names(tuple(KINDS)), default=list(KINDS), metavar=",".join(KINDS))
    parser.add_argument("--dir", type=Path, help="where peers are installed; kept, they serve again. Else temporary")
    return parser.parse_args()


def _names(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return names

    return parse
