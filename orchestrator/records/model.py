"""Model versions: what a task made, under a name, and the aliases by which it is found."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from orchestrator.records.base import Digest, Id, Moment, Name, ProjectPath, Record, Tag


class ModelState(StrEnum):
    """Where a version is in its life; archived stands beside it."""

    REGISTERED = "registered"
    PUBLISHED = "published"


class ModelFile(Record):
    """One file of a model."""

    path: str = Field(min_length=1, max_length=4096)
    """Relative, with `/`; checked by `records.paths`."""
    size_bytes: int = Field(ge=0)
    digest: Digest


class ModelVersion(Record):
    """The files of a model, immutable, with a number that counts up by project and name."""

    id: Id
    project: ProjectPath
    name: Name
    version: int = Field(ge=1)
    state: ModelState = ModelState.REGISTERED
    framework: str | None = Field(default=None, max_length=128)
    comment: str = ""
    tags: tuple[Tag, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)
    files: tuple[ModelFile, ...] = Field(min_length=1, max_length=10_000)
    folder: bool = False
    """Whether a folder was registered, not one file."""
    size_bytes: int = Field(ge=0)
    task_id: Id | None = None
    """The task whose attempt made it."""
    attempt: int | None = None
    datasets: tuple[Id, ...] = ()
    """The dataset versions that the task was given: those that its parameters name."""
    created_at: Moment
    created_by: Id
    changed_at: Moment
    published_at: Moment | None = None
    archived_at: Moment | None = None


class ModelAlias(Record):
    """A name that stands for one version of a model at a time, such as `production`."""

    project: ProjectPath
    name: Name
    alias: Tag
    model_id: Id
    version: int
    changed_at: Moment


class AliasMove(Record):
    """One row of the history of an alias; it is never changed."""

    id: Id
    project: ProjectPath
    name: Name
    alias: Tag
    from_version: int | None = None
    to_version: int | None = None
    """None where the alias was taken away."""
    model_id: Id | None = None
    """The version that has it now."""
    actor: Id
    actor_name: str = ""
    """What it was called then: principals of attempts are forgotten."""
    firing: Id | None = None
    undoes: Id | None = None
    """The move that this one takes back."""
    reason: str = ""
    numbers: dict[str, Any] | None = None
    """What a comparison found: `challenger`, `champion`, `margin`, `evaluation`."""
    at: Moment
