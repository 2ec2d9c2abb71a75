"""Bodies of requests, and of those responses that are more than a record.

Lists are answered as `{"items": [...], "next": cursor or null}`; errors as `{"error": {"code", "message", "hint"}}`.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from orchestrator.records.agent import Slot
from orchestrator.records.base import Digest, Id, Moment, Name, ProjectPath, Record, Tag
from orchestrator.records.dataset import ManifestEntry
from orchestrator.records.principal import Role
from orchestrator.records.series import Points
from orchestrator.records.source import Container, Packages, Script, Source
from orchestrator.records.task import Artifact, Attempt, ExitReason, Parameter, ParameterType, Task, TaskType
from orchestrator.records.trigger import CloneAction, DatasetCondition, Firing, Trigger

PROTOCOL = 1
"""Sent as `Retrain-Protocol` with every request; a server speaks to its own and the previous one."""


T = TypeVar("T")


class Page(Record, Generic[T]):
    """One page of a list; ask again with `after=next` until `next` is None."""

    items: tuple[T, ...]
    next: str | None = None


class ProjectSummary(Record):
    """`GET /projects`: a project path in use."""

    project: str
    tasks: int
    datasets: int


class CreateTask(Record):
    """`POST /tasks`."""

    project: ProjectPath
    name: Name
    type: TaskType = TaskType.TRAINING
    comment: str = ""
    tags: tuple[Tag, ...] = ()
    parent: Id | None = None
    script: Script | None = None
    source: Source | None = None
    packages: Packages | None = None
    container: Container | None = None
    parameters: tuple[Parameter, ...] = ()


class EditTask(Record):
    """`PATCH /tasks/{id}`: fields that are None stay; how it was made can be edited while it is created only."""

    name: Name | None = None
    comment: str | None = None
    tags: tuple[Tag, ...] | None = None
    script: Script | None = None
    source: Source | None = None
    packages: Packages | None = None
    container: Container | None = None


class PutParameters(Record):
    """`PUT /tasks/{id}/parameters`, answered by all parameters of the task.

    `connect` adds those that are missing and leaves the others as they are: what a script sends of its own values.
    `set` overwrites; where the task has the parameter the text takes its type.
    """

    mode: Literal["connect", "set"] = "set"
    parameters: tuple[Parameter, ...]


class CloneTask(Record):
    """`POST /tasks/{id}/clone`, answered by the clone."""

    name: Name | None = None
    comment: str | None = None
    project: ProjectPath | None = None
    parent: Id | None = None
    tags: tuple[Tag, ...] | None = None
    parameters: dict[str, str] = Field(default_factory=dict)
    """`Section/name` to text, which takes the type of the reference's value."""
    types: dict[str, ParameterType] = Field(default_factory=dict)
    """`Section/name` to the type that its text was made of; it counts where the reference's value has none."""
    allow_new: bool = False
    queue: Name | None = None
    """Enqueue the clone there, in the same transaction."""


class EnqueueTask(Record):
    """`POST /tasks/{id}/enqueue`. An attempt that sends it hands its own task over to an agent."""

    queue: Name = "default"
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000)
    not_before: Moment | None = None


class StartTask(Record):
    """`POST /tasks/{id}/start`: a run by hand begins; answered by `Claim`."""

    hostname: str = ""


class ClaimTask(Record):
    """`POST /agents/{id}/claim`: answered by `Claim`, or 204 where there is no work."""

    slot: Name


class Claim(Record):
    """The right to run one attempt."""

    task: Task
    attempt: Attempt
    parameters: tuple[Parameter, ...]
    token: str
    """Bearer token of the attempt, shown this once."""
    lease_seconds: float
    heartbeat_seconds: float
    """How often the lease is to be extended."""


class Heartbeat(Record):
    """`POST /tasks/{id}/heartbeat`: extend the attempt's lease, then wait until there is something to say.

    409 `stale_attempt` when a newer attempt, or none, owns the task: the sender must end its run.
    """

    wait_seconds: float = Field(default=0, ge=0, le=30)
    executor: str | None = None
    environment: str | None = None
    environment_reused: bool | None = None
    started_at: Moment | None = None
    """When the script was started."""


class HeartbeatAnswer(Record):
    """What the sender must know."""

    stop_requested: bool
    lease_expires_at: Moment


class FinishTask(Record):
    """`POST /tasks/{id}/finish`, by its attempt: how it ended. Sent twice, the second is answered like the first."""

    reason: ExitReason
    exit_code: int | None = None
    message: str | None = None


class SeriesBatch(Record):
    """`POST /tasks/{id}/series`, by an attempt. Unique by (attempt, writer, sequence): sent twice, it counts once."""

    writer: str = Field(min_length=1, max_length=64)
    sequence: int = Field(ge=0)
    points: tuple[Points, ...] = Field(min_length=1)


class SeriesStored(Record):
    """What `POST /tasks/{id}/series` answers: False when the batch was stored before."""

    stored: bool


class ConsoleLength(Record):
    """What `PUT /tasks/{id}/console` answers: how many bytes there are now, where to go on."""

    length: int


