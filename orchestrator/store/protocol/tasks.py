"""Tasks and what they report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from orchestrator.records.lifecycle import Status
    from orchestrator.records.series import Points, SeriesSummary
    from orchestrator.records.task import Artifact, Attempt, Parameter, Report, Task


class Tasks(Protocol):
    """Tasks and what hangs on them."""

    def add(self, task: Task, *, parameters: Sequence[Parameter] = ()) -> None:
        """Store a new task. `Conflict` when its `firing` has made a task already."""

    def add_all(self, made: Sequence[tuple[Task, Sequence[Parameter]]]) -> None:
        """Store many new tasks with their parameters; `Conflict`, as with `add`, and then none is stored."""

    def get(self, task_id: str, *, lock: bool = False) -> Task:
        """Return the task; with `lock` no other transaction changes or locks it until this one ends."""

    def replace(self, task: Task, *, expected: Task) -> None:
        """Write the task where its row still has the status and attempt of `expected`, else `StaleTask`."""

    def find(  # noqa: PLR0913  a filter is made of many optional parts
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        status: Status | None = None,
        type: str | None = None,  # noqa: A002  the field's own word
        tag: str | None = None,
        parent: str | None = None,
        queue: str | None = None,
        archived: bool = False,
        projects_below: str = "",
        after: str | None = None,
        limit: int = 100,
    ) -> list[Task]:
        """Return tasks, newest first, with ids smaller than `after`.

        Args:
            project: this project or below.
            name: exact.
            status: exact.
            type: exact.
            tag: one of its tags.
            parent: the task that it was cloned from.
            queue: it is queued there or was.
            archived: archived ones, too.
            projects_below: nothing outside this project is returned: the reader's grant.
            after: id at which the page before ended.
            limit: most rows.
        """

    def next_queued(self, queues: Sequence[str], *, now: datetime) -> Task | None:
        """Return the first queued task of these queues that may start now, or None, and lock it until the end.

        Larger priority first, then smaller position, then whichever was queued first; queues are equals. Two
        transactions at once never get the same task.
        """

    def queue_counts(self) -> dict[str, tuple[int, int]]:
        """Return for every queue name with tasks how many are queued and how many in progress."""

    def parameters(self, task_id: str) -> list[Parameter]:
        """Return a task's parameters, sorted by name."""

    def put_parameters(self, task_id: str, parameters: Sequence[Parameter]) -> None:
        """Insert parameters, or overwrite those of the same name."""

    def add_attempt(self, attempt: Attempt) -> None:
        """Store a new attempt."""

    def attempt(self, task_id: str, number: int) -> Attempt:
        """Return one attempt."""

    def attempts(self, task_id: str) -> list[Attempt]:
        """Return a task's attempts, oldest first."""

    def replace_attempt(self, attempt: Attempt) -> None:
        """Write an attempt; `StaleAttempt` when its row has ended already."""

    def expired_attempts(self, *, now: datetime, limit: int = 100) -> list[Attempt]:
        """Return attempts that have not ended and whose lease has, oldest lease first."""

    def extend_leases(self, *, by: timedelta, until: datetime) -> int:
        """Move every running attempt's lease end by so much, but not beyond a moment; return how many were moved."""

    def put_artifact(self, artifact: Artifact) -> None:
        """Insert an artifact, or overwrite the one of the same task and name."""

    def artifacts(self, task_id: str) -> list[Artifact]:
        """Return a task's artifacts, sorted by name."""


class SeriesStore(Protocol):
    """Scalars as append-only column chunks: see `records.series`."""

    def append(self, task_id: str, attempt: int, writer: str, sequence: int, points: Sequence[Points]) -> bool:
        """Store a batch; return False, changing nothing, when (attempt, writer, sequence) was stored before.

        The first batch of a newer attempt for a series hides that series' points of older attempts from its own
        first step on; the summary follows.
        """

    def extremes(
        self, task_id: str, attempt: int, names: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[float, float]]:
        """Return minimum and maximum of everything that one attempt reported, hidden since or not.

        Args:
            task_id: whose.
            attempt: which of its attempts.
            names: title and series of each; those without a number are left out.
        """

    def summaries(self, task_id: str) -> list[SeriesSummary]:
        """Return count, last, minimum and maximum of each series, sorted by title and series."""

    def points(self, task_id: str, *, title: str, series: str, limit: int | None = None) -> Points | None:
        """Return a series in order of step and time, or None when there is none.

        Args:
            task_id: whose.
            title: of the chart.
            series: of the line.
            limit: at most about this many points, decimated so that each bucket's minimum and maximum stay.
        """


class Console(Protocol):
    """What attempts printed, as ordered chunks with byte offsets."""

    def append(self, task_id: str, attempt: int, offset: int, data: bytes) -> int:
        """Store bytes that begin at this offset and return the length of the text after it.

        What is there already is left as it is (a chunk sent twice is harmless, overlaps are cut); an offset beyond the
        end is `Conflict` with the present length in the message.
        """

    def read(self, task_id: str, attempt: int, *, after: int, limit: int = 1 << 20) -> bytes:
        """Return at most `limit` bytes from this offset on."""

    def length(self, task_id: str, attempt: int) -> int:
        """Return how many bytes there are."""


class Reports(Protocol):
    """Plots and texts of tasks and dataset versions."""

    def put(self, report: Report) -> None:
        """Insert a report, or overwrite the one of the same owner, title, series and iteration."""

    def of(self, owner: str) -> list[Report]:
        """Return an owner's reports, sorted by title, series and iteration."""

    def drop(self, owner: str) -> None:
        """Remove an owner's reports."""
