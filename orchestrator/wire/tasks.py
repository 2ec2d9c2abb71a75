"""Tasks, their attempts and reports, queues and agents."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from orchestrator.records.agent import Slot
from orchestrator.records.base import Digest, Id, Moment, Name, ProjectPath, Record, Tag
from orchestrator.records.series import Points
from orchestrator.records.source import Container, ObjectId, Packages, Script, Source
from orchestrator.records.task import (
    Artifact,
    Attempt,
    ExitReason,
    Parameter,
    ParameterType,
    ReportKind,
    Task,
    TaskType,
)


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
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000)
    """In that queue."""
    commit: ObjectId | None = None
    """Run this commit of the same repository instead, without uncommitted changes."""
    branch: str | None = Field(default=None, min_length=1, max_length=255)
    """Run what this branch of the same repository points to when the attempt starts; with `commit` a note alone."""
    image: Name | None = None
    """Container image instead of the reference's."""


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
    commit: ObjectId | None = None
    """The commit that its source was rebuilt from."""


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
    kind: ReportKind
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