class ConsoleText(Record):
    """`GET /tasks/{id}/console?attempt=&after=`."""

    attempt: int
    offset: int
    """Of the text's first byte."""
    next: int
    """To ask with again."""
    text: str
    """UTF-8; what is not is replaced by U+FFFD."""
    ended: bool
    """Whether no more will come of this attempt."""


class PutArtifact(Record):
    """`PUT /tasks/{id}/artifacts`, by an attempt; the blob must be there."""

    name: Name
    kind: str
    filename: str
    digest: Digest
    size_bytes: int = Field(ge=0)
    preview: str = Field(default="", max_length=65_536)


class PutReport(Record):
    """`POST /tasks/{id}/reports` and `POST /datasets/{id}/reports`: the newest of (title, series, iteration) stands."""

    title: Name
    series: str
    iteration: int = 0
    kind: Literal["scalar", "scatter2d", "text"]
    data: Any


class SetLock(Record):
    """`PUT /tasks/{id}/lock`, by an attempt: the blob of the requirements that its environment was built from."""

    lock: Digest


class TaskDetail(Record):
    """`GET /tasks/{id}`: the task and, so that a waiting one explains itself, who listens to its queue."""

    task: Task
    parameters: tuple[Parameter, ...]
    artifacts: tuple[Artifact, ...]
    attempts: tuple[Attempt, ...]
    listening_agents: int | None = None
    """Agents that serve its queue and were seen lately; None when it is in no queue."""


class CreateQueue(Record):
    """`POST /queues`."""

    name: Name
    description: str = ""


class QueueSummary(Record):
    """`GET /queues`: a queue and what stands in it."""

    name: Name
    description: str
    waiting: int
    running: int
    agents: tuple[Name, ...]
    """Those that serve it and were seen lately."""


class RegisterAgent(Record):
    """`POST /agents`: by name; registering again updates."""

    name: Name
    hostname: str
    version: str
    executor: str
    slots: tuple[Slot, ...] = Field(min_length=1)


class CreateDataset(Record):
    """`POST /datasets`: a draft that begins with its parents' files; of two with one path the later parent's."""

    project: ProjectPath
    name: Name
    version: str | None = None
    """Counts up from the newest where it is not given."""
    parents: tuple[Id, ...] = ()
    tags: tuple[Tag, ...] = ()
    description: str = ""


class EditEntries(Record):
    """`POST /datasets/{id}/entries`: change a draft's manifest. All or nothing."""

    put: tuple[ManifestEntry, ...] = Field(default=(), max_length=10_000)
    remove: tuple[str, ...] = Field(default=(), max_length=10_000)


class EditTags(Record):
    """`POST /datasets/{id}/tags` and `POST /tasks/{id}/tags`: one call is one event."""

    add: tuple[Tag, ...] = ()
    remove: tuple[Tag, ...] = ()


class Digests(Record):
    """`POST /blobs/missing`: answered by those of them that are not stored."""

    digests: tuple[Digest, ...] = Field(max_length=100_000)


class MissingBlobs(Record):
    """What `POST /blobs/missing` answers, in the order asked."""

    missing: tuple[Digest, ...]


class StoredBlob(Record):
    """What an upload answers."""

    digest: Digest
    size_bytes: int
    sha256: str | None = None
    """Of the same bytes, for a sender without BLAKE3."""


class RegisterTrigger(Record):
    """`PUT /triggers`: by name; registering again makes a revision where something differs."""

    name: Name
    condition: DatasetCondition
    action: CloneAction
    max_active: int | None = Field(default=None, ge=1)


class TestTrigger(Record):
    """`POST /triggers/{id}/test`: what the trigger would do with an event, by default the newest that matches."""

    event: int | None = None


class TriggerTest(Record):
    """What a dry run says; nothing is made."""

    event: int | None
    matches: bool
    reason: str
    parameters: dict[str, str] = Field(default_factory=dict)
    """Overrides with their templates filled in."""
    name: str | None = None
    queue: str | None = None


class TriggerDetail(Record):
    """`GET /triggers/{id}`."""

    trigger: Trigger
    firings: tuple[Firing, ...]
    active: int
    """Tasks of it that are queued or running."""


class NewFiring(Record):
    """One match that a scheduler found."""

    trigger_id: Id
    revision: int
    event: int


class PostFirings(Record):
    """`POST /firings`: in one transaction, one savepoint each."""

    firings: tuple[NewFiring, ...] = Field(max_length=500)


class FiringResult(Record):
    """What became of a match."""

    trigger_id: Id
    event: int
    outcome: Literal["launched", "skipped", "failed", "duplicate", "stale_revision"]
    task_id: Id | None = None
    reason: str | None = None


class Cursor(Record):
    """`GET` and `PUT /events/cursors/{name}`: how far a reader has come; it never goes back."""

    event: int = Field(ge=0)


class CreateToken(Record):
    """`POST /tokens`."""

    name: Name
    role: Literal[Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN, Role.AGENT, Role.SCHEDULER]
    project: str = ""
    queues: tuple[Name, ...] = ()
    expires_at: Moment | None = None


class CreatedToken(Record):
    """The token itself is shown this once; only its hash is stored."""

    id: Id
    token: str
