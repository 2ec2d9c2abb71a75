"""What a store does. The docstrings are the contract; `tests/contract/test_store.py` holds every store to it.

A unit of work is a function of a `Transaction`. All that it writes becomes visible at once or not at all, together with
the events that it appends; it may be run again when the database asks for it, so it does nothing else to the world.
Missing rows raise `NotFound`. Every change of a row with a state is a compare-and-set on the record as it was read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from orchestrator.records.agent import Agent
    from orchestrator.records.dataset import DatasetVersion, ManifestEntry
    from orchestrator.records.event import Event, EventType, NewEvent
    from orchestrator.records.lifecycle import Status
    from orchestrator.records.principal import Principal
    from orchestrator.records.queue import Queue
    from orchestrator.records.series import Points, SeriesSummary
    from orchestrator.records.task import Artifact, Attempt, Parameter, Report, Task
    from orchestrator.records.trigger import Firing, Trigger

T = TypeVar("T")


class Tasks(Protocol):
    """Tasks and what hangs on them."""

    def add(self, task: Task, *, parameters: Sequence[Parameter] = ()) -> None:
        """Store a new task. `Conflict` when its `firing` has made a task already."""

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

    def active_of_trigger(self, trigger_id: str) -> int:
        """Return how many tasks made by firings of this trigger are queued or in progress."""

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


class Datasets(Protocol):
    """Dataset versions and their manifests."""

    def add(self, version: DatasetVersion) -> None:
        """Store a new version."""

    def get(self, version_id: str) -> DatasetVersion:
        """Return the version."""

    def replace(self, version: DatasetVersion, *, expected: DatasetVersion) -> None:
        """Write the version where its row still has the state and tags of `expected`, else `Conflict`.

        `AlreadyExists` when it becomes final and another final version has the same project, name and version.
        """

    def find(  # noqa: PLR0913  a filter is made of many optional parts
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        version: str | None = None,
        states: Sequence[str] = (),
        tags: Sequence[str] = (),
        projects_below: str = "",
        exact_project: bool = False,
        after: str | None = None,
        limit: int = 100,
    ) -> list[DatasetVersion]:
        """Return versions, newest first (by id); `tags` must all be there. Other arguments as for `Tasks.find`."""

    def newest(
        self, *, project: str, name: str, states: Sequence[str], tags: Sequence[str] = ()
    ) -> DatasetVersion | None:
        """Return the version with the largest semantic version in these states that has all of these tags."""

    def head(self, *, project: str, name: str) -> str | None:
        """Return the id of the dataset's newest final version, or None."""

    def move_head(self, *, project: str, name: str, expected: str | None, to: str) -> None:
        """Set the dataset's head where it still is `expected`, else `HeadMoved`."""

    def copy_entries(self, *, source: str, target: str) -> None:
        """Copy a version's manifest into a draft's, overwriting entries of the same path."""

    def put_entries(self, version_id: str, entries: Sequence[ManifestEntry]) -> None:
        """Insert manifest entries, or overwrite those of the same path."""

    def remove_entries(self, version_id: str, paths: Sequence[str]) -> list[str]:
        """Remove entries and return the paths that were there."""

    def entries(self, version_id: str, *, after: str | None = None, limit: int | None = 1000) -> list[ManifestEntry]:
        """Return manifest entries sorted by path (as bytes), those after the path `after`."""

    def clashes(self, version_id: str, paths: Sequence[str]) -> list[str]:
        """Return those of these paths that are files in the manifest and directories of other files in it, too."""

    def totals(self, version_id: str) -> tuple[int, int]:
        """Return how many files a version has and the sum of their sizes in bytes."""

    def compare(self, version_id: str, other: str | None) -> tuple[int, int, int]:
        """Return how many files are added, modified and removed against another version, or against nothing."""

    def missing_blobs(self, version_id: str) -> list[str]:
        """Return digests in the manifest that no location is known of, at most 100."""


class Reports(Protocol):
    """Plots and texts of tasks and dataset versions."""

    def put(self, report: Report) -> None:
        """Insert a report, or overwrite the one of the same owner, title, series and iteration."""

    def of(self, owner: str) -> list[Report]:
        """Return an owner's reports, sorted by title, series and iteration."""


class Events(Protocol):
    """The log. Ids become visible in order: a reader that asks for what is after its cursor misses nothing."""

    def append(self, event: NewEvent) -> None:
        """Collect an event; it is numbered, and written last, when the transaction commits."""

    def after(self, cursor: int, *, limit: int = 500, projects_below: str = "") -> list[Event]:
        """Return events with larger ids, in order."""

    def recent(
        self,
        *,
        types: Sequence[EventType] = (),
        subject: str | None = None,
        before: int | None = None,
        limit: int = 100,
        projects_below: str = "",
    ) -> list[Event]:
        """Return events, newest first."""

    def get(self, event_id: int) -> Event:
        """Return one event."""

    def last_id(self) -> int:
        """Return the id of the newest visible event, 0 when there is none."""

    def cursor(self, name: str) -> int:
        """Return a named reader's position, 0 when it has none."""

    def advance(self, name: str, to: int) -> int:
        """Move a named reader's position forward, never back, and return it."""


