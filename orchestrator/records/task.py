"""Tasks, their parameters, attempts, artifacts and reports."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from orchestrator.records.base import Digest, Id, Moment, Name, ProjectPath, Record, Tag
from orchestrator.records.lifecycle import Status
from orchestrator.records.source import Container, ObjectId, Packages, Script, Source


class TaskType(StrEnum):
    """What kind of work a task is."""

    TRAINING = "training"
    TESTING = "testing"
    INFERENCE = "inference"
    DATA_PROCESSING = "data_processing"
    CONTROLLER = "controller"
    OPTIMIZER = "optimizer"
    SERVICE = "service"
    CUSTOM = "custom"


class Task(Record):
    """One run of code, with what is needed to repeat it."""

    id: Id
    project: ProjectPath
    name: Name
    type: TaskType = TaskType.TRAINING
    status: Status = Status.CREATED
    status_reason: str | None = None
    status_message: str | None = None
    parent: Id | None = None
    """The task that it was cloned from."""
    comment: str = ""
    tags: tuple[Tag, ...] = ()
    attempt: int = Field(default=0, ge=0)
    """The newest attempt's number; 0 before the first."""
    lost_attempts: int = Field(default=0, ge=0)
    """How many attempts were lost since it was last enqueued by someone; the retry policy counts them."""
    queue: Name | None = None
    priority: int = 0
    """Larger goes first."""
    position: int = 0
    """Order among equals; smaller goes first."""
    not_before: Moment | None = None
    script: Script | None = None
    source: Source | None = None
    packages: Packages | None = None
    container: Container | None = None
    firing: Id | None = None
    """The firing that made it."""
    chain: tuple[Id, ...] = ()
    """The triggers whose firings led here, oldest first."""
    stop_requested_at: Moment | None = None
    created_at: Moment
    created_by: Id
    changed_at: Moment
    queued_at: Moment | None = None
    queued_by: Id | None = None
    """Whoever enqueued it: attempts act with the rights of this principal."""
    started_at: Moment | None = None
    ended_at: Moment | None = None
    archived_at: Moment | None = None
    """Since when lists leave it out."""


ParameterType = Literal["string", "int", "float", "bool", "json", "none"]
"""The same as `orchestrator.records.values.TYPES`."""


class Parameter(Record):
    """One typed value. The text is read by `records.values.decode`."""

    name: str = Field(pattern=r"^[^/\x00-\x1f]+/[^\x00-\x1f]+$", max_length=512)
    """`Section/name`, such as `Args/lr`."""
    type: ParameterType
    value: str


class ExitReason(StrEnum):
    """Why an attempt ended."""

    COMPLETED = "completed"
    SCRIPT_FAILED = "script_failed"
    OUT_OF_MEMORY = "out_of_memory"
    STOPPED = "stopped"
    LOST = "lost"  # its lease expired
    INFRASTRUCTURE = "infrastructure"  # source, packages or engine: not the script's fault
    HANDED_OVER = "handed_over"  # a run by hand went on at an agent


class Attempt(Record):
    """The n-th try to run a task; n is also the fencing token."""

    task_id: Id
    number: int = Field(ge=1)
    agent_id: Id | None = None
    """None for a run by hand."""
    slot: str | None = None
    executor: str | None = None
    environment: str | None = None
    """Key of the environment that it ran in."""
    environment_reused: bool | None = None
    token_id: Id
    """The principal that writes for it."""
    lease_expires_at: Moment
    claimed_at: Moment
    started_at: Moment | None = None
    """When the script was started."""
    ended_at: Moment | None = None
    exit_code: int | None = None
    exit_reason: ExitReason | None = None
    message: str | None = None
    commit: ObjectId | None = None
    """The commit that its source was rebuilt from, and where a branch was asked for the one that it was found at."""


class Artifact(Record):
    """A named result of a task; the newest of a name stands."""

    task_id: Id
    name: Name
    attempt: int
    kind: str
    """How the bytes are to be read: `json`, `csv`, `npy`, `text`, `image`, `file` …"""
    filename: str
    digest: Digest
    size_bytes: int = Field(ge=0)
    preview: str = ""
    created_at: Moment


ReportKind = Literal["scalar", "scatter2d", "text", "table", "histogram", "image", "plotly"]


class Report(Record):
    """A plot, a table or a text that belongs to a task or a dataset version."""

    owner: Id
    """The task or dataset version."""
    title: Name
    series: str
    iteration: int = 0
    kind: ReportKind
    data: Any
    """`scatter2d`: list of [x, y]; `scalar`: a number; `text`: a string; `table`: {"columns": [...], "rows": [[...]]};
    `histogram`: {"labels": [...], "values": [...]}; `image`: {"digest", "width", "height"} of a PNG; `plotly`: a figure
    as Plotly's own JSON."""
    created_at: Moment
