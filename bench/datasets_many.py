"""A million files of 1 KiB, and a thousand versions in a chain."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from typing import TYPE_CHECKING

from datasets_dvc import Dvc
from datasets_figures import MIB, Figures, Verdict, say
from datasets_processes import run_step
from datasets_rounds import DVC, RETRAIN, Client, warm_server
from datasets_trees import change, make_many

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datasets_aside import Place
    from datasets_figures import Run
    from datasets_processes import RetrainServer

_ENTRIES = 21
_OPENINGS = 15
GOAL_ENTRY_SHARE = 0.1
"""Of the manifest that reading one entry may read."""
GOAL_OPENING = 1.2
"""Times the second version, for the last one of a chain: the same but for noise."""
_CHAIN_FILES = 1000


def run_million(place: Place, *, count: int, count_of_peer: int) -> tuple[Figures, list[Verdict]]:
    """Store, change, copy and fetch very many small files.

    Args:
        place: where.
        count: of files for retrain.
        count_of_peer: of files for DVC.
    """
    figures = Figures(f"{count:,} files of 1 KiB for retrain; warm caches, one round")
    found: list[Verdict] = []
    work = place.root / "million"
    source = work / "source"
    make_many(source, count=count)
    with warm_server(work, aside=place.aside) as server:
        client = Client("million", server=server, home=work / "client", source=source, aside=place.aside)
        for step, run in _steps(client, source):
            _note(figures, step, RETRAIN, run(), count=count)
        list_bytes, block_bytes, blocks = _manifest_on_disk(server)
        paths = [str(path.relative_to(source)) for path in change(source, seed=7)]
        looked_up = run_step(
            "entry",
            {"name": "million", "paths": _some(paths), "folder": work},
            server=server,
            environment=server.environment(work / "client"),
        )
        _note(figures, "entry", RETRAIN, looked_up, count=1)
    read = looked_up.details["list bytes"] + looked_up.details["most block bytes"]
    stored = list_bytes + block_bytes
    print(
        f"\nmanifest of retrain, first and second version together: {stored / MIB:.1f} MiB in the database: "
        f"{blocks} blocks with {block_bytes / MIB:.1f} MiB, lists with {list_bytes / MIB:.2f} MiB; "
        f"{stored / count:.0f} bytes a file"
    )
    found.append(
        Verdict(
            "bytes of the manifest read for one entry",
            f"{read / 1024:.0f} KiB of {stored / 1024:,.0f} KiB ({looked_up.details['lookup ms']:.1f} ms)",
            f"at most {GOAL_ENTRY_SHARE:.0%} of it",
            read <= GOAL_ENTRY_SHARE * stored,
        )
    )
    if place.programs is not None:
        _run_peer(place, figures, count=count_of_peer, times=count / count_of_peer)
    return figures, found + figures.memory_verdicts()


def run_chain(place: Place, *, versions: int) -> tuple[Figures, list[Verdict]]:
    """Make a chain of versions, then open the second and the last in turn, as one who sees them the first time.

    Args:
        place: where.
        versions: how many.
    """
    figures = Figures(f"a chain of {versions:,} versions, {_CHAIN_FILES:,} files at first; warm caches")
    work = place.root / "chain"
    source, changed = work / "source", work / "changed"
    make_many(source, count=_CHAIN_FILES)
    changed.mkdir()
    with warm_server(work, aside=place.aside) as server:
        grown = run_step(
            "grow",
            {"name": "chain", "source": source, "changed": changed, "versions": versions},
            server=server,
            environment=server.environment(work / "grower"),
        )
        figures.add("grow", RETRAIN, grown)
        say(f"chain of {versions} versions: {grown.seconds:.1f} s")
        server.wait_until_idle()
        for turn in range(_OPENINGS):
            for number in (2, versions) if turn % 2 else (versions, 2):
                home = work / f"opener-{turn}-{number}"
                run = run_step(
                    "open_version",
                    {"name": "chain", "number": number, "folder": work, "file": "0000/0000007.bin"},
                    server=server,
                    environment=server.environment(home),
                )
                figures.add(f"open version {number}", RETRAIN, run)
    second, last = (figures.median(f"open version {number}", RETRAIN) for number in (2, versions))
    opening = Verdict(
        f"opening version {versions:,} of a chain",
        f"{last * 1000:.1f} ms = {last / second:.2f} x opening the second ({second * 1000:.1f} ms)",
        f"at most {GOAL_OPENING} x",
        last <= GOAL_OPENING * second,
    )
    return figures, [opening, *figures.memory_verdicts()]


def _steps(client: Client, source: Path) -> list[tuple[str, Callable[[], Run]]]:
    def following() -> Run:
        change(source, seed=7)
        return client.following()

    return [("first", client.first), ("next", following), ("fetch", client.fetch), ("copy", client.local_copy)]


def _run_peer(place: Place, figures: Figures, *, count: int, times: float) -> None:
    work = place.root / "million"
    source = work / "source"
    make_many(source, count=count)
    dvc = Dvc(work / "dvc", place=place, source=source, caches="warm")
    who = f"{DVC} at {count:,}"
    steps: list[tuple[str, Callable[[], Run]]] = [
        ("first", dvc.first),
        ("next", lambda: dvc.following(seed=7)),
        ("copy", lambda: dvc.local_copy(links=False)),
    ]
    runs = {}
    for step, run in steps:
        runs[step] = _note(figures, step, who, run(), count=count)
    listed = dvc.list_file()
    paths = [str(path.relative_to(source)) for path in change(source, seed=8)]
    runs["entry"] = _note(
        figures, "entry", who, run_step("entry_of_list", {"list_file": listed, "paths": _some(paths)}), count=1
    )
    list_bytes = listed.stat().st_size
    runs["fetch"] = _note(figures, "fetch", who, dvc.fetch(), count=count)
    start = dvc.start()
    for step, run_of_peer in runs.items():
        commands = {"first": 2, "next": 2, "entry": 0}.get(step, 1)
        extrapolated = _extrapolated(run_of_peer, times=times, start=start, commands=commands)
        figures.add(step, f"{DVC}, EXTRAPOLATED x {times:g}", extrapolated)
    print(
        f"manifest of DVC, one version: {list_bytes / MIB:.1f} MiB in one file at {count:,} files, "
        f"EXTRAPOLATED {times * list_bytes / MIB:.1f} MiB; {list_bytes / count:.0f} bytes a file; "
        "read whole for one entry"
    )
    place.aside.put(work, whole=True)


def _extrapolated(run: Run, *, times: float, start: Run, commands: int) -> Run:
    """Return what grows with the files grown; what a command takes for its start does not grow."""
    fixed_seconds, fixed_bytes = start.seconds * commands, start.client_bytes if commands else 0
    return run._replace(
        seconds=fixed_seconds + (run.seconds - fixed_seconds) * times,
        settled=fixed_seconds + (run.settled - fixed_seconds) * times,
        client_bytes=int(fixed_bytes + (run.client_bytes - fixed_bytes) * times),
        details={},
    )


def _note(figures: Figures, step: str, who: str, run: Run, *, count: int) -> Run:
    figures.add(step, who, run)
    rate, memory = count / run.seconds, run.client_bytes / MIB
    say(f"{step}, {who}: {run.seconds:.2f} s, {rate:,.0f} files/s, client {memory:.0f} MiB")
    return run


def _manifest_on_disk(server: RetrainServer) -> tuple[int, int, int]:
    """Return the bytes of lists, the bytes of blocks and the number of blocks that the server's database holds."""
    database = f"file:{server.home / 'database.sqlite'}?mode=ro"
    with contextlib.closing(sqlite3.connect(database, uri=True)) as connection:
        (list_bytes,) = connection.execute("SELECT sum(length(data)) FROM manifests").fetchone()
        block_bytes, blocks = connection.execute("SELECT sum(length(data)), count(*) FROM manifest_blocks").fetchone()
    return list_bytes, block_bytes, blocks


def _some(paths: list[str]) -> list[str]:
    source = random.Random(3)  # noqa: S311  which files to look up is no secret
    return [source.choice(paths) for _ in range(_ENTRIES)]
