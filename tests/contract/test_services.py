"""What the services promise on every database, with many at work at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import pytest

from orchestrator.errors import Conflict, HeadMoved, IllegalTransition, StaleAttempt
from orchestrator.records.agent import Slot
from orchestrator.records.blob import PlacedAt, StoredObject
from orchestrator.records.dataset import DatasetVersion, ManifestEntry
from orchestrator.records.event import EventType
from orchestrator.records.lifecycle import Status
from orchestrator.records.manifest import raw
from orchestrator.records.principal import Principal, Role
from orchestrator.records.task import ExitReason, Parameter, Task
from orchestrator.services.agents import register_agent
from orchestrator.services.authenticate import authenticate, hash_token
from orchestrator.services.claim import claim_task
from orchestrator.services.create_dataset import create_dataset
from orchestrator.services.create_task import create_task
from orchestrator.services.dataset_entries import edit_entries
from orchestrator.services.enqueue import enqueue_task
from orchestrator.services.finalize import FinalizePlan, finalize_dataset, finalize_in_steps, prepare_finalize
from orchestrator.services.finish import finish_task
from orchestrator.services.lose import lose_attempt
from orchestrator.services.once import Answer, RequestKey, write_once
from orchestrator.services.queues import create_missing_queues
from orchestrator.services.reconcile import begin_sweep, reconcile
from orchestrator.services.results import append_console
from orchestrator.services.start import start_task
from orchestrator.services.stop import stop_task
from orchestrator.services.tokens import create_first_token, create_token, revoke_token
from orchestrator.services.unit_of_work import write_as
from orchestrator.settings import Settings
from orchestrator.wire import (
    Claim,
    ClaimTask,
    CreateDataset,
    CreateTask,
    CreateToken,
    EditEntries,
    EnqueueTask,
    FinishTask,
    RegisterAgent,
    StartTask,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from orchestrator.store.protocol import Store, Transaction

T = TypeVar("T")
DIGEST = "blake3:" + "0" * 64


class SilentQueue:
    """A doorbell that rings nowhere: these tests are about the database."""

    def ring(self, queue: str, tickets: Sequence[tuple[str, int]]) -> None:
        """Do nothing."""

    def waiting(self, queue: str) -> int:
        """Say that there is a ticket for every task."""
        return 1 << 30 if queue else 0

    def prepare(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class RecordingQueue(SilentQueue):
    """A doorbell that has no ticket and notes who rang."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring(self, queue: str, tickets: Sequence[tuple[str, int]]) -> None:
        """Note the tasks."""
        assert queue
        assert all(attempt for _, attempt in tickets)
        self.rung += [task_id for task_id, _ in tickets]

    def waiting(self, queue: str) -> int:
        """Say that there is no ticket."""
        return len(queue) * 0


def failing_once(read: Callable[..., T], *, at: int) -> Callable[..., T]:
    """Return the same function that fails when it is called for that time."""
    calls = count(1)

    def called(work: Callable[[Transaction], T]) -> T:
        if next(calls) == at:
            raise ZeroDivisionError
        return read(work)

    return called


class House:
    """A store with an administrator, the queues, and an agent with one slot."""

    def __init__(self, store: Store, home: Path) -> None:
        self.store = store
        self.settings = Settings(home=home, sweep_seconds=0.001)  # each that is asked for sweeps
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

    def finalize(self, version_id: str) -> DatasetVersion:
        def prepare() -> FinalizePlan:
            return self.store.read(lambda tx: prepare_finalize(tx, self.admin, version_id=version_id))

        def carry_out(plan: FinalizePlan | None) -> DatasetVersion:
            return self.do(finalize_dataset, version_id=version_id, plan=plan)

        return finalize_in_steps(prepare=prepare, carry_out=carry_out)

    def files(self, version_id: str) -> list[str]:
        return [
            entry.path
            for entry in self.store.read(
                lambda tx: list(tx.datasets.manifest(version_id).entries(load=tx.datasets.blocks))
            )
        ]

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
    stored, blob = StoredObject("default", "x", 0), PlacedAt(raw(DIGEST), 0, 0)
    store.write(lambda tx: tx.blobs.add_object(stored, blobs=[blob]))
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


