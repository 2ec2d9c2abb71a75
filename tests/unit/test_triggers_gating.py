from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.errors import NotFound
from orchestrator.records.condition import TaskCondition
from orchestrator.records.dataset import DatasetState, DatasetVersion
from orchestrator.records.drift import ProfileComparison, Verdict
from orchestrator.records.event import EventType
from orchestrator.records.gate import ColumnBounds, GateReport, Gates
from orchestrator.records.profile import DatasetProfile, TableProfile
from triggers import gating
from triggers.actions import Actions
from triggers.functions import FunctionFailed
from triggers.gating import StatisticsMissing
from triggers.performing import Abandoned
from triggers.testing import DATASET, NOW, make_event, make_hold, make_work

if TYPE_CHECKING:
    from collections.abc import Callable

    from triggers.performing import Hold

PARENT, NAMED, NEWER = "a" * 32, "b" * 32, "c" * 32
NOT_YET = NotFound("sensors 1.0.0 has no profile yet.", hint="It is being made; ask again in a moment.")
PROFILE = DatasetProfile(files=3, tables=(TableProfile(columns=(), files=3, rows=30, first_path="a.csv"),))
COMPARISON = ProfileComparison(files=3, reference_files=2, verdict=Verdict.SAME)


class Server:
    """Knows dataset versions; statistics come after so many questions."""

    def __init__(self, *, parents: tuple[str, ...] = (PARENT,), questions_before: int = 0) -> None:
        self.parents = parents
        self.left = questions_before
        self.asked: list[tuple[str, ...]] = []
        self.deleted: set[str] = set()
        self.on_question: Callable[[], None] = lambda: None

    def dataset(self, version_id: str) -> DatasetVersion:
        self.asked.append(("dataset", version_id))
        return DatasetVersion(
            id=version_id,
            project="occupancy",
            name="sensors",
            version="1.0.0",
            state=DatasetState.FINAL,
            parents=() if version_id in {PARENT, NAMED} else self.parents,
            file_count=3,
            added_count=1,
            created_at=NOW,
            created_by="a" * 32,
            changed_at=NOW,
            deleted_at=NOW if version_id in self.deleted else None,
        )

    def profile(self, version_id: str) -> DatasetProfile:
        self._wait(("profile", version_id))
        return PROFILE

    def comparison(self, version_id: str, *, against: str) -> ProfileComparison:
        self._wait(("comparison", version_id, against))
        return COMPARISON

    def _wait(self, question: tuple[str, ...]) -> None:
        self.asked.append(question)
        self.on_question()
        if self.left:
            self.left -= 1
            raise NOT_YET


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gating, "FIRST_PAUSE_SECONDS", 0.001)


def look(server: Server, gates: Gates, *, hold: Hold | None = None, **functions: Callable[..., Any]) -> GateReport:
    hold = hold or make_hold(make_work(gates=gates))
    report = Actions(server, functions=functions, environ={}).perform(hold).gate
    assert report is not None
    return report


def test_numbers_of_files_need_no_statistics() -> None:
    server = Server()
    report = look(server, Gates(min_files=3, min_added_files=2))
    assert [(check.name, check.value, check.passed) for check in report.checks] == [
        ("min_files", 3, True),
        ("min_added_files", 1, False),
    ]
    assert not report.open
    assert report.dataset == DATASET
    assert server.asked == [("dataset", DATASET)]


def test_numbers_of_rows_are_those_of_the_profile() -> None:
    server = Server()
    report = look(server, Gates(min_rows=31))
    assert [(check.value, check.passed) for check in report.checks] == [(30, False)]
    assert server.asked == [("dataset", DATASET), ("profile", DATASET)]


@pytest.mark.parametrize(
    "gates", [Gates(same_columns=True), Gates(max_psi=0.2), Gates(columns={"CO2": ColumnBounds(max_ks=0.1)})]
)
def test_what_compares_is_held_against_the_first_parent(gates: Gates) -> None:
    server = Server(parents=(PARENT, NAMED))
    report = look(server, gates)
    assert ("comparison", DATASET, PARENT) in server.asked
    assert report.reference == PARENT


