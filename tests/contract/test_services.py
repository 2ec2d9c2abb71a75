"""What the services promise on every database, with many at work at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pytest

from orchestrator.errors import Conflict, HeadMoved, IllegalTransition, StaleAttempt
from orchestrator.records.agent import Slot
from orchestrator.records.dataset import ManifestEntry
from orchestrator.records.lifecycle import Status
from orchestrator.records.principal import Principal, Role
from orchestrator.records.task import ExitReason, Parameter, Task
from orchestrator.records.trigger import CloneAction, DatasetCondition
from orchestrator.services.agents import register_agent
from orchestrator.services.authenticate import authenticate
from orchestrator.services.claim import claim_task
from orchestrator.services.create_dataset import create_dataset
from orchestrator.services.create_task import create_task
from orchestrator.services.dataset_entries import edit_entries
from orchestrator.services.enqueue import enqueue_task
from orchestrator.services.finalize import finalize_dataset
from orchestrator.services.finish import finish_task
from orchestrator.services.fire import post_firings
from orchestrator.services.once import Answer, RequestKey, write_once
from orchestrator.services.queues import create_missing_queues
from orchestrator.services.reconcile import begin_sweep, reconcile
from orchestrator.services.register_trigger import register_trigger
from orchestrator.services.results import append_console
from orchestrator.services.start import start_task
from orchestrator.services.stop import stop_task
from orchestrator.services.tag import tag_dataset
from orchestrator.services.tokens import create_first_token
from orchestrator.services.unit_of_work import write_as
from orchestrator.settings import Settings
from orchestrator.wire import (
    Claim,
    ClaimTask,
    CreateDataset,
    CreateTask,
    EditEntries,
    EditTags,
    EnqueueTask,
    FinishTask,
    NewFiring,
    PostFirings,
    RegisterAgent,
    RegisterTrigger,
    StartTask,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.protocol import Store, Transaction

T = TypeVar("T")
DIGEST = "blake3:" + "0" * 64


class SilentQueue:
    """A doorbell that rings nowhere: these tests are about the database."""

    def ring(self, queue: str, *, task_id: str, attempt: int) -> None:
        """Do nothing."""

    def waiting(self, queue: str) -> int:
        """Say that there is a ticket for every task."""
        return 1 << 30 if queue else 0

    def prepare(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class House:
    """A store with an administrator, the queues, and an agent with one slot."""

    def __init__(self, store: Store, home: Path) -> None:
        self.store = store
        self.settings = Settings(home=home)
        token = store.write(partial(create_first_token, name="admin"))
        self.admin = self.bearer(token)
        store.write(create_missing_queues)
        body = RegisterAgent(
            name="a", hostname="h", version="1", executor="process", slots=(Slot(name="s", queues=("default",)),)
        )
        self.agent = self.do(register_agent, body=body, settings=self.settings).id

    def bearer(self, token: str) -> Principal:
        return self.store.read(partial(authenticate, token=token))

    def do(self, service: Callable[..., T], *, by: Principal | None = None, **arguments: object) -> T:
        actor = by or self.admin
        return write_as(self.store, actor, work=lambda tx: service(tx, actor, **arguments))

    def new_task(self, *parameters: Parameter) -> Task:
        return self.do(create_task, body=CreateTask(project="p", name="n", parameters=parameters))

    def queued(self) -> Task:
        return self.do(enqueue_task, task_id=self.new_task().id, body=EnqueueTask())

    def claim(self) -> Claim | None:
        return self.do(claim_task, agent_id=self.agent, body=ClaimTask(slot="s"), settings=self.settings)

    def task(self, task_id: str) -> Task:
        return self.store.read(lambda tx: tx.tasks.get(task_id))

    def draft(self, **fields: object) -> str:
        version = self.do(create_dataset, body=CreateDataset.model_validate({"project": "p", "name": "d"} | fields))
        entry = ManifestEntry(path=version.id, size_bytes=0, digest=DIGEST)
        self.do(edit_entries, version_id=version.id, body=EditEntries(put=(entry,)))
        return version.id

    def expire_leases(self, *task_ids: str) -> None:
        def backdate(tx: Transaction) -> None:
            for task_id in task_ids:
                for attempt in tx.tasks.attempts(task_id):
                    if attempt.ended_at is None:
                        tx.tasks.replace_attempt(attempt.changed(lease_expires_at=tx.now() - timedelta(seconds=1)))

        self.store.write(backdate)

    def sweep(self) -> None:
        reconcile(self.store, queue=SilentQueue(), settings=self.settings)


@pytest.fixture
def house(store: Store, tmp_path: Path) -> House:
    store.write(lambda tx: tx.blobs.add(DIGEST, size_bytes=0, store="default", location="x"))
    return House(store, tmp_path)


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """Run a function in so many threads that begin together."""
    start = threading.Barrier(count)

    def run(number: int) -> T:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def outcome_of(work: Callable[[], object]) -> object:
    try:
        return work()
    except Conflict as error:
        return type(error)


def test_many_who_claim_get_a_task_each(house: House) -> None:
    tasks = {house.queued().id for _ in range(20)}
    claims = [claim for batch in at_once(6, lambda _: [house.claim() for _ in range(5)]) for claim in batch]
    got = [claim.task.id for claim in claims if claim is not None]
    assert len(got) == 20
    assert set(got) == tasks


def test_a_lost_attempt_is_queued_again_until_its_budget_is_spent(house: House) -> None:
    task = house.queued().id
    for number in (1, 2, 3):
        claim = house.claim()
        assert claim is not None
        assert claim.attempt.number == number
        house.expire_leases(task)
        house.sweep()
    spent = house.task(task)
    assert (spent.status, spent.status_reason, spent.attempt) == (Status.FAILED, "lost", 3)
    assert house.claim() is None
    again = house.do(enqueue_task, task_id=task, body=EnqueueTask())
    assert (again.attempt, again.lost_attempts) == (4, 0)


def test_a_run_by_hand_that_falls_silent_fails_and_is_never_queued(house: House) -> None:
    task = house.new_task().id
    house.do(start_task, task_id=task, body=StartTask(hostname="laptop"), settings=house.settings)
    house.expire_leases(task)
    house.sweep()
    assert (house.task(task).status, house.task(task).status_reason) == (Status.FAILED, "lost")


def test_a_task_that_was_asked_to_stop_is_not_queued_again_when_it_is_lost(house: House) -> None:
    task = house.queued().id
    house.claim()
    house.do(stop_task, task_id=task)
    house.expire_leases(task)
    house.sweep()
    assert house.task(task).status is Status.STOPPED


def test_a_sweep_that_was_away_gives_every_lease_another_period(house: House) -> None:
    task = house.queued().id
    house.claim()
    house.sweep()
    away = timedelta(seconds=house.settings.lease_seconds + 1)
    house.store.write(lambda tx: tx.put_setting("last_sweep_at", (tx.now() - away).isoformat()))
    house.expire_leases(task)
    house.sweep()
    assert house.task(task).status is Status.IN_PROGRESS
    house.expire_leases(task)
    house.sweep()
    assert house.task(task).status is Status.QUEUED


def test_sweeps_at_once_lose_an_attempt_once(house: House) -> None:
    task = house.queued().id
    house.claim()
    house.store.write(partial(begin_sweep, settings=house.settings))
    house.expire_leases(task)
    at_once(4, lambda _: house.sweep())
    assert (house.task(task).attempt, house.task(task).lost_attempts) == (2, 1)


def test_an_attempt_that_was_superseded_changes_nothing(house: House) -> None:
    task = house.queued().id
    old = house.claim()
    assert old is not None
    stale = house.bearer(old.token)
    house.expire_leases(task)
    house.sweep()
    new = house.claim()
    assert new is not None
    before = house.task(task)
    for work in (
        lambda: house.do(append_console, by=stale, task_id=task, offset=0, data=b"x"),
        lambda: house.do(create_task, by=stale, body=CreateTask(project="p", name="n")),
        lambda: house.do(enqueue_task, by=stale, task_id=task, body=EnqueueTask()),
    ):
        with pytest.raises(StaleAttempt):
            work()
    with pytest.raises(StaleAttempt):
        house.store.write(
            lambda tx: finish_task(
                tx, stale, task_id=task, body=FinishTask(reason=ExitReason.COMPLETED), settings=house.settings
            )
        )
    assert house.task(task) == before


def test_exactly_one_of_finishing_and_being_lost_wins(house: House) -> None:
    for _ in range(10):
        task = house.queued().id
        claim = house.claim()
        assert claim is not None
        actor = house.bearer(claim.token)
        house.expire_leases(task)
        body = FinishTask(reason=ExitReason.COMPLETED)

        def finish(task: str = task, actor: Principal = actor, body: FinishTask = body) -> object:
            work = partial(finish_task, actor=actor, task_id=task, body=body, settings=house.settings)
            return outcome_of(lambda: house.store.write(work))

        results = at_once(2, lambda number: finish() if number else house.sweep())
        ended = house.task(task)
        if results[1] is StaleAttempt:
            assert (ended.status, ended.attempt) == (Status.QUEUED, 2)
            house.do(stop_task, task_id=task)
        else:
            assert (ended.status, ended.attempt) == (Status.COMPLETED, 1)


def test_of_many_who_enqueue_one_wins(house: House) -> None:
    task = house.new_task().id
    results = at_once(6, lambda _: outcome_of(lambda: house.do(enqueue_task, task_id=task, body=EnqueueTask()).attempt))
    assert results.count(1) == 1
    assert house.task(task).attempt == 1
    assert results.count(IllegalTransition) == 5


def test_of_many_who_finalize_from_one_version_one_wins(house: House) -> None:
    base = house.draft()
    house.do(finalize_dataset, version_id=base)
    drafts = [house.draft(parents=[base], version=f"1.1.{number}") for number in range(4)]
    results = at_once(4, lambda number: outcome_of(lambda: house.do(finalize_dataset, version_id=drafts[number]).state))
    assert sorted(map(str, results)).count(str(HeadMoved)) == 3
    states = [house.store.read(lambda tx, one=one: tx.datasets.get(one)).state for one in drafts]
    assert sorted(states) == ["final", "open", "open", "open"]


def test_no_file_slips_into_a_version_while_it_becomes_final(house: House) -> None:
    for _ in range(8):
        base = house.store.read(lambda tx: tx.datasets.head(project="p", name="d"))
        version = house.draft(parents=[base] if base else [])
        late = EditEntries(put=(ManifestEntry(path="late", size_bytes=0, digest=DIGEST),))
        at_once(
            2,
            lambda number, version=version, late=late: outcome_of(
                (lambda: house.do(edit_entries, version_id=version, body=late))
                if number
                else (lambda: house.do(finalize_dataset, version_id=version))
            ),
        )
        final, (count, _) = house.store.read(
            lambda tx, version=version: (tx.datasets.get(version), tx.datasets.totals(version))
        )
        if final.state == "open":
            house.do(finalize_dataset, version_id=version)
        else:
            assert final.file_count == count


def test_two_schedulers_launch_every_match_once(house: House) -> None:
    reference = house.new_task(Parameter(name="General/id", type="string", value=""))
    trigger = house.do(
        register_trigger,
        body=RegisterTrigger(
            name="t",
            condition=DatasetCondition(project="p", on_tags=("Production",)),
            action=CloneAction(task=reference.id, parameters={"General/id": "${dataset.id} ${event.id}"}),
        ),
    )
    version = house.draft()
    house.do(finalize_dataset, version_id=version)
    for _ in range(60):
        house.do(tag_dataset, version_id=version, body=EditTags(add=("Production",)))
        house.do(tag_dataset, version_id=version, body=EditTags(remove=("Production",)))
    events = [
        event.id
        for event in house.store.read(lambda tx: tx.events.after(0, limit=1000))
        if event.type == "dataset.tagged"
    ]
    scheduler = house.admin.changed(role=Role.SCHEDULER)

    def post(number: int) -> list[str]:
        mine = events if number % 2 else events[::-1]
        outcomes = []
        for at in range(0, len(mine), 9):
            body = PostFirings(
                firings=tuple(NewFiring(trigger_id=trigger.id, revision=1, event=event) for event in mine[at : at + 9])
            )
            outcomes += house.do(post_firings, by=scheduler, body=body, settings=house.settings)
        return [result.outcome for result in outcomes]

    outcomes = [outcome for run in at_once(3, post) for outcome in run]
    assert outcomes.count("launched") == 60
    assert outcomes.count("duplicate") == 120
    tasks = house.store.read(lambda tx: tx.tasks.find(status=Status.QUEUED, limit=1000))
    assert len({task.firing for task in tasks}) == len(tasks) == 60


def test_a_request_sent_by_many_at_once_is_carried_out_once(house: House) -> None:
    key = RequestKey(key="k", fingerprint="f")

    def work(tx: Transaction) -> Answer:
        task = create_task(tx, house.admin, body=CreateTask(project="p", name="n"))
        return Answer(status=201, body=task.id.encode())

    answers = at_once(6, lambda _: write_once(house.store, house.admin, key=key, work=work).body)
    assert len(set(answers)) == 1
    assert len(house.store.read(lambda tx: tx.tasks.find())) == 1


def test_answers_are_kept_for_a_day(house: House) -> None:
    key = RequestKey(key="k", fingerprint="f")
    write_once(house.store, house.admin, key=key, work=lambda _: Answer(status=200, body=b"{}"))

    def kept() -> object:
        return house.store.read(lambda tx: tx.answers.get(house.admin.id, "k"))

    def slept(days: int) -> None:
        house.store.write(lambda tx: tx.put_setting("last_sweep_at", (tx.now() - timedelta(days=days)).isoformat()))
        house.sweep()

    slept(days=1)
    assert kept() is not None
    assert house.store.write(lambda tx: tx.answers.forget(before=tx.now() + timedelta(seconds=1))) == 1
    assert kept() is None