def test_a_gap_shorter_than_the_lease_costs_no_live_attempt_its_lease(house: House) -> None:
    settings = Settings(home=house.settings.home)
    task = house.queued().id
    house.claim()

    def passed(seconds: float, *, unswept: float) -> None:
        def backdate(tx: Transaction) -> None:
            attempt = tx.tasks.attempt(task, 1)
            earlier = attempt.lease_expires_at - timedelta(seconds=seconds)
            tx.tasks.replace_attempt(attempt.changed(lease_expires_at=earlier))
            tx.put_setting("last_sweep_at", (tx.now() - timedelta(seconds=unswept)).isoformat())

        house.store.write(backdate)
        reconcile(house.store, queue=SilentQueue(), settings=settings)

    def left() -> timedelta:
        return house.store.read(lambda tx: tx.tasks.attempt(task, 1).lease_expires_at - tx.now())

    passed(14, unswept=5)
    for outage in (47, 59, 8 * 3600):
        passed(outage, unswept=outage)
        assert house.task(task).status is Status.IN_PROGRESS
        assert timedelta(0) < left() < timedelta(seconds=settings.lease_seconds)


def test_a_server_that_falls_and_rises_does_not_keep_a_dead_agents_lease(house: House) -> None:
    settings = Settings(home=house.settings.home)
    task = house.queued().id
    house.claim()
    rounds = 0
    while house.task(task).status is Status.IN_PROGRESS:

        def backdate(tx: Transaction) -> None:
            attempt = tx.tasks.attempt(task, 1)
            down = timedelta(seconds=30)
            tx.tasks.replace_attempt(attempt.changed(lease_expires_at=attempt.lease_expires_at - down))
            tx.put_setting("last_sweep_at", (tx.now() - down).isoformat())

        house.store.write(backdate)
        reconcile(house.store, queue=SilentQueue(), settings=settings)
        rounds += 1
        assert rounds < 20
    assert rounds > 60 / 30


def test_a_sweep_that_follows_another_at_once_is_none(house: House) -> None:
    settings = Settings(home=house.settings.home, sweep_seconds=5)
    assert house.store.write(partial(begin_sweep, settings=settings))
    assert not house.store.write(partial(begin_sweep, settings=settings))
    earlier = timedelta(seconds=5)
    house.store.write(lambda tx: tx.put_setting("last_sweep_at", (tx.now() - earlier).isoformat()))
    assert house.store.write(partial(begin_sweep, settings=settings))


