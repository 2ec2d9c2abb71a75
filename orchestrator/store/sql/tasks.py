"""Tasks, by id, by filter, and by whose turn it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select, update
from typing_extensions import override

from orchestrator.errors import Conflict, NotFound, StaleTask
from orchestrator.records.lifecycle import Status
from orchestrator.records.task import Task
from orchestrator.store.protocol import Tasks
from orchestrator.store.sql.attempts import AttemptRows
from orchestrator.store.sql.rows import below, columns_of, differences, to_row
from orchestrator.store.sql.tables import parameters as parameter_rows
from orchestrator.store.sql.tables import task_tags, tasks
from orchestrator.store.sql.tags import replace_tags, tagged
from orchestrator.store.sql.task_parts import ArtifactRows, ParameterRows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.records.task import Parameter

_TASKS = select(*columns_of(Task, tasks))
_ACTIVE = (Status.QUEUED.value, Status.IN_PROGRESS.value)


class SqlTasks(AttemptRows, ParameterRows, ArtifactRows, Tasks):
    """Tasks and what hangs on them."""

    @override
    def add(self, task: Task, *, parameters: Sequence[Parameter] = ()) -> None:
        if not self._unit.add_new(tasks, to_row(task, tasks)):
            raise Conflict(f"Task {task.id} is there already, or firing {task.firing} has made one.")
        replace_tags(self._unit, task_tags, owner=task.id, tags=task.tags)
        self.put_parameters(task.id, parameters)

    @override
    def add_all(self, made: Sequence[tuple[Task, Sequence[Parameter]]]) -> None:
        self._unit.add(tasks, [to_row(task, tasks) for task, _ in made])
        self._unit.add(
            task_tags, [{"owner": task.id, "tag": tag} for task, _ in made for tag in sorted(set(task.tags))]
        )
        rows = [{"task_id": task.id} | to_row(each, parameter_rows) for task, parameters in made for each in parameters]
        if rows:
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            self._unit.insert_columns(self._unit.insert(parameter_rows), columns)

    @override
    def get(self, task_id: str, *, lock: bool = False) -> Task:
        statement = _TASKS.where(tasks.c.id == task_id)
        task = self._unit.record(Task, statement.with_for_update() if lock else statement)
        if task is None:
            raise NotFound(f"There is no task {task_id}.")
        return task

    @override
    def replace(self, task: Task, *, expected: Task) -> None:
        unchanged = (
            tasks.c.id == task.id,
            tasks.c.status == expected.status.value,
            tasks.c.attempt == expected.attempt,
        )
        values = differences(task, expected=expected, table=tasks) | {"changed_at": task.changed_at}
        if self._unit.execute(update(tasks).where(*unchanged).values(values)).rowcount == 0:
            now = self.get(task.id)
            raise StaleTask(
                f"Task {task.id} is {now.status} in attempt {now.attempt} by now, "
                f"no longer {expected.status} in attempt {expected.attempt}.",
                hint="Look at it again, then repeat what you wanted.",
            )
        if task.tags != expected.tags:
            replace_tags(self._unit, task_tags, owner=task.id, tags=task.tags)

    @override
    def find(  # the protocol's own signature
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        status: Status | None = None,
        type: str | None = None,
        tag: str | None = None,
        parent: str | None = None,
        queue: str | None = None,
        archived: bool = False,
        projects_below: str = "",
        after: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        statement = _TASKS.order_by(tasks.c.id.desc()).limit(limit)
        exact = {"name": name, "status": status and status.value, "type": type, "parent": parent, "queue": queue}
        for column, value in exact.items():
            if value is not None:
                statement = statement.where(tasks.c[column] == value)
        for root in (project, projects_below):
            if root:
                statement = statement.where(below(tasks.c.project, root))
        if tag is not None:
            statement = statement.where(tagged(tasks.c.id, task_tags, tag))
        if not archived:
            statement = statement.where(tasks.c.archived_at.is_(None))
        if after is not None:
            statement = statement.where(tasks.c.id < after)
        return self._unit.records(Task, statement)

    @override
    def next_queued(self, queues: Sequence[str], *, now: datetime) -> Task | None:
        statement = (
            _TASKS.where(
                tasks.c.status == Status.QUEUED.value,
                tasks.c.queue.in_(list(queues)),
                or_(tasks.c.not_before.is_(None), tasks.c.not_before <= now),
            )
            .order_by(tasks.c.priority.desc(), tasks.c.position, tasks.c.queued_at, tasks.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        return self._unit.record(Task, statement)

    @override
    def queue_counts(self) -> dict[str, tuple[int, int]]:
        statement = (
            select(tasks.c.queue, tasks.c.status, func.count())
            .where(
                tasks.c.status.in_([Status.QUEUED.value, Status.IN_PROGRESS.value]),
                tasks.c.queue.is_not(None),
            )
            .group_by(tasks.c.queue, tasks.c.status)
        )
        counts: dict[str, tuple[int, int]] = {}
        for queue, status, count in self._unit.execute(statement):
            queued, running = counts.get(queue, (0, 0))
            counts[queue] = (count, running) if status == Status.QUEUED.value else (queued, count)
        return counts
