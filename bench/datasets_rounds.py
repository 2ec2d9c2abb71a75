"""The four steps of the issue's table: retrain, DVC and the floors in alternating order, round by round."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from typing import TYPE_CHECKING

from datasets_aside import creation_microseconds
from datasets_clock import PROJECT
from datasets_dvc import LINKS, Dvc
from datasets_figures import MIB, Figures, Run, Verdict, say
from datasets_processes import RetrainServer, prepare, run_command, run_step
from datasets_trees import change, tree_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from datasets_aside import Aside, Place
    from datasets_processes import Caches

RETRAIN, COMMANDS = "retrain", "retrain, as commands"
DVC, DVC_LINKS = "DVC", f"DVC, {LINKS}"
ONE_TO_ONE, INTO_ONE = "read, hash, write, file by file", "read, hash, write, into one file"
WALK, LINK, COPY = "walk and stat", "make the links", "cp -r"
STEPS = ("first", "next", "copy", "fetch")


class Client:
    """What a script's machine does with one dataset, and what it keeps.

    Args:
        name: the dataset's.
        server: where versions are stored.
        home: where the client keeps what it fetched.
        source: the data.
        aside: takes what is not needed any more.
        caches: how the kernel's caches are before each step.
    """

    def __init__(  # noqa: PLR0913  what a step needs
        self, name: str, *, server: RetrainServer, home: Path, source: Path, aside: Aside, caches: Caches = "warm"
    ) -> None:
        self._name, self._server, self._home, self._source = name, server, home, source
        self._aside, self._caches = aside, caches

    def first(self) -> Run:
        """Store the first version."""
        return self._step("first", self._source)

    def following(self) -> Run:
        """Store the next version; files were changed before."""
        return self._step("following", self._source)

    def local_copy(self) -> Run:
        """Make the tree, all bytes being in the cache."""
        self._run("local_copy")
        self._aside.put(self._home / "cache" / "datasets")
        return self._step("local_copy", self._home)

    def fetch(self) -> Run:
        """Make the tree, nothing being in the cache."""
        self._aside.put(self._home)
        return self._step("local_copy", self._server.home)

    def _step(self, step: str, *read: Path) -> Run:
        prepare(self._caches, *read)
        run = self._run(step)
        afterwards = self._server.wait_until_idle()
        return run._replace(details=run.details | {"server afterwards s": afterwards})

    def _run(self, step: str) -> Run:
        return run_step(
            step,
            {"name": self._name, "source": self._source},
            server=self._server,
            environment=self._server.environment(self._home),
        )


class CommandLine(Client):
    """The same with `retrain dataset …`, each command from its start to its end."""

    def _run(self, step: str) -> Run:
        dataset, source = f"{PROJECT}/{self._name}", str(self._source)
        commands = {
            "first": [["create", PROJECT, self._name], ["add", dataset, source], ["finalize", dataset]],
            "following": [
                ["create", PROJECT, self._name, "--parent", dataset],
                ["sync", dataset, source],
                ["finalize", dataset],
            ],
            "local_copy": [["get", dataset]],
        }
        runs = {
            command[0]: run_command(
                [sys.executable, "-m", "orchestrator.cli.main", "dataset", *command],
                cwd=self._server.home,
                environment=self._server.environment(self._home),
                server=self._server,
            )
            for command in commands[step]
        }
        return Run(
            sum(run.seconds for run in runs.values()),
            sum(run.settled for run in runs.values()),
            max(run.client_bytes for run in runs.values()),
            max(run.server_bytes for run in runs.values()),
            {f"{command} s": run.seconds for command, run in runs.items()},
        )


def run_rounds(  # noqa: PLR0913  each part can be left out
    place: Place,
    *,
    source: Path,
    rounds: int,
    wanted: set[str],
    peer: bool = True,
    floors: bool = True,
    caches: Caches = "warm",
) -> Figures:
    """Run the rounds and return what they took.

    Args:
        place: where.
        source: the data.
        rounds: how many.
        wanted: which of `STEPS` are measured; what these need is done, too.
        peer: whether DVC is measured, if it is installed.
        floors: whether the floors are measured.
        caches: how the kernel's caches are before each step.
    """
    figures = Figures(f"10 KiB to 50 KiB and one large file; {caches} caches, {rounds} rounds")
    files, size_bytes = tree_size(source)
    for number in range(rounds):
        probed = creation_microseconds(place)
        say(f"creating an empty file takes {probed:.0f} us; 100 and more: files were deleted lately")
        with _contestants(place, source=source, peer=peer, caches=caches) as (retrain, dvc):
            for step in STEPS:
                if not any(STEPS.index(each) >= STEPS.index(step) for each in wanted):
                    break
                if step == "next":
                    change(source, seed=100 + number)
                runs: dict[str, Callable[[], Run]] = {RETRAIN: _of_retrain(retrain)[step]}
                if dvc is not None:
                    runs |= _of_dvc(dvc, seed=100 + number)[step]
                if floors and step in wanted:
                    runs |= _of_floors(place, source=source, caches=caches)[step]
                order = deque(runs)
                order.rotate(-number)
                for who in order:
                    run = runs[who]()
                    rate = ""
                    if step in {"first", "fetch"}:
                        rate = f", {size_bytes / MIB / run.seconds:,.0f} MiB/s, {files / run.seconds:,.0f} files/s"
                    say(f"{caches} round {number + 1}, {step}, {who}: {run.seconds:.3f} s{rate}")
                    if step in wanted:
                        figures.add(step, who, run)
    return figures


def run_commands(place: Place, *, source: Path) -> tuple[Figures, list[Verdict]]:
    """Run the steps once as commands: for information, the goals of time are for what a script does.

    Args:
        place: where.
        source: the data.
    """
    figures = Figures("the same as commands; warm caches, one round")
    work = place.root / "commands"
    with warm_server(work, aside=place.aside) as server:
        client = CommandLine("commands", server=server, home=work / "client", source=source, aside=place.aside)
        for step, run in _of_retrain(client).items():
            if step == "next":
                change(source, seed=99)
            measured = run()
            say(f"{step}, {COMMANDS}: {measured.seconds:.3f} s")
            figures.add(step, COMMANDS, measured)
    return figures, figures.memory_verdicts()


def verdicts(figures: Figures) -> list[Verdict]:
    """Compare with the goals; steps that were not measured are left out."""
    found = []
    for step, goal, floors, settled in (
        ("first", 1.5, (ONE_TO_ONE, INTO_ONE), True),
        ("next", 3.0, (WALK,), False),
        ("copy", 2.0, (LINK,), False),
        ("fetch", 1.5, (COPY,), False),
    ):
        if not all(figures.has(step, who) for who in (RETRAIN, *floors)):
            continue
        ours = figures.median(step, RETRAIN, settled=settled)
        floor = min(floors, key=lambda who: figures.median(step, who, settled=settled))
        least = figures.median(step, floor, settled=settled)
        peers = [
            f"{figures.median(step, who, settled=settled) / ours:.1f} x faster than {who}"
            for who in (DVC, DVC_LINKS)
            if figures.has(step, who)
        ]
        measured = "; ".join([f"{ours:.3f} s = {ours / least:.2f} x {floor} ({least:.3f} s)", *peers])
        found.append(Verdict(f"{step} ({figures.title})", measured, f"at most {goal} x", ours <= goal * least))
    return found


@contextlib.contextmanager
def _contestants(place: Place, *, source: Path, peer: bool, caches: Caches) -> Iterator[tuple[Client, Dvc | None]]:
    """Yield both with nothing stored; what they stored is put aside afterwards."""
    work = place.root / "round"
    with warm_server(work, aside=place.aside) as server:
        dvc = Dvc(work / "dvc", place=place, source=source, caches=caches) if peer and place.programs else None
        home = work / "client"
        yield Client("mixed", server=server, home=home, source=source, aside=place.aside, caches=caches), dvc


@contextlib.contextmanager
def warm_server(work: Path, *, aside: Aside) -> Iterator[RetrainServer]:
    """Run a server that has answered each kind of request once: it is a service, not started for each script.

    Args:
        work: for it and others; it is not there yet, and put aside at the end.
        aside: takes it.
    """
    try:
        with RetrainServer(work / "server").running() as server:
            source = work / "warm-up"
            source.mkdir()
            (source / "file").write_text("warm")
            client = Client("warm-up", server=server, home=work / "warm-up-client", source=source, aside=aside)
            client.first()
            client.fetch()
            yield server
    finally:
        aside.put(work, whole=True)


def _of_retrain(client: Client) -> Mapping[str, Callable[[], Run]]:
    return {"first": client.first, "next": client.following, "copy": client.local_copy, "fetch": client.fetch}


def _of_dvc(dvc: Dvc, *, seed: int) -> Mapping[str, Mapping[str, Callable[[], Run]]]:
    return {
        "first": {DVC: dvc.first},
        "next": {DVC: lambda: dvc.following(seed=seed)},
        "copy": {DVC: lambda: dvc.local_copy(links=False), DVC_LINKS: lambda: dvc.local_copy(links=True)},
        "fetch": {DVC: dvc.fetch},
    }


def _of_floors(place: Place, *, source: Path, caches: Caches) -> Mapping[str, Mapping[str, Callable[[], Run]]]:
    work = place.root / "floor"

    def measured(step: str, **arguments: object) -> Run:
        prepare(caches, source)
        run = run_step(step, {"source": source} | arguments)
        place.aside.put(work, whole=True)
        return run

    def linked() -> Run:
        store = work / "store"
        store.mkdir(parents=True)
        for number, _ in enumerate(path for path in source.rglob("*") if path.is_file()):
            (store / str(number)).touch()
        return measured("make_links", store=store, target=work / "links")

    def writing(step: str) -> Run:
        work.mkdir()
        return measured(step, target=work / "written")

    return {
        "first": {
            ONE_TO_ONE: lambda: writing("write_one_to_one"),
            INTO_ONE: lambda: writing("write_into_one"),
        },
        "next": {WALK: lambda: measured("walk")},
        "copy": {LINK: linked},
        "fetch": {COPY: lambda: writing("copy_tree")},
    }