def test_a_step_of_the_sweep_that_fails_stops_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = [house.queued().id for _ in range(3)]
    for _ in tasks[:2]:
        house.claim()
    poisoned, healthy = tasks[:2]
    house.expire_leases(poisoned, healthy)

    def lose(*arguments: object, task: Task, **rest: object) -> Task:
        if task.id == poisoned:
            raise ZeroDivisionError
        return lose_attempt(*arguments, task=task, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr("orchestrator.services.reconcile.lose_attempt", lose)
    monkeypatch.setattr(house.store, "read", failing_once(house.store.read, at=1))
    queue = RecordingQueue()
    reconcile(house.store, queue=queue, settings=house.settings)
    assert "find expired leases" in caplog.text
    assert queue.rung == [tasks[2]]
    time.sleep(2 * house.settings.sweep_seconds)
    reconcile(house.store, queue=queue, settings=house.settings)
    assert house.task(healthy).status is Status.QUEUED
    assert set(queue.rung) == {healthy, tasks[2]}
    assert "expire a lease" in caplog.text
    assert poisoned in {getattr(record, "task_id", None) for record in caplog.records}


def test_sweeps_at_once_lose_an_attempt_once(house: House) -> None:
    task = house.queued().id
    house.claim()
    house.store.write(partial(begin_sweep, settings=house.settings))
    house.expire_leases(task)
    at_once(4, lambda _: house.sweep())
    assert (house.task(task).attempt, house.task(task).lost_attempts) == (2, 1)


@pytest.mark.parametrize("end", ["revoked_at", "expires_at", "gone"])
def test_a_task_of_somebody_whose_token_ended_fails_and_the_next_is_claimed(house: House, end: str) -> None:
    made = house.do(create_token, body=CreateToken(name="leaver", role=Role.EDITOR))
    leaver = house.bearer(made.token)
    orphan = house.do(enqueue_task, by=leaver, task_id=house.new_task().id, body=EnqueueTask()).id
    good = house.queued().id

    def finish(tx: Transaction) -> None:
        if end == "gone":
            task = tx.tasks.get(orphan)
            tx.tasks.replace(task.changed(queued_by="e" * 32), expected=task)
        else:
            tx.principals.replace(leaver.changed(**{end: tx.now() - timedelta(seconds=1)}))

    house.store.write(finish)
    claim = house.claim()
    assert claim is not None
    assert claim.task.id == good
    failed = house.task(orphan)
    assert (failed.status, failed.status_reason) == (Status.FAILED, "forbidden")
    assert "Enqueue it again" in str(failed.status_message)
    events = house.store.read(lambda tx: tx.events.recent(subject=orphan))
    assert events[0].type == "task.failed"
    assert house.store.read(lambda tx: tx.tasks.attempts(orphan)) == []
    house.do(enqueue_task, task_id=orphan, body=EnqueueTask())
    assert house.claim() is not None


def test_a_lost_attempt_of_somebody_whose_token_was_revoked_is_not_begun_again(house: House) -> None:
    made = house.do(create_token, body=CreateToken(name="leaver", role=Role.EDITOR))
    leaver = house.bearer(made.token)
    task = house.do(enqueue_task, by=leaver, task_id=house.new_task().id, body=EnqueueTask()).id
    assert house.claim() is not None
    house.do(revoke_token, principal_id=leaver.id)
    house.expire_leases(task)
    house.sweep()
    assert house.claim() is None
    assert house.task(task).status is Status.FAILED


def test_stopping_twice_is_one_event(house: House) -> None:
    task = house.queued().id
    house.claim()
    first = house.do(stop_task, task_id=task)
    assert house.do(stop_task, task_id=task) == first
    events = house.store.read(lambda tx: tx.events.recent(subject=task))
    assert [event.type for event in events].count(EventType.TASK_STOP_REQUESTED) == 1


def test_who_an_attempt_was_is_forgotten_a_month_after_its_end(house: House) -> None:
    task = house.queued().id
    claim = house.claim()
    assert claim is not None
    actor = house.bearer(claim.token)
    house.do(finish_task, by=actor, task_id=task, body=FinishTask(reason=ExitReason.COMPLETED), settings=house.settings)

    def known_after(days: int) -> bool:
        def shifted(tx: Transaction) -> None:
            settings, now = house.settings, tx.now() + timedelta(days=days)
            tx.now = lambda: now  # type: ignore[method-assign]
            assert begin_sweep(tx, settings=settings)

        house.store.write(shifted)
        return bool(house.store.read(lambda tx: tx.principals.by_token(hash_token(claim.token))))

    assert known_after(29)
    assert not known_after(31)


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


def test_of_many_who_finalize_from_one_version_everyones_files_are_in_the_newest(house: House) -> None:
    base = house.draft()
    house.finalize(base)
    drafts = [house.draft(parents=[base]) for _ in range(4)]
    done = at_once(4, lambda number: house.finalize(drafts[number]))
    assert len({one.version for one in done}) == 4
    head = house.store.read(lambda tx: tx.datasets.head(project="p", name="d"))
    assert head == max(done, key=lambda one: one.version).id
    assert max(done, key=lambda one: one.finalized_at or one.created_at).id == head
    assert set(house.files(head)) == {base, *drafts}


def test_of_many_who_change_the_same_file_one_wins_and_the_others_keep_their_drafts(house: House) -> None:
    base = house.draft()
    house.finalize(base)
    drafts = [house.draft(parents=[base]) for _ in range(4)]
    for mode, draft in zip((0o644, 0o755, 0o644, 0o755), drafts, strict=True):
        entry = ManifestEntry(path="same", digest=DIGEST, mode=mode)
        house.do(edit_entries, version_id=draft, body=EditEntries(put=(entry,)))
    results = at_once(4, lambda number: outcome_of(lambda: house.finalize(drafts[number]).state))
    states = [house.store.read(lambda tx, one=one: tx.datasets.get(one)).state for one in drafts]
    assert results.count(HeadMoved) == states.count("open") == 2  # the other of the two wanted the same


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
                else (lambda: house.finalize(version))
            ),
        )
        final, manifest = house.store.read(
            lambda tx, version=version: (tx.datasets.get(version), tx.datasets.manifest(version))
        )
        if final.state == "open":
            house.finalize(version)
        else:
            assert final.file_count == manifest.file_count


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
