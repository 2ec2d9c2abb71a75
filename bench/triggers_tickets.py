"""From a tag to the ticket in Redis, with many triggers registered; the scheduler is a process of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import redis
from blake3 import blake3
from datasets_figures import Verdict, print_rows, say
from triggers_filling import Filling
from triggers_servers import ending, running

if TYPE_CHECKING:
    from triggers_servers import Databases, Running

    from orchestrator.sdk.client import Client

GOAL_MILLISECONDS = 30.0
_TICKETS = "rq:queue:default"
_LONGEST_SECONDS = 30
_REST_SECONDS = 0.05
"""From one tag to the next: they are single events, not a stream."""
_WARM_UP = 5
_TAG = "tag-0"
"""What the first trigger waits for; see `triggers_filling`."""


class Latency(NamedTuple):
    """Milliseconds of each tag.

    Attributes:
        tickets: until the ticket was in Redis.
        answers: until the request that tagged was answered.
    """

    tickets: list[float]
    answers: list[float]


class _Worker:
    """Takes tickets as an agent does, and notes when the first of each task came: the sweep rings again for others."""

    def __init__(self, url: str) -> None:
        self._connection = redis.Redis.from_url(url)
        self._seen: set[bytes] = set()

    def wait(self) -> float:
        """Return when a ticket of a new task came, by `time.perf_counter`."""
        while True:
            ticket = self._connection.blmove(_TICKETS, "bench:taken", _LONGEST_SECONDS)
            now = time.perf_counter()
            assert isinstance(ticket, bytes), f"no ticket came in {_LONGEST_SECONDS} s"
            task = ticket.rpartition(b"-")[0]
            if task not in self._seen:
                self._seen.add(task)
                return now

    def close(self) -> None:
        self._connection.close()


def run_tickets(databases: Databases, *, triggers: int, tags: int) -> tuple[list[Verdict], dict[str, float]]:
    """Measure on every database, print, and return the verdicts and the medians in milliseconds by database.

    Args:
        databases: which there are.
        triggers: how many are registered.
        tags: how often it is measured.
    """
    rows: list[tuple[str, ...]] = [
        ("database", "p50 ms", "p95 ms", "min ms", "max ms", "answer to the tag itself, p50 ms")
    ]
    verdicts: list[Verdict] = []
    medians: dict[str, float] = {}
    for kind in databases.kinds:
        say(f"tickets: {kind}")
        with running(databases, kind) as server:
            latency = _measure(server, triggers=triggers, tags=tags)
        median, late = statistics.median(latency.tickets), statistics.quantiles(latency.tickets, n=20)[-1]
        medians[kind] = median
        figures = (median, late, min(latency.tickets), max(latency.tickets), statistics.median(latency.answers))
        rows.append((kind, *(f"{figure:.1f}" for figure in figures)))
        goal = f"below {GOAL_MILLISECONDS:.0f} ms"
        verdicts.append(Verdict(f"tag to ticket, p50 ({kind})", f"{median:.1f} ms", goal, median < GOAL_MILLISECONDS))
    print(f"\nFrom a tag to the ticket in Redis, {triggers:,} triggers registered, {tags} tags")
    print_rows(rows)
    return verdicts, medians


def _measure(server: Running, *, triggers: int, tags: int) -> Latency:
    Filling(server, "1,000 projects").add_triggers(triggers)
    path = f"/datasets/{_make_version(server.client)}/tags"
    log = Path(server.environment["RETRAIN_HOME"]) / "scheduler.log"
    latency = Latency([], [])
    worker = _Worker(server.redis_url)
    with ending(lambda: _start_scheduler(server.environment, log=log)):
        for number in range(_WARM_UP + tags):
            came: list[float] = []
            waiting = threading.Thread(target=lambda came=came: came.append(worker.wait()))
            waiting.start()
            time.sleep(_REST_SECONDS)
            begun = time.perf_counter()
            server.client.post(path, {"add": [_TAG]})
            answered = time.perf_counter()
            waiting.join()
            assert came, f"no ticket came; see {log}"
            if number >= _WARM_UP:
                latency.tickets.append(1000 * (came[0] - begun))
                latency.answers.append(1000 * (answered - begun))
            server.client.post(path, {"remove": [_TAG]})
    worker.close()
    return latency


def _make_version(client: Client) -> str:
    data = b"a file"
    file = {"path": "a.csv", "size_bytes": len(data), "digest": f"blake3:{blake3(data).hexdigest()}"}
    client.put_bytes(f"/blobs/{file['digest']}", data)
    version = str(client.post("/datasets", {"project": "team/p0000", "name": "sensors", "tags": ["checked"]})["id"])
    client.post(f"/datasets/{version}/entries", {"put": [file]})
    client.post(f"/datasets/{version}/finalize")
    return version


def _start_scheduler(environment: dict[str, str], *, log: Path) -> subprocess.Popen[str]:
    with log.open("w") as errors:
        command = [sys.executable, "-m", "orchestrator.cli.main", "scheduler"]
        return subprocess.Popen(command, env=environment, stdout=errors, stderr=errors, text=True)
