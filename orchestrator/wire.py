"""Bodies of requests, and of those responses that are more than a record.

Lists are answered as `{"items": [...], "next": cursor or null}`; errors as `{"error": {"code", "message", "hint"}}`.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, StringConstraints

from orchestrator.records.agent import Slot
from orchestrator.records.base import Digest, Id, Moment, Name, ProjectPath, Record, Tag
from orchestrator.records.dataset import DatasetState, ManifestEntry
from orchestrator.records.principal import Role
from orchestrator.records.series import Points
from orchestrator.records.source import Container, Packages, Script, Source
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
from orchestrator.records.trigger import CloneAction, DatasetCondition, Firing, Trigger

PROTOCOL = 1
"""Sent as `Retrain-Protocol` with every request; a server speaks to its own and the previous one."""


T = TypeVar("T")

BlockDigest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""BLAKE3 of a block of a manifest."""


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


class CreateDataset(Record):
    """`POST /datasets`: a draft that begins with its parents' files; of two with one path the later parent's."""

    project: ProjectPath
    name: Name
    version: str | None = None
    """Counts up from the newest where it is not given."""
    parents: tuple[Id, ...] = ()
    squash: bool = False
    """Take the parents' files without calling them parents: the version stands for itself."""
    tags: tuple[Tag, ...] = ()
    description: str = ""
    storage: Name | None = None


class EditDataset(Record):
    """`PATCH /datasets/{id}`: fields that are None stay."""

    description: str | None = None
    archived: bool | None = None


class RenameDataset(Record):
    """`POST /datasets/rename`: all versions of a dataset get another name, another project or both."""

    project: ProjectPath
    name: Name
    new_project: ProjectPath | None = None
    new_name: Name | None = None


class Renamed(Record):
    """What `POST /datasets/rename` answers."""

    versions: int


class Blocks(Record):
    """`POST /datasets/{id}/blocks`: answered by each block after its length, four bytes, little-endian."""

    digests: tuple[BlockDigest, ...] = Field(max_length=512)


class EditEntries(Record):
    """`POST /datasets/{id}/entries`: change a draft's manifest. All or nothing."""

    put: tuple[ManifestEntry, ...] = Field(default=(), max_length=10_000)
    remove: tuple[str, ...] = Field(default=(), max_length=10_000)


class Finalize(Record):
    """`POST /datasets/{id}/finalize`; without a body whatever the draft comes to becomes final."""

    manifest: Digest | None = None
    """Digest of the manifest that the version must get: 409 where it would be another one, and the draft stays."""


class Freed(Record):
    """What a deletion frees, or freed: bytes that no other version, draft, task or model holds."""

    files: int
    """Files of the version, its metadata and the images among its reports: those whose bytes nobody else holds."""
    size_bytes: int
    """Given back by the next collection after the grace period, unless someone stores the same bytes in between."""


class CollectGarbage(Record):
    """`POST /blobs/collect`."""

    grace_seconds: float = Field(default=86_400.0, ge=0)
    """Only what was found unused at least this long ago is deleted."""
    dry_run: bool = False


class Collected(Record):
    """What `POST /blobs/collect` did, or would do."""

    condemned_blobs: int
    """Found unused and waiting for the grace period to end, this time and before."""
    condemned_bytes: int
    deleted_blobs: int
    freed_bytes: int
    """Given back by the storages."""
    unreachable: tuple[Name, ...] = ()
    """Storages that did not answer: what lies in them waits for the next collection."""


class LineageNode(Record):
    """A version in a graph of descent."""

    id: Id
    project: str
    name: str
    version: str
    state: DatasetState
    tags: tuple[Tag, ...]
    file_count: int
    size_bytes: int
    deleted: bool


class Lineage(Record):
    """`GET /datasets/{id}/lineage`: all that it descends from and all that descends from it."""

    nodes: tuple[LineageNode, ...]
    """Parents before children."""
    edges: tuple[tuple[Id, Id], ...]
    """Parent and child."""


class PutMetadata(Record):
    """`PUT /datasets/{id}/metadata/{name}`; the blob must be there."""

    kind: str = Field(max_length=32)
    filename: str = Field(max_length=255)
    digest: Digest
    size_bytes: int = Field(ge=0)
    preview: str = Field(default="", max_length=65_536)


