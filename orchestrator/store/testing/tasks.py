"""Tasks and what hangs on them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import AlreadyExists, Conflict, InvalidRequest, NotFound, StaleAttempt, StaleTask
from orchestrator.records.lifecycle import Status
from orchestrator.records.source import Container, Distribution, Packages, Script, Source
from orchestrator.records.task import ExitReason
from orchestrator.store.testing.records import (
    a_parameter,
    a_task,
    an_artifact,
    an_attempt,
    digest,
    each,
    moment,
    new_id,
)

if TYPE_CHECKING:
    from orchestrator.records.task import Task
    from orchestrator.store.protocol import Store, Transaction


def _queued(**fields: object) -> Task:
    return a_task(**{"status": Status.QUEUED, "attempt": 1, "queue": "default", "queued_at": moment(0)} | fields)


class TaskContract:
    """Tasks, parameters, attempts and artifacts."""

    def test_a_task_comes_back_as_it_went_in(self, store: Store) -> None:
        task = a_task(
            tags=("b", "a", "ü"),
            comment="emoji 🎈, quotes '\", percent %s",
            script=Script(entry_point="train.py", arguments=("--lr", "0.1")),
            source=Source(tree="0" * 40, patch=digest(1), left_out=(".env",)),
            packages=Packages(python="3.11.7", distributions=(Distribution(name="numpy", version="2.0"),)),
            container=Container(image="python:3.11", memory_bytes=1 << 40),
            chain=(new_id(),),
            not_before=moment(0.000001),
            parent=new_id(),
        )
        store.write(lambda tx: tx.tasks.add(task))
        assert store.read(lambda tx: tx.tasks.get(task.id)) == task
        assert store.write(lambda tx: tx.tasks.get(task.id, lock=True)) == task

    def test_what_is_missing_is_not_found(self, store: Store) -> None:
        task = a_task()
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.tasks.get(task.id))
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.tasks.attempt(task.id, 1))
        with pytest.raises(NotFound):
            store.write(lambda tx: tx.tasks.replace(task, expected=task))
        with pytest.raises(NotFound):
            store.write(lambda tx: tx.tasks.put_parameters(task.id, [a_parameter("Args/lr")]))

    def test_a_firing_makes_one_task(self, store: Store) -> None:
        firing = new_id()
        store.write(lambda tx: tx.tasks.add(a_task(firing=firing)))
        with pytest.raises(Conflict):
            store.write(lambda tx: tx.tasks.add(a_task(firing=firing)))
        store.write(each([a_task(), a_task()], lambda tx: tx.tasks.add))
        assert len(store.read(lambda tx: tx.tasks.find())) == 3

    def test_a_stale_writer_never_wins(self, store: Store) -> None:
        read = _queued()
        store.write(lambda tx: tx.tasks.add(read))
        running = read.changed(status=Status.IN_PROGRESS)
        store.write(lambda tx: tx.tasks.replace(running, expected=read))
        with pytest.raises(StaleTask, match="in_progress"):
            store.write(lambda tx: tx.tasks.replace(read.changed(status=Status.STOPPED), expected=read))
        next_attempt = running.changed(attempt=2)
        store.write(lambda tx: tx.tasks.replace(next_attempt, expected=running))
        with pytest.raises(StaleTask, match="attempt 2"):
            store.write(lambda tx: tx.tasks.replace(running.changed(status=Status.FAILED), expected=running))
        assert store.read(lambda tx: tx.tasks.get(read.id)) == next_attempt

    def test_of_many_writers_at_once_one_wins(self, store: Store) -> None:
        task = _queued()
        store.write(lambda tx: tx.tasks.add(task))

        def claim(_: int) -> bool:
            try:
                store.write(lambda tx: tx.tasks.replace(task.changed(status=Status.IN_PROGRESS), expected=task))
            except StaleTask:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(claim, range(16))) == 1

    def test_tasks_are_found_newest_first_by_what_they_are(self, store: Store) -> None:
        parent = new_id()
        old = a_task(project="a", name="one", tags=("x", "y"), type="testing")
        deep = a_task(project="a/b", name="two", tags=("y",), parent=parent)
        case = a_task(project="A/b", status=Status.QUEUED, attempt=1, queue="gpu")
        beside = a_task(project="a-b")
        after = a_task(project="a0")
        store.write(each((old, deep, case, beside, after), lambda tx: tx.tasks.add))

        def found(**filters: object) -> list[str]:
            return [task.id for task in store.read(lambda tx: tx.tasks.find(**filters))]  # type: ignore[arg-type]

        assert found() == [after.id, beside.id, case.id, deep.id, old.id]
        assert found(project="a") == [deep.id, old.id]
        assert found(projects_below="a/b") == [deep.id]
        assert found(project="a", projects_below="A") == []
        assert found(name="one") == [old.id]
        assert found(status=Status.QUEUED) == [case.id]
        assert found(type="testing") == [old.id]
        assert found(tag="y") == [deep.id, old.id]
        assert found(tag="y", name="two") == [deep.id]
        assert found(parent=parent) == [deep.id]
        assert found(queue="gpu") == [case.id]
        assert found(after=case.id) == [deep.id, old.id]
        assert found(limit=2) == [after.id, beside.id]

    def test_archived_tasks_are_found_when_they_are_asked_for(self, store: Store) -> None:
        kept, archived = a_task(name="n"), a_task(name="n", archived_at=moment(0.000001))
        store.write(each((kept, archived), lambda tx: tx.tasks.add))
        assert store.read(lambda tx: tx.tasks.find(name="n")) == [kept]
        assert store.read(lambda tx: tx.tasks.find(name="n", archived=True)) == [archived, kept]
        back = archived.changed(archived_at=None)
        store.write(lambda tx: tx.tasks.replace(back, expected=archived))
        assert store.read(lambda tx: tx.tasks.find(name="n")) == [back, kept]

    def test_tags_that_are_replaced_are_found_no_more(self, store: Store) -> None:
        task = a_task(tags=("old", "both"))
        changed = task.changed(tags=("both", "new"))
        store.write(lambda tx: tx.tasks.add(task))
        store.write(lambda tx: tx.tasks.replace(changed, expected=task))
        for tag, expected in (("old", []), ("both", [changed]), ("new", [changed])):
            assert store.read(lambda tx, tag=tag: tx.tasks.find(tag=tag)) == expected  # type: ignore[misc]

    def test_who_is_next_is_decided_by_priority_position_and_time(self, store: Store) -> None:
        later = _queued(queued_at=moment(9))
        sooner = _queued(queued_at=moment(1))
        first = _queued(position=-1, queued_at=moment(20))
        urgent = _queued(priority=5, queued_at=moment(30))
        waiting = _queued(priority=9, not_before=moment(100))
        elsewhere = _queued(priority=9, queue="gpu")
        running = _queued(priority=9, status=Status.IN_PROGRESS)
        tasks = (later, sooner, first, urgent, waiting, elsewhere, running)
        store.write(each(tasks, lambda tx: tx.tasks.add))

        def take(tx: Transaction) -> str | None:
            task = tx.tasks.next_queued(["default", "other"], now=moment(50))
            if task is None:
                return None
            tx.tasks.replace(task.changed(status=Status.IN_PROGRESS), expected=task)
            return task.id

        order = [store.write(take) for _ in range(5)]
        assert order == [urgent.id, first.id, sooner.id, later.id, None]
        assert store.write(lambda tx: tx.tasks.next_queued(["default"], now=moment(100))) == waiting
        assert store.write(lambda tx: tx.tasks.next_queued([], now=moment(100))) is None

    def test_two_agents_never_get_one_task(self, store: Store) -> None:
        tasks = [_queued() for _ in range(60)]
        store.write(each(tasks, lambda tx: tx.tasks.add))

        def take(tx: Transaction) -> str | None:
            task = tx.tasks.next_queued(["default"], now=moment(1))
            if task is not None:
                tx.tasks.replace(task.changed(status=Status.IN_PROGRESS), expected=task)
            return None if task is None else task.id

        def work(_: int) -> list[str]:
            taken: list[str] = []
            while (task_id := store.write(take)) is not None:
                taken.append(task_id)
            return taken

        with ThreadPoolExecutor(6) as pool:
            taken = [task_id for each in pool.map(work, range(6)) for task_id in each]
        assert sorted(taken) == sorted(task.id for task in tasks)

    def test_queues_count_who_waits_and_who_runs(self, store: Store) -> None:
        statuses = (Status.QUEUED, Status.QUEUED, Status.IN_PROGRESS, Status.COMPLETED)
        store.write(each([_queued(status=status) for status in statuses], lambda tx: tx.tasks.add))
        store.write(lambda tx: tx.tasks.add(_queued(queue="gpu", status=Status.IN_PROGRESS)))
        store.write(lambda tx: tx.tasks.add(a_task(status=Status.IN_PROGRESS, attempt=1)))
        assert store.read(lambda tx: tx.tasks.queue_counts()) == {"default": (2, 1), "gpu": (0, 1)}

    def test_parameters_are_sorted_and_the_last_of_a_name_stands(self, store: Store) -> None:
        task = a_task()
        store.write(lambda tx: tx.tasks.add(task, parameters=[a_parameter("b/x"), a_parameter("B/x")]))
        changed = [a_parameter("b/x", "2"), a_parameter("a/é", "emoji 🎈", type="string"), a_parameter("b/x", "3")]
        store.write(lambda tx: tx.tasks.put_parameters(task.id, changed))
        expected = [a_parameter("B/x"), changed[1], changed[2]]
        assert store.read(lambda tx: tx.tasks.parameters(task.id)) == expected

    def test_what_no_database_can_keep_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidRequest, match="NUL"):
            store.write(lambda tx: tx.tasks.add(a_task(comment="a\0b")))
        with pytest.raises(InvalidRequest, match="64 bits"):
            store.write(lambda tx: tx.tasks.add(a_task(position=1 << 63)))

    def test_attempts_end_once(self, store: Store) -> None:
        task = a_task()
        first, second = an_attempt(task), an_attempt(task, number=2)
        store.write(lambda tx: tx.tasks.add(task))
        store.write(each((second, first), lambda tx: tx.tasks.add_attempt))
        with pytest.raises(AlreadyExists):
            store.write(lambda tx: tx.tasks.add_attempt(first))
        ended = first.changed(ended_at=moment(5), exit_code=-9, exit_reason=ExitReason.LOST, commit="1" * 40)
        store.write(lambda tx: tx.tasks.replace_attempt(ended))
        with pytest.raises(StaleAttempt, match="lost"):
            store.write(lambda tx: tx.tasks.replace_attempt(first.changed(lease_expires_at=moment(999))))
        with pytest.raises(NotFound):
            store.write(lambda tx: tx.tasks.replace_attempt(first.changed(number=3)))
        assert store.read(lambda tx: tx.tasks.attempt(task.id, 1)) == ended
        assert store.read(lambda tx: tx.tasks.attempts(task.id)) == [ended, second]

    def test_leases_expire_and_are_extended(self, store: Store) -> None:
        tasks = [a_task() for _ in range(4)]
        ends = (30, 10, 20, 90)
        attempts = [an_attempt(task, lease_expires_at=moment(end)) for task, end in zip(tasks, ends, strict=True)]
        ended = an_attempt(tasks[0], number=2, ended_at=moment(1), lease_expires_at=moment(2))
        store.write(each(tasks, lambda tx: tx.tasks.add))
        store.write(each((*attempts, ended), lambda tx: tx.tasks.add_attempt))

        def expired(limit: int) -> list[str]:
            found = store.read(lambda tx: tx.tasks.expired_attempts(now=moment(50), limit=limit))
            return [attempt.task_id for attempt in found]

        assert expired(9) == [tasks[1].id, tasks[2].id, tasks[0].id]
        assert expired(1) == [tasks[1].id]
        by = timedelta(seconds=35)
        assert store.write(lambda tx: tx.tasks.extend_leases(by=by, until=moment(60))) == 3
        assert expired(9) == [tasks[1].id]
        leases = [store.read(lambda tx, task=task: tx.tasks.attempt(task.id, 1)).lease_expires_at for task in tasks]  # type: ignore[misc]
        assert leases == [moment(60), moment(45), moment(55), moment(90)]

    def test_the_newest_artifact_of_a_name_stands(self, store: Store) -> None:
        task = a_task()
        old, new, other = an_artifact(task, "b"), an_artifact(task, "b", attempt=2), an_artifact(task, "a")
        store.write(lambda tx: tx.tasks.add(task))
        store.write(each((old, new, other), lambda tx: tx.tasks.put_artifact))
        assert store.read(lambda tx: tx.tasks.artifacts(task.id)) == [other, new]

    def test_projects_are_counted_with_what_they_hold(self, store: Store) -> None:
        tasks = [a_task(project=path) for path in ("a", "a/b", "a/b", "c")]
        store.write(each(tasks, lambda tx: tx.tasks.add))
        assert store.read(lambda tx: dict(tx.projects())) == {"a": (1, 0), "a/b": (2, 0), "c": (1, 0)}
        assert store.read(lambda tx: dict(tx.projects(projects_below="a/b"))) == {"a/b": (2, 0)}
