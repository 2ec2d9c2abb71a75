from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from agent.forks import fork
from agent.occupancy import Occupancy
from agent.runs import Phase, RunDirectory, RunState
from orchestrator.records.task import Attempt, Task
from orchestrator.wire import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = "2026-01-02T03:04:05Z"
TASK = "a" * 32


@pytest.fixture
def claim() -> Claim:
    return Claim(
        task=Task(id=TASK, project="p", name="n", created_at=NOW, created_by="b" * 32, changed_at=NOW),
        attempt=Attempt(task_id=TASK, number=1, slot="main", token_id="c" * 32, lease_expires_at=NOW, claimed_at=NOW),
        parameters=(),
        token="rt_secret",
        lease_seconds=60,
        heartbeat_seconds=15,
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    directory = tmp_path / "runs"
    directory.mkdir()
    return directory


@pytest.fixture
def occupancies() -> Iterator[list[Occupancy]]:
    made: list[Occupancy] = []
    yield made
    for each in made:
        each.end(signal.SIGKILL)
        while each.busy():
            each.wait(1)
            each.attend()


def follow(occupancy: Occupancy, *, seconds: float = 5) -> float:
    """Attend until the slot is free; return how long that took."""
    began = time.monotonic()
    while occupancy.busy() and time.monotonic() - began < seconds:
        occupancy.wait(seconds)
        occupancy.attend()
    return time.monotonic() - began


def tally(run: RunDirectory) -> int:
    with (run.path / "tally").open("a+") as file:
        file.write(f"{os.getpid()}\n")
        file.seek(0)
        return len(file.readlines())


def finish(run: RunDirectory) -> int:
    run.save(RunState(phase=Phase.FINISHED))
    return 0


def test_the_end_of_a_run_frees_the_slot_at_once(runs: Path, claim: Claim, occupancies: list[Occupancy]) -> None:
    occupancy = Occupancy(runs, mine=lambda _: True, supervise=finish)
    occupancies.append(occupancy)
    occupancy.begin(claim)
    assert occupancy.busy()
    assert follow(occupancy) < 1
    assert not occupancy.busy()


def test_a_run_whose_supervisor_dies_gets_another_one(runs: Path, claim: Claim, occupancies: list[Occupancy]) -> None:
    def supervise(run: RunDirectory) -> int:
        if tally(run) < 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return finish(run)

    occupancy = Occupancy(runs, mine=lambda _: True, supervise=supervise)
    occupancies.append(occupancy)
    occupancy.begin(claim)
    follow(occupancy)
    assert not occupancy.busy()
    assert len((runs / f"{TASK}-1" / "tally").read_text().split()) == 3


def hold_for_a_moment(run: RunDirectory) -> int:
    assert run.lock.acquire()
    tally(run)
    time.sleep(0.3)
    return finish(run)


def test_a_supervisor_that_outlived_its_agent_is_followed_and_not_doubled(
    runs: Path, claim: Claim, occupancies: list[Occupancy]
) -> None:
    run = RunDirectory.create(runs, claim)
    survivor = fork(lambda: hold_for_a_moment(run))
    while run.lock.holder() is None:
        time.sleep(0.01)

    occupancy = Occupancy(runs, mine=lambda _: True, supervise=hold_for_a_moment)
    occupancies.append(occupancy)
    occupancy.take_over()
    assert occupancy.busy()
    follow(occupancy)
    assert not occupancy.busy()
    assert (run.path / "tally").read_text().split() == [str(survivor)]


@pytest.mark.parametrize(("mine", "busy"), [(True, True), (False, False)])
def test_a_slot_takes_over_its_own_runs_alone(
    runs: Path, claim: Claim, occupancies: list[Occupancy], mine: bool, busy: bool
) -> None:
    RunDirectory.create(runs, claim)
    picky: Callable[[Claim], bool] = lambda _: mine  # noqa: E731  a constant answer
    occupancy = Occupancy(runs, mine=picky, supervise=finish)
    occupancies.append(occupancy)
    occupancy.take_over()
    assert occupancy.busy() is busy