class DamagedFile(Record):
    """A file whose bytes are not those that were stored."""

    path: str
    digest: Digest
    reason: str


class Verified(Record):
    """A line of what `POST /datasets/{id}/verify` answers; the last one has `done`."""

    files: int
    """So far."""
    size_bytes: int
    total_files: int
    total_bytes: int
    damaged: tuple[DamagedFile, ...] = ()
    """Found since the line before."""
    done: bool = False


class VerifyDataset(Record):
    """`POST /datasets/{id}/verify`: read every byte, or a sample of the files, and say which are damaged."""

    sample: float = Field(default=1.0, gt=0, le=1)
    """Share of the files to read, chosen at random."""


class CreateStorage(Record):
    """`PUT /storages/{name}`."""

    url: str = Field(min_length=1, max_length=2048)


class StorageUse(Record):
    """`GET /storages`: a storage and what lies in it."""

    name: Name
    url: str
    identity: str
    objects: int
    size_bytes: int


class EditTags(Record):
    """`POST /datasets/{id}/tags` and `POST /tasks/{id}/tags`: one call is one event."""

    add: tuple[Tag, ...] = ()
    remove: tuple[Tag, ...] = ()


class Digests(Record):
    """`POST /blobs/missing`, `/blobs/locations` and `/blobs/bundle`.

    Asking which are missing pins those that are there for an hour: whoever does not send them can rely on them.
    """

    digests: tuple[Digest, ...] = Field(max_length=100_000)


class MissingBlobs(Record):
    """What `POST /blobs/missing` answers, in the order asked; and `GET /datasets/{id}/missing` of a version's blobs."""

    missing: tuple[Digest, ...]


class Sizes(Record):
    """`POST /blobs/sizes` and its answer: sizes of large files, in bytes."""

    sizes: tuple[Annotated[int, Field(ge=0, le=2**62)], ...] = Field(max_length=10_000)


class StoredBlob(Record):
    """What an upload answers."""

    digest: Digest
    size_bytes: int
    sha256: str | None = None
    """Of the same bytes, for a sender without BLAKE3."""


class PackHeader(Record):
    """What the body of `POST /blobs/packs` begins with, after its own length: four bytes, little-endian."""

    sizes: tuple[Annotated[int, Field(ge=0)], ...] = Field(max_length=100_000)
    """Of the blobs that follow, one after the other."""
    digests: tuple[Digest, ...] | None = Field(default=None, max_length=100_000)
    """None where the sender has no BLAKE3: their SHA-256 is answered, too."""


class StoredBlobs(Record):
    """What `POST /blobs/packs` answers, in the order of the pack."""

    blobs: tuple[StoredBlob, ...]


class UploadState(Record):
    """`GET /blobs/{digest}/upload`: how far a large upload has come, where to go on."""

    received_bytes: int
    stored: bool
    """Whether the blob is there already."""
    busy: bool = False
    """Whether a request is sending it at this moment; where all has arrived, it is put into its storage, which may
    take long: ask again until it is stored."""


class BlobLocation(Record):
    """Where a blob's bytes lie, for who reads them straight from the storage."""

    digest: Digest
    storage: Name
    path: str
    offset: int
    size_bytes: int
    part_bytes: int
    """0 where the object is one; else it is a folder of parts of this length, `path/00000` and so on."""


class BlobLocations(Record):
    """What `POST /blobs/locations` answers: in the order asked, without those that are missing."""

    locations: tuple[BlobLocation, ...]


class PlacedBlob(Record):
    """A blob inside an object."""

    digest: Digest
    offset: int = Field(ge=0)
    size_bytes: int = Field(ge=0)


class RegisterObject(Record):
    """`POST /blobs/objects`: somebody with access of their own wrote an object into a storage."""

    storage: Name
    path: str = Field(max_length=512)
    size_bytes: int = Field(ge=0)
    part_bytes: int = Field(default=0, ge=0)
    blobs: tuple[PlacedBlob, ...] = Field(min_length=1, max_length=200_000)


class Registered(Record):
    """What `POST /blobs/objects` answers."""

    new_blobs: int
    """How many of its blobs were not stored before."""


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