class Triggers(Protocol):
    """Triggers by id and name, their revisions and firings."""

    def add(self, trigger: Trigger) -> None:
        """Store a new trigger and its first revision; `AlreadyExists` when the name is taken by one not removed."""

    def get(self, trigger_id: str, *, lock: bool = False) -> Trigger:
        """Return the trigger as it is now; with `lock` no other transaction locks it until this one ends."""

    def by_name(self, name: str) -> Trigger | None:
        """Return the trigger of that name that is not removed, or None."""

    def find(self, *, after: str | None = None, limit: int = 500, removed: bool = False) -> list[Trigger]:
        """Return triggers, oldest first; removed ones only when asked for."""

    def replace(self, trigger: Trigger, *, expected: Trigger) -> None:
        """Write the trigger, and its revision where new; `StaleRevision` unless revision and state are as expected."""

    def add_firing(self, firing: Firing) -> bool:
        """Store a firing; return False, changing nothing, when the trigger has one with this event key."""

    def firing(self, firing_id: str) -> Firing:
        """Return a firing."""

    def firing_of(self, trigger_id: str, event_key: str) -> Firing | None:
        """Return the trigger's firing with that event key, or None."""

    def replace_firing(self, firing: Firing, *, expected: Firing) -> None:
        """Write the firing where its row still has the status and tries of `expected`, else `Conflict`."""

    def firings(
        self,
        *,
        trigger_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> list[Firing]:
        """Return firings, newest first."""

    def firings_due(self, *, now: datetime, limit: int = 100) -> list[Firing]:
        """Return failed firings whose next try is due, oldest first."""


class Queues(Protocol):
    """Queues by name."""

    def add(self, queue: Queue) -> None:
        """Store a queue; `AlreadyExists` when the name is taken."""

    def get(self, name: str) -> Queue:
        """Return the queue."""

    def all(self) -> list[Queue]:
        """Return every queue, sorted by name."""


class Agents(Protocol):
    """Agents by id and name."""

    def put(self, agent: Agent) -> None:
        """Insert an agent, or overwrite the one of the same id."""

    def get(self, agent_id: str) -> Agent:
        """Return the agent."""

    def by_name(self, name: str) -> Agent | None:
        """Return the agent of that name, or None."""

    def all(self) -> list[Agent]:
        """Return every agent, sorted by name."""


class Principals(Protocol):
    """Tokens and their bearers. Only the SHA-256 of a token is stored."""

    def add(self, principal: Principal, *, token_sha256: str) -> None:
        """Store a principal."""

    def get(self, principal_id: str) -> Principal:
        """Return the principal."""

    def by_token(self, token_sha256: str) -> Principal | None:
        """Return the token's bearer, or None; also when it is revoked or expired."""

    def replace(self, principal: Principal) -> None:
        """Write the principal."""

    def find(self, *, after: str | None = None, limit: int = 100) -> list[Principal]:
        """Return those that are not attempts, oldest first."""

    def forget_attempts(self, *, ended_before: datetime) -> int:
        """Remove those of attempts that ended before a moment; return how many there were."""


class BlobLocations(Protocol):
    """Where blobs are stored."""

    def add(self, digest: str, *, size_bytes: int, store: str, location: str, offset: int = 0) -> None:
        """Record a location; nothing happens when the digest has one."""

    def get(self, digest: str) -> tuple[str, str, int, int]:
        """Return store, object, offset and size in bytes."""

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Return those that have no location, in the order given."""

    def forget(self, digest: str, *, location: str) -> None:
        """Remove a location that turned out not to hold the bytes; nothing happens when it is another by now."""


class Answers(Protocol):
    """What POST requests with an `Idempotency-Key` were answered."""

    def get(self, principal_id: str, key: str) -> tuple[str, int, bytes] | None:
        """Return the request's fingerprint, the HTTP status and the body, or None."""

    def put(self, principal_id: str, key: str, *, fingerprint: str, status: int, body: bytes) -> None:
        """Keep an answer; `Conflict` when there is one."""

    def forget(self, *, before: datetime) -> int:
        """Remove the answers that were kept before a moment; return how many there were."""


class Transaction(Protocol):
    """One unit of work."""

    tasks: Tasks
    series: SeriesStore
    console: Console
    datasets: Datasets
    reports: Reports
    events: Events
    triggers: Triggers
    queues: Queues
    agents: Agents
    principals: Principals
    blobs: BlobLocations
    answers: Answers

    def now(self) -> datetime:
        """Return the database's time, the same throughout the transaction, aware, in UTC."""

    def savepoint(self, work: Callable[[], T]) -> T:
        """Run a part; when it raises, only what it wrote and appended is undone and the error goes on."""

    def claim_duty(self, name: str) -> bool:
        """Take a duty that one API process at a time does, until the transaction ends; False when another has it."""

    def projects(self, *, projects_below: str = "") -> Mapping[str, tuple[int, int]]:
        """Return every project path in use with its number of tasks and of dataset versions."""

    def setting(self, name: str) -> Any:  # noqa: ANN401  JSON is any
        """Return a JSON value that the system keeps for itself, or None."""

    def put_setting(self, name: str, value: Any) -> None:  # noqa: ANN401  JSON is any
        """Keep a JSON value."""


class Store(Protocol):
    """The database. Safe to use from many threads."""

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a unit of work; when it returns, what it wrote is durable. When it raises, nothing was written."""

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run a unit of work that only reads, on one consistent view."""

    def subscribe(self, listener: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Call `listener` soon after each commit that appended events; return a function that ends it.

        Commits of this process bring their events; those of other processes an empty sequence. Listeners are quick and
        never raise.
        """

    def close(self) -> None:
        """Release every connection and thread."""
