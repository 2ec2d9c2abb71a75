"""Dagster and Prefect beside `bench/triggers.py`: installed from the package index into environments of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from datasets_figures import Verdict, print_rows, say
from triggers_prefect import measure_prefect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from triggers_prefect import PrefectFigures
    from triggers_servers import Databases

_PROGRAM = Path(__file__).with_name("triggers_dagster.py")
_PACKAGES = {"dagster": ("dagster", "dagster-postgres", "sqlalchemy<2.1"), "prefect": ("prefect",)}
"""SQLAlchemy 2.1 takes another driver for `postgresql://` than the one that comes with dagster-postgres."""


class PeerSizes(NamedTuple):
    """How many of what.

    Attributes:
        requests: run requests of one evaluation of Dagster's sensor.
        sensors: those of Dagster that find nothing.
        events: posted to Prefect at once.
        singles: posted to it one after another.
    """

    requests: tuple[int, ...]
    sensors: int
    events: int
    singles: int


FULL = PeerSizes(requests=(10, 100, 300), sensors=100, events=200, singles=50)
QUICK = PeerSizes(requests=(10, 50), sensors=10, events=30, singles=10)


class Ours(NamedTuple):
    """What was measured of ours in the same run.

    Attributes:
        rates: the worst rate of firings by database.
        latencies: from the tag to the ticket, the medians in milliseconds by database.
    """

    rates: dict[str, float]
    latencies: dict[str, float]


def run_peers(databases: Databases, *, folder: Path, sizes: PeerSizes, ours: Ours) -> list[Verdict]:
    """Measure the peers that can be installed, print, and return the verdicts.

    Args:
        databases: which there are.
        folder: where the environments are made, unless they are there.
        sizes: how many of what.
        ours: to be compared with.
    """
    verdicts: list[Verdict] = []
    if (python := _install("dagster", folder=folder)) is not None:
        for kind in databases.kinds:
            say(f"Dagster: {kind}")
            verdicts += _compare_dagster(
                kind, python=python, databases=databases, sizes=sizes, ours=ours, folder=folder
            )
    if (python := _install("prefect", folder=folder)) is not None:
        say("Prefect")
        verdicts += _compare_prefect(measure_prefect(python, events=sizes.events, singles=sizes.singles), ours=ours)
    return verdicts


def _install(name: str, *, folder: Path) -> Path | None:
    """Return an interpreter that has it, or None where it cannot be installed, having said why."""
    environment = folder / f"{name}-environment"
    python = environment / "bin" / "python"
    if not (environment / "complete").exists():
        say(f"installing {name}")
        try:
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(environment)],
                [str(python), "-m", "pip", "install", "--quiet", *_PACKAGES[name]],
            ):
                subprocess.run(command, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
            print(f"\n{name} cannot be installed here, so there is nothing to compare with: {last}")
            return None
        (environment / "complete").touch()
    return python


def _run_dagster(arguments: Sequence[str], *, python: Path, folder: Path) -> dict[str, Any]:
    foreign = ("DAGSTER_", "PYTHON")
    ended = subprocess.run(
        [str(python), str(_PROGRAM), *arguments],
        env={name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
    )
    if ended.returncode:
        raise RuntimeError(f"Dagster's program ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    # Its code server logs to stdout, too.
    found: dict[str, Any] = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    return found


def _compare_dagster(  # noqa: PLR0913  a comparison has many parts
    kind: str, *, python: Path, databases: Databases, sizes: PeerSizes, ours: Ours, folder: Path
) -> list[Verdict]:
    def measure(requests: tuple[int, ...], sensors: int) -> dict[str, Any]:
        database = databases.make(kind, folder=folder) if kind == "PostgreSQL" else ""
        return _run_dagster([",".join(map(str, requests)), str(sensors), database], python=python, folder=folder)

    found, idle = measure(sizes.requests, 1), measure((), sizes.sensors)
    own = ours.rates.get(kind)
    print(f"\nDagster {found['version']}, {kind}: an iteration of the sensor daemon; runs are enqueued, not launched")
    rows = [("run requests", "s", "ms each", "a second", "our firings a second", "ratio")]
    best = 0.0
    for count, taken in found["seconds"].items():
        rate = int(count) / taken
        best = max(best, rate)
        rows.append(
            (
                f"{int(count):,}",
                f"{taken:.2f}",
                f"{1000 / rate:.1f}",
                f"{rate:.1f}",
                "" if own is None else f"{own:.0f}",
                "" if own is None else f"{own / rate:.0f} x",
            )
        )
    print_rows(rows)
    print(
        f"a sensor that finds nothing: {1000 * idle['idle_seconds'] / sizes.sensors:.1f} ms of each iteration "
        f"(of {sizes.sensors} sensors); ours: nothing, see the ticks"
    )
    print(
        f"latency, not measured: a sensor is looked at every {found['interval_seconds']} s by default, "
        f"at most every {found['loop_seconds']} s, which is how often the daemon's loop turns"
    )
    if own is None:
        return []
    return [Verdict(f"firings against Dagster's run requests ({kind})", f"{own / best:.0f} x", "1 x", own >= best)]


def _compare_prefect(peer: PrefectFigures, *, ours: Ours) -> list[Verdict]:
    own, latency = ours.rates.get("SQLite"), ours.latencies.get("SQLite")
    rate = peer.events / peer.seconds
    print(f"\nPrefect {peer.version}, SQLite: an automation that runs a deployment for each event, no worker")
    rows = [("what", "Prefect", "ours", "ratio")]
    verdicts = []
    if own is not None:
        rows.append((f"a second, of {peer.events} at once", f"{rate:.1f}", f"{own:.0f}", f"{own / rate:.0f} x"))
        verdicts.append(
            Verdict("firings against Prefect's flow runs (SQLite)", f"{own / rate:.0f} x", "1 x", own >= rate)
        )
    else:
        rows.append((f"a second, of {peer.events} at once", f"{rate:.1f}", "", ""))
    milliseconds = 1000 * peer.latency
    if latency is not None:
        ratio = milliseconds / latency
        rows.append(
            ("event to flow run, tag to ticket: p50 ms", f"{milliseconds:.0f}", f"{latency:.1f}", f"{ratio:.1f} x")
        )
        verdicts.append(Verdict("latency against Prefect's (SQLite)", f"{ratio:.1f} x", "1 x", ratio >= 1))
    else:
        rows.append(("event to flow run: p50 ms", f"{milliseconds:.0f}", "", ""))
    print_rows(rows)
    return verdicts
