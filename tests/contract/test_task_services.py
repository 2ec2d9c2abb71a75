"""What the services promise of tasks: what their events tell, what can be made of one that ended, what a clone runs."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from orchestrator.errors import Conflict, Forbidden, IllegalTransition, InvalidRequest, UnknownParameter
from orchestrator.records.action import CloneAction
from orchestrator.records.agent import Slot
from orchestrator.records.condition import TaskCondition
from orchestrator.records.event import EventType
from orchestrator.records.firing import Firing
from orchestrator.records.lifecycle import Status
from orchestrator.records.series import Points
from orchestrator.records.source import Container, Source
from orchestrator.records.task import ExitReason, Parameter, Task
from orchestrator.services.agents import register_agent
from orchestrator.services.archive_task import archive_task, unarchive_task
from orchestrator.services.authenticate import authenticate
from orchestrator.services.claim import claim_task
from orchestrator.services.clone import announce_clone, clone_task, prepare_clone
from orchestrator.services.create_task import create_task
from orchestrator.services.edit_task import edit_task
from orchestrator.services.endings import SERIES_TOLD
from orchestrator.services.enqueue import dequeue_task, enqueue_task
from orchestrator.services.finish import finish_task
from orchestrator.services.heartbeat import extend_lease
from orchestrator.services.ids import new_id
from orchestrator.services.lose import lose_attempt
from orchestrator.services.parameters import put_parameters
from orchestrator.services.publish_task import publish_task
from orchestrator.services.queues import create_missing_queues
from orchestrator.services.read_results import get_points, list_series
from orchestrator.services.read_tasks import list_tasks
from orchestrator.services.rerun import rerun_task
from orchestrator.services.reset_task import reset_task
from orchestrator.services.results import append_series
from orchestrator.services.start import start_task
from orchestrator.services.stop import stop_task
from orchestrator.services.tag import tag_task
from orchestrator.services.tokens import create_first_token, create_token, revoke_token
from orchestrator.services.unit_of_work import write_as
from orchestrator.settings import Settings
from orchestrator.store.testing.records import a_trigger
from orchestrator.wire import (
    Claim,
    ClaimTask,
    CloneTask,
    CreateTask,
    CreateToken,
    EditTags,
    EditTask,
    EnqueueTask,
    FinishTask,
    Heartbeat,
    PutParameters,
    RegisterAgent,
    SeriesBatch,
    StartTask,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from orchestrator.records.base import Id
    from orchestrator.records.event import Event
    from orchestrator.records.principal import Principal
    from orchestrator.records.trigger import Trigger
    from orchestrator.store.protocol import Store, Transaction

T = TypeVar("T")
REPOSITORY = "https://git.example.org/occupancy.git"
CAPTURED = Source(
    repository=REPOSITORY,
    branch="main",
    commit="1" * 40,
    tree="2" * 40,
    patch="blake3:" + "3" * 64,
    left_out=(".env",),
)


class House:
    """A store with an administrator, the queues, and an agent with one slot."""

    def __init__(self, store: Store, home: Path) -> None:
        self.store = store
        self.settings = Settings(home=home)
        self.admin = self.bearer(store.write(partial(create_first_token, name="admin")))
        store.write(create_missing_queues)
        slots = (Slot(name="s", queues=("default",)),)
        body = RegisterAgent(name="a", hostname="h", version="1", executor="process", slots=slots)
        self.agent = self.do(register_agent, body=body, settings=self.settings).id

    def bearer(self, token: str) -> Principal:
        return self.store.read(partial(authenticate, token=token))

    def do(self, service: Callable[..., T], *, by: Principal | None = None, **arguments: object) -> T:
        actor = by or self.admin
        return write_as(self.store, actor, work=lambda tx: service(tx, actor, **arguments))

    def task(self, **fields: object) -> Id:
        body = CreateTask.model_validate({"project": "p", "name": "n"} | fields)
        return self.do(create_task, body=body).id

    def enqueue(self, task_id: Id) -> Task:
        return self.do(enqueue_task, task_id=task_id, body=EnqueueTask())

    def claim(self) -> Claim:
        claim = self.do(claim_task, agent_id=self.agent, body=ClaimTask(slot="s"), settings=self.settings)
        assert claim is not None
        return claim

    def start(self, task_id: Id) -> Claim:
        return self.do(start_task, task_id=task_id, body=StartTask(), settings=self.settings)

    def run(self, task_id: Id) -> Claim:
        self.enqueue(task_id)
        return self.claim()

    def finish(self, claim: Claim, reason: ExitReason = ExitReason.COMPLETED) -> Task:
        body, by = FinishTask(reason=reason), self.bearer(claim.token)
        return self.do(finish_task, by=by, task_id=claim.task.id, body=body, settings=self.settings)

    def completed(self, **fields: object) -> Id:
        return self.finish(self.run(self.task(**fields))).id

    def report(self, claim: Claim, values: Sequence[float], *, sequence: int = 0, series: str = "validation") -> None:
        steps = tuple(range(100 * sequence, 100 * sequence + len(values)))
        points = Points(title="loss", series=series, steps=steps, times=(0.0,) * len(values), values=tuple(values))
        body = SeriesBatch(writer="w", sequence=sequence, points=(points,))
        self.do(append_series, by=self.bearer(claim.token), task_id=claim.task.id, body=body)

    def get(self, task_id: Id) -> Task:
        return self.store.read(lambda tx: tx.tasks.get(task_id))

    def watch(self, **bound: object) -> Trigger:
        metric = {"title": "loss", "series": "validation"} | bound
        trigger = a_trigger(condition=TaskCondition.model_validate({"metric": metric}))
        self.store.write(lambda tx: tx.triggers.add(trigger))
        return trigger

    def events(self, task_id: Id, *types: EventType) -> list[Event]:
        found = self.store.read(lambda tx: tx.events.recent(subject=task_id, types=types))
        return found[::-1]

    def last_data(self, task_id: Id) -> dict[str, Any]:
        return self.events(task_id)[-1].data

    def crossings(self, task_id: Id) -> list[tuple[str, object, int, float]]:
        found = (event.data for event in self.events(task_id, EventType.TASK_METRIC_CROSSED))
        return [(each["sign"], each["value"], each["step"], each["threshold"]) for each in found]


@pytest.fixture
def house(store: Store, tmp_path: Path) -> House:
    return House(store, tmp_path)


def a_firing_of(trigger: Trigger) -> Firing:
    now = trigger.created_at
    key = new_id()
    return Firing(id=new_id(), trigger_id=trigger.id, revision=1, event_key=key, created_at=now, changed_at=now)


# What events tell


def test_events_say_whether_somebody_ran_the_task_by_hand(house: House) -> None:
    task = house.task()
    house.start(task)
    claimed = house.run(house.task())
    told = {event.type: event.data["by_hand"] for event in house.events(task)}
    assert told == {EventType.TASK_CREATED: False, EventType.TASK_STARTED: True}
    assert {event.data["by_hand"] for event in house.events(claimed.task.id)} == {False}


def test_a_run_by_hand_stays_one_until_an_agent_begins_the_next(house: House) -> None:
    task = house.task()
    house.finish(house.start(task), ExitReason.SCRIPT_FAILED)
    assert house.last_data(task)["by_hand"] is True
    house.enqueue(task)
    assert house.last_data(task)["by_hand"] is True
    house.do(dequeue_task, task_id=task)
    house.do(tag_task, task_id=task, body=EditTags(add=("x",)))
    assert house.last_data(task)["by_hand"] is True
    house.run(task)
    assert house.last_data(task)["by_hand"] is False


def test_a_task_whose_first_attempt_was_never_begun_was_not_run_by_hand(house: House) -> None:
    task = house.task()
    house.enqueue(task)
    house.do(stop_task, task_id=task)
    assert house.last_data(task)["by_hand"] is False


def test_events_name_the_trigger_that_made_the_task(house: House) -> None:
    reference, trigger = house.task(), a_trigger(name="retrain at night")
    firing = a_firing_of(trigger)
    house.store.write(lambda tx: tx.triggers.add(trigger))

    def fire(tx: Transaction) -> Id:
        task, parameters = prepare_clone(
            house.admin,
            reference=(tx.tasks.get(reference), []),
            body=CloneTask(queue="default", priority=3),
            now=tx.now(),
            firing=firing.id,
            chain=(new_id(), trigger.id),
        )
        tx.tasks.add(task, parameters=parameters)
        announce_clone(tx, house.admin, task=task, made_by=trigger)
        return task.id

    task = house.store.write(fire)
    house.finish(house.claim())
    events = house.events(task)
    assert [event.type.value for event in events] == ["task.created", "task.queued", "task.started", "task.completed"]
    assert {event.data["trigger"] for event in events} == {"retrain at night"}
    assert {event.cause for event in events} == {firing.id}
    told = [(event.data["status"], event.data["attempt"], event.data["queue"]) for event in events[:2]]
    assert told == [("created", 0, None), ("queued", 1, "default")]
    assert house.get(task).priority == 3
    assert house.last_data(reference)["trigger"] is None


def ends_by_finishing(house: House, task: Id) -> None:
    house.finish(house.claim(), ExitReason.SCRIPT_FAILED)
    assert house.get(task).status is Status.FAILED


def ends_by_stopping(house: House, task: Id) -> None:
    claim = house.claim()
    house.do(stop_task, task_id=task)
    house.finish(claim, ExitReason.STOPPED)


def ends_in_the_queue(house: House, task: Id) -> None:
    house.do(stop_task, task_id=task)


def ends_lost(house: House, task: Id) -> None:
    settings = Settings(home=house.settings.home, max_lost_attempts=1)
    claim = house.claim()

    def lose(tx: Transaction) -> None:
        lose_attempt(tx, house.admin, task=tx.tasks.get(task), attempt=claim.attempt, settings=settings)

    house.store.write(lose)
    assert house.get(task).status is Status.FAILED


def ends_without_an_owner(house: House, task: Id) -> None:
    made = house.do(create_token, body=CreateToken(name="x", role="editor"))
    house.do(dequeue_task, task_id=task)
    house.do(enqueue_task, by=house.bearer(made.token), task_id=task, body=EnqueueTask())
    house.do(revoke_token, principal_id=made.id)
    house.do(claim_task, agent_id=house.agent, body=ClaimTask(slot="s"), settings=house.settings)
    assert house.get(task).status is Status.FAILED


@pytest.mark.parametrize(
    "end", [ends_by_finishing, ends_by_stopping, ends_in_the_queue, ends_lost, ends_without_an_owner]
)
def test_every_way_to_end_tells_the_numbers(end: Callable[[House, Id], None], house: House) -> None:
    task = house.task()
    first = house.run(task)
    house.report(first, [3.0, 1.0, 2.0])
    house.report(first, [0.0], sequence=1, series="training")
    house.finish(first, ExitReason.SCRIPT_FAILED)
    house.enqueue(task)
    end(house, task)
    data = house.last_data(task)
    assert data["status"] in {"failed", "stopped"}
    assert data["metrics_total"] == 2
    assert data["metrics"] == {
        "loss": {
            "training": {"last": 0.0, "min": 0.0, "max": 0.0},
            "validation": {"last": 2.0, "min": 1.0, "max": 3.0},
        }
    }


def test_numbers_that_json_does_not_know_are_texts(house: House) -> None:
    claim = house.run(house.task())
    house.report(claim, [1.0, -math.inf, math.inf, math.nan])
    house.report(claim, [math.nan], sequence=1, series="nothing")
    house.finish(claim)
    (event,) = house.events(claim.task.id, EventType.TASK_COMPLETED)
    assert event.data["metrics"]["loss"] == {
        "nothing": {"last": "NaN", "min": None, "max": None},
        "validation": {"last": "NaN", "min": "-Infinity", "max": "Infinity"},
    }
    json.dumps(event.data, allow_nan=False)


def test_of_many_series_the_first_are_told_and_those_that_somebody_watches(house: House) -> None:
    house.watch(series="s0999", threshold=5)
    claim = house.run(house.task())
    points = tuple(
        Points(title="loss", series=f"s{number:04}", steps=(1,), times=(0.0,), values=(float(number),))
        for number in range(1000)
    )
    body = SeriesBatch(writer="w", sequence=0, points=points)
    house.do(append_series, by=house.bearer(claim.token), task_id=claim.task.id, body=body)
    house.finish(claim)
    data = house.last_data(claim.task.id)
    assert data["metrics_total"] == 1000
    assert list(data["metrics"]["loss"]) == [*(f"s{number:04}" for number in range(SERIES_TOLD)), "s0999"]
    assert data["metrics"]["loss"]["s0999"]["last"] == 999.0


# Crossing a bound


def test_a_bound_is_crossed_once_in_an_attempt(house: House) -> None:
    house.watch(threshold=0.5, sign="below")
    claim = house.run(house.task())
    house.report(claim, [0.9, 0.5, 0.5], sequence=0)
    assert house.crossings(claim.task.id) == []
    house.report(claim, [0.7, 0.49, 0.2], sequence=1)
    house.report(claim, [0.7, 0.1], sequence=2)
    assert house.crossings(claim.task.id) == [("below", 0.49, 101, 0.5)]
    (event,) = house.events(claim.task.id, EventType.TASK_METRIC_CROSSED)
    assert (event.data["title"], event.data["series"], event.data["status"]) == ("loss", "validation", "in_progress")
    assert event.actor == claim.attempt.token_id


def test_the_next_attempt_crosses_it_again_though_the_curve_goes_on(house: House) -> None:
    house.watch(threshold=0, sign="above")
    first = house.run(house.task())
    house.report(first, [1.0])
    house.finish(first, ExitReason.SCRIPT_FAILED)
    second = house.run(first.task.id)
    house.report(second, [0.0, -1.0], sequence=1)
    assert len(house.crossings(first.task.id)) == 1
    house.report(second, [2.0], sequence=2)
    assert house.crossings(first.task.id) == [("above", 1.0, 0, 0.0), ("above", 2.0, 200, 0.0)]


def test_a_batch_sent_twice_crosses_nothing_again(house: House) -> None:
    house.watch(threshold=0.5)
    claim = house.run(house.task())
    for _ in range(2):
        house.report(claim, [0.9])
    assert len(house.crossings(claim.task.id)) == 1


def test_each_bound_is_told_of_once_however_many_watch_it(house: House) -> None:
    for bound in (
        {"threshold": 1},
        {"threshold": 1},
        {"threshold": 2},
        {"threshold": 9},
        {"threshold": 0.5, "sign": "below"},
    ):
        house.watch(**bound)
    house.watch(series="training", threshold=0)
    claim = house.run(house.task())
    house.report(claim, [0.0, math.nan, 1.5, math.inf])
    expected = [
        ("above", 1.5, 2, 1.0),
        ("above", "Infinity", 3, 2.0),
        ("above", "Infinity", 3, 9.0),
        ("below", 0.0, 0, 0.5),
    ]
    assert sorted(house.crossings(claim.task.id), key=str) == sorted(expected, key=str)


def test_nan_crosses_nothing(house: House) -> None:
    house.watch(threshold=0)
    house.watch(threshold=0, sign="below")
    claim = house.run(house.task())
    house.report(claim, [math.nan, 0.0])
    assert house.crossings(claim.task.id) == []


# Publish, archive, reset


def test_a_completed_task_is_published_for_ever(house: House) -> None:
    task = house.completed()
    published = house.do(publish_task, task_id=task)
    assert (published.status, published.status_reason) == (Status.PUBLISHED, "completed")
    assert published.ended_at == house.events(task, EventType.TASK_COMPLETED)[0].at
    assert house.last_data(task)["status"] == "published"
    for verb in (publish_task, reset_task):
        with pytest.raises(IllegalTransition):
            house.do(verb, task_id=task)
    with pytest.raises(Conflict):
        house.do(edit_task, task_id=task, body=EditTask(name="x"))


@pytest.mark.parametrize("status", ["created", "queued", "in_progress", "failed", "stopped"])
def test_only_a_completed_task_is_published(status: str, house: House) -> None:
    task = house.task()
    if status != "created":
        house.enqueue(task)
    if status == "stopped":
        house.do(stop_task, task_id=task)
    if status in {"in_progress", "failed"}:
        claim = house.claim()
        if status == "failed":
            house.finish(claim, ExitReason.SCRIPT_FAILED)
    assert house.get(task).status == status
    with pytest.raises(IllegalTransition, match=f"{status} cannot publish"):
        house.do(publish_task, task_id=task)


def test_an_archived_task_is_in_no_list_and_does_not_run(house: House) -> None:
    task = house.task()
    archived = house.do(archive_task, task_id=task)
    assert archived.archived_at is not None
    assert house.do(archive_task, task_id=task) == archived
    assert house.do(list_tasks) == []
    assert house.do(list_tasks, archived=True) == [archived]
    for run in (house.enqueue, house.start):
        with pytest.raises(Conflict, match="archived since") as raised:
            run(task)
        assert f"retrain task unarchive {task}" in (raised.value.hint or "")
    clone = house.do(clone_task, task_id=task, body=CloneTask(queue="default"))
    assert clone.archived_at is None
    listed = house.do(unarchive_task, task_id=task)
    assert house.do(unarchive_task, task_id=task) == listed
    assert house.do(list_tasks) == [clone, listed]
    assert len(house.events(task, EventType.TASK_ARCHIVED)) == 1
    house.enqueue(task)


def test_what_is_at_work_is_not_archived(house: House) -> None:
    task = house.task()
    house.enqueue(task)
    for state in ("queued", "in_progress"):
        with pytest.raises(Conflict, match=f"is {state}") as raised:
            house.do(archive_task, task_id=task)
        assert f"retrain task stop {task}" in (raised.value.hint or "")
        if state == "queued":
            claim = house.claim()
    house.finish(claim)
    house.do(archive_task, task_id=task)


def test_a_task_that_is_reset_can_be_edited_and_run_again(house: House) -> None:
    task = house.task(parameters=(Parameter(name="Args/lr", type="float", value="0.1"),))
    first = house.run(task)
    house.report(first, [0.9, 0.8])
    house.finish(first)
    reset = house.do(reset_task, task_id=task)
    assert (reset.status, reset.attempt, reset.status_reason) == (Status.CREATED, 1, None)
    assert (reset.started_at, reset.ended_at, reset.stop_requested_at) == (None, None, None)
    assert house.events(task)[-1].type is EventType.TASK_RESET
    changed = (Parameter(name="Args/lr", type="float", value="0.2"),)
    house.do(put_parameters, task_id=task, body=PutParameters(parameters=changed))
    second = house.run(task)
    assert (second.attempt.number, second.parameters) == (2, changed)
    (summary,) = house.do(list_series, task_id=task)
    assert (summary.count, summary.last) == (2, 0.8)
    points = house.do(get_points, task_id=task, title="loss", series="validation", limit=None)
    assert points.values == (0.9, 0.8)
    house.finish(second)
    assert house.get(task).attempt == 2


@pytest.mark.parametrize("service", [publish_task, archive_task, unarchive_task, reset_task])
def test_an_operator_does_not_change_what_a_task_is(service: Callable[..., Task], house: House) -> None:
    task = house.completed()
    made = house.do(create_token, body=CreateToken(name="x", role="operator"))
    with pytest.raises(Forbidden):
        house.do(service, by=house.bearer(made.token), task_id=task)


# Running the reference itself again


@pytest.fixture
def trigger(house: House) -> Trigger:
    made = a_trigger(name="nightly", action=CloneAction(task=new_id(), reuse=True))
    house.store.write(lambda tx: tx.triggers.add(made))
    return made


def rerun(house: House, trigger: Trigger, task: Id, **fields: object) -> tuple[Task, Firing]:
    firing, earlier = a_firing_of(trigger), (new_id(),)
    body = CloneTask.model_validate({"queue": "default"} | fields)
    return house.do(rerun_task, task_id=task, body=body, fired=(trigger, firing, earlier)), firing


def test_a_reference_is_run_again_itself_by_each_firing(house: House, trigger: Trigger) -> None:
    task = house.task(parameters=(Parameter(name="Args/lr", type="float", value="0.1"),), tags=("a",))
    for number, value in enumerate(("0.2", "0.3"), start=1):
        again, firing = rerun(house, trigger, task, parameters={"Args/lr": value}, name="ignored", priority=number)
        assert (again.id, again.name, again.status, again.attempt) == (task, "n", Status.QUEUED, number)
        assert (again.firing, again.chain[-1], again.priority) == (firing.id, trigger.id, number)
        assert again.tags == ("a",)
        claim = house.claim()
        assert claim.parameters == (Parameter(name="Args/lr", type="float", value=value),)
        house.finish(claim, ExitReason.COMPLETED if number == 1 else ExitReason.SCRIPT_FAILED)
        assert house.events(task)[-1].cause == firing.id
        assert house.last_data(task)["trigger"] == "nightly"


@pytest.mark.parametrize(
    ("state", "match"), [("queued", "is queued"), ("in_progress", "runs"), ("published", "is published")]
)
def test_a_reference_that_cannot_be_run_again_says_why(state: str, match: str, house: House, trigger: Trigger) -> None:
    task = house.task()
    house.enqueue(task)
    if state != "queued":
        claim = house.claim()
        if state == "published":
            house.finish(claim)
            house.do(publish_task, task_id=task)
    before = house.get(task)
    with pytest.raises(Conflict, match=match) as raised:
        rerun(house, trigger, task)
    assert "without reuse" in (raised.value.hint or "")
    assert house.get(task) == before


def test_an_archived_reference_is_not_run_again(house: House, trigger: Trigger) -> None:
    task = house.completed()
    house.do(archive_task, task_id=task)
    with pytest.raises(Conflict, match="archived"):
        rerun(house, trigger, task)


def test_an_override_that_fits_nothing_leaves_the_reference_as_it_is(house: House, trigger: Trigger) -> None:
    task = house.completed()
    before = house.get(task)
    with pytest.raises(UnknownParameter):
        rerun(house, trigger, task, parameters={"Args/x": "1"})
    assert house.get(task) == before


# What a clone runs


def test_a_clone_runs_what_its_reference_ran_unless_it_is_told_otherwise(house: House) -> None:
    task = house.task(source=CAPTURED, container=Container(image="old", memory_bytes=1 << 30))

    def cloned(**fields: object) -> Task:
        return house.do(clone_task, task_id=task, body=CloneTask.model_validate(fields))

    same = cloned()
    assert (same.source, same.container) == (CAPTURED, Container(image="old", memory_bytes=1 << 30))
    assert cloned(commit="4" * 40).source == Source(repository=REPOSITORY, commit="4" * 40)
    assert cloned(branch="next").source == Source(repository=REPOSITORY, branch="next")
    both = cloned(commit="4" * 40, branch="next").source
    assert both == Source(repository=REPOSITORY, commit="4" * 40, branch="next")
    assert cloned(image="new").container == Container(image="new", memory_bytes=1 << 30)
    assert cloned(queue="default", priority=7).priority == 7
    of_a_clone = house.do(clone_task, task_id=cloned(branch="next").id, body=CloneTask(commit="5" * 40))
    assert of_a_clone.source == Source(repository=REPOSITORY, commit="5" * 40)


def test_a_clone_of_a_task_without_container_may_name_an_image(house: House) -> None:
    clone = house.do(clone_task, task_id=house.task(), body=CloneTask(image="new"))
    assert clone.container == Container(image="new")


@pytest.mark.parametrize("source", [None, Source(tree="2" * 40), Source(tree="2" * 40, commit="1" * 40)])
@pytest.mark.parametrize("asked", [{"commit": "4" * 40}, {"branch": "next"}])
def test_a_commit_or_branch_of_no_repository_is_refused(
    source: Source | None, asked: dict[str, str], house: House
) -> None:
    task = house.task(source=source)
    with pytest.raises(InvalidRequest, match=task) as raised:
        house.do(clone_task, task_id=task, body=CloneTask.model_validate(asked))
    assert next(iter(asked.values())) in str(raised.value)
    assert raised.value.hint
    assert len(house.do(list_tasks)) == 1


def test_an_attempt_records_the_commit_that_it_ran(house: House) -> None:
    claim = house.run(house.task())
    by = house.bearer(claim.token)
    for body in (Heartbeat(commit="4" * 40), Heartbeat()):
        house.do(extend_lease, by=by, task_id=claim.task.id, body=body, settings=house.settings)
    assert house.store.read(lambda tx: tx.tasks.attempt(claim.task.id, 1)).commit == "4" * 40