def test_what_compares_is_held_against_the_reference_that_is_named() -> None:
    server = Server()
    assert look(server, Gates(max_psi=0.2, reference=NAMED)).reference == NAMED
    assert ("comparison", DATASET, NAMED) in server.asked


def test_without_a_parent_what_compares_holds() -> None:
    server = Server(parents=())
    report = look(server, Gates(same_columns=True))
    assert report.open
    assert report.reference is None
    assert not [question for question in server.asked if question[0] == "comparison"]


def test_the_newest_of_several_versions_is_looked_at() -> None:
    gates = Gates(min_files=1)
    server = Server()
    hold = make_hold(make_work(gates=gates, events=[make_event(1), make_event(2, subject=NEWER)]))
    assert look(server, gates, hold=hold).dataset == NEWER


def test_statistics_that_are_being_made_are_waited_for() -> None:
    server = Server(questions_before=3)
    assert look(server, Gates(min_rows=30)).open
    assert server.asked.count(("profile", DATASET)) == 4


def test_statistics_that_do_not_come_fail_the_firing_with_what_the_server_says() -> None:
    clock, server, gates = Clock(), Server(questions_before=10), Gates(min_rows=1)

    def passes() -> None:
        clock.seconds += 250

    server.on_question = passes
    hold = make_hold(make_work(gates=gates), monotonic=clock)
    with pytest.raises(StatisticsMissing, match=r"10 minutes.*It is being made"):
        look(server, gates, hold=hold)
    assert server.asked.count(("profile", DATASET)) == 3


@pytest.mark.parametrize("why", ["lost", "closing"])
def test_nobody_waits_for_statistics_of_what_is_not_theirs_any_more(why: str) -> None:
    closing, server, gates = threading.Event(), Server(questions_before=10), Gates(min_rows=1)
    hold = make_hold(make_work(gates=gates), is_closing=closing)

    def end() -> None:
        if why == "lost":
            hold.is_lost = True
        else:
            closing.set()

    server.on_question = end
    with pytest.raises(Abandoned):
        look(server, gates, hold=hold)
    assert server.asked.count(("profile", DATASET)) == 1


@pytest.mark.parametrize(("gone", "word"), [(DATASET, "was deleted"), (PARENT, "the reference, was deleted")])
def test_what_was_deleted_closes_the_gate_and_says_so(gone: str, word: str) -> None:
    server = Server()
    server.deleted.add(gone)
    report = look(server, Gates(same_columns=True))
    assert not report.open
    assert word in report.checks[0].reason


@pytest.mark.parametrize(
    ("answer", "is_open", "reason"),
    [
        (True, True, ""),
        (0, False, ""),
        ((False, "Too hot."), False, "Too hot."),
        (["any"], True, ""),
        (None, False, ""),
    ],
)
def test_a_function_of_ones_own_opens_or_closes(answer: object, is_open: bool, reason: str) -> None:
    report = look(Server(), Gates(function="weather"), weather=lambda _events: answer)
    assert report.open is is_open
    assert reason in report.checks[-1].reason


def test_a_function_gets_the_id_that_it_asks_for() -> None:
    heard = []

    def weather(dataset_id: str) -> bool:
        heard.append(dataset_id)
        return True

    look(Server(), Gates(function="weather"), weather=weather)
    assert heard == [DATASET]


def test_a_function_that_fails_or_is_not_here_fails_the_firing() -> None:
    with pytest.raises(FunctionFailed, match="ZeroDivisionError"):
        look(Server(), Gates(function="weather"), weather=lambda _events: 1 / 0)
    with pytest.raises(NotFound, match="weather"):
        look(Server(), Gates(function="weather"))


def test_an_event_of_no_dataset_version_is_told_of() -> None:
    gates = Gates(min_files=1)
    event = make_event(type=EventType.TASK_COMPLETED, subject="e" * 32)
    hold = make_hold(make_work(gates=gates, events=[event], condition=TaskCondition()))
    server = Server()
    report = look(server, gates, hold=hold)
    assert not report.open
    assert server.asked == []


def test_the_report_is_of_the_time_of_the_database() -> None:
    clock = Clock()
    hold = make_hold(make_work(gates=Gates(min_files=1)), monotonic=clock)
    clock.seconds = 5
    assert (look(Server(), Gates(min_files=1), hold=hold).checked_at - NOW).total_seconds() == 5
