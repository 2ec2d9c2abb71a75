"""Dataset versions, their semantic versions and their manifests."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from orchestrator.errors import InvalidRequest
from orchestrator.records.base import Digest, Id, Moment, Name, ProjectPath, Record, Tag

_VERSION = re.compile(r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$")


class SemanticVersion(Record):
    """`major.minor.patch` (semver.org 2.0.0, without pre-release and build parts), compared by number."""

    major: int = Field(ge=0)
    minor: int = Field(ge=0)
    patch: int = Field(ge=0)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `1.2.3`.

        Raises:
            InvalidRequest: the text is not three whole numbers joined by dots.
        """
        match = _VERSION.fullmatch(text)
        if match is None:
            raise InvalidRequest(f"{text!r} is no version.", hint="Write three whole numbers, such as 1.0.0.")
        major, minor, patch = (int(part) for part in match.groups())
        return cls(major=major, minor=minor, patch=patch)

    def next(self) -> SemanticVersion:
        """Return the version that follows where nobody names one: the last number counts up."""
        return SemanticVersion(major=self.major, minor=self.minor, patch=self.patch + 1)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def __lt__(self, other: SemanticVersion) -> bool:
        return (self.major, self.minor, self.patch) < (other.major, other.minor, other.patch)


FIRST_VERSION = SemanticVersion(major=1, minor=0, patch=0)


class DatasetState(StrEnum):
    """Where a version is in its life."""

    OPEN = "open"  # a draft: files come and go
    FINAL = "final"  # never changes again
    PUBLISHED = "published"


class DatasetVersion(Record):
    """A set of files with parents, a semantic version and tags; immutable once final."""

    id: Id
    project: ProjectPath
    name: Name
    version: Annotated[str, StringConstraints(pattern=_VERSION.pattern)]
    state: DatasetState = DatasetState.OPEN
    numbered: bool = False
    """Whether somebody asked for this very number; else it counts up once more where another version took it first."""
    parents: tuple[Id, ...] = ()
    base: Id | None = None
    """The version of this dataset that the draft was begun from; where another became the newest since, what changed
    between `base` and the draft is applied to that one."""
    storage: Name | None = None
    """Where its new bytes go; None for wherever its project says."""
    manifest: Digest | None = None
    """Of the list of its blocks (`records.manifest`), once final: two versions with the same have the same files."""
    tags: tuple[Tag, ...] = ()
    description: str = ""
    file_count: int = Field(default=0, ge=0)
    size_bytes: int = Field(default=0, ge=0)
    added_count: int = Field(default=0, ge=0)
    """Files that are new against the first parent."""
    modified_count: int = Field(default=0, ge=0)
    removed_count: int = Field(default=0, ge=0)
    task: Id | None = None
    """The task whose run made it."""
    created_at: Moment
    created_by: Id
    changed_at: Moment
    finalized_at: Moment | None = None
    published_at: Moment | None = None
    archived_at: Moment | None = None
    """Since when it is left out of lists; it can be used as before."""
    deleted_at: Moment | None = None
    """Since when its files are gone; what it was and whose parent stays known."""


class ManifestEntry(Record):
    """One file of a version, as the API tells of it; stored as `records.manifest.Entry`."""

    path: str
    """Relative to the version's root, parts joined by `/`; `records.paths.check_path` holds."""
    kind: Literal["file", "external", "directory"] = "file"
    """`external`: a link to bytes that lie elsewhere. `directory`: one with nothing in it."""
    size_bytes: int = Field(default=0, ge=0, lt=1 << 63)
    digest: Digest | None = None
    """Of a file's bytes; None for the other kinds."""
    mode: Literal[0o644, 0o755] = 0o644
    url: str | None = Field(default=None, max_length=4096)
    """Of an external file: `s3://`, `gs://`, `az://` or `https://`, without credentials."""
    etag: str | None = Field(default=None, max_length=1024)
    """What the other side called the external file's state when it was added; checked when it is fetched."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.digest is not None) != (self.kind == "file"):
            raise ValueError("a file has a digest, and nothing else has one")
        if (self.url is not None) != (self.kind == "external") or (self.etag is not None and self.url is None):
            raise ValueError("an external file has a url, and nothing else has one")
        if self.kind == "directory" and self.size_bytes:
            raise ValueError("a directory has no size")
        return self


class EntryChange(Record):
    """How two versions differ at a path: `before` is missing where it was added, `after` where it was removed."""

    path: str
    before: ManifestEntry | None
    after: ManifestEntry | None


class Metadata(Record):
    """A table or any JSON that is kept with a version under a name."""

    version_id: Id
    name: Name
    kind: str
    """How the bytes are to be read, as for artifacts: `json`, `csv`, `parquet` …"""
    filename: str
    digest: Digest
    size_bytes: int = Field(ge=0)
    preview: str = ""
    changed_at: Moment


class Storage(Record):
    """A place for bytes: a directory, or a URL that fsspec knows. Credentials are never part of it."""

    name: Name
    url: str = Field(min_length=1, max_length=2048)
    identity: str
    """What the marker in it says: who sees the same there sees the same place."""
    created_at: Moment
    created_by: Id


class StorageChoice(Record):
    """Which storage the new bytes of a dataset go to, or of a project and all below it."""

    project: ProjectPath
    dataset: str = ""
    """Empty for the whole project."""
    storage: Name


DEFAULT_STORAGE = "default"
"""The server's own: `blobs_url` of its settings."""
