"""Dataset versions, their semantic versions and their manifests."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints

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
    parents: tuple[Id, ...] = ()
    base: Id | None = None
    """The newest final version of this dataset when the draft was begun; finalizing wants it to be the newest still."""
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


class ManifestEntry(Record):
    """One file of a version."""

    path: str
    """Relative to the version's root, parts joined by `/`; `records.paths.check_path` holds."""
    size_bytes: int = Field(ge=0)
    digest: Digest
    mode: int = Field(default=0o644, ge=0, le=0o777)
