"""Dataset versions, their lineage and what is left over."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from orchestrator.records.base import Digest, Id, Name, ProjectPath, Record, Tag
from orchestrator.records.dataset import DatasetState, ManifestEntry

BlockDigest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""BLAKE3 of a block of a manifest."""


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
