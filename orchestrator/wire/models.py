"""Model versions and their aliases."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from orchestrator.records.base import Name, ProjectPath, Record, Tag
from orchestrator.records.model import ModelAlias, ModelFile, ModelVersion


class RegisterModel(Record):
    """`POST /models`: the next version of a model; its blobs must be there. By an attempt it is its task's."""

    project: ProjectPath
    name: Name
    framework: str | None = Field(default=None, max_length=128)
    comment: str = ""
    tags: tuple[Tag, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)
    files: tuple[ModelFile, ...] = Field(min_length=1, max_length=10_000)
    folder: bool = False
    """Whether they are a folder's, not one file."""
    aliases: tuple[Tag, ...] = ()
    """Moved to it at once."""


class ListedModel(ModelVersion):
    """`GET /models`: a version with the names of the aliases that it has."""

    aliases: tuple[Tag, ...] = ()


class ModelDetail(Record):
    """`GET /models/{id}`: the version and the aliases that it has."""

    model: ModelVersion
    aliases: tuple[ModelAlias, ...]


class MoveAlias(Record):
    """`POST /models/{id}/promote`: the alias stands for this version from now on."""

    alias: Tag = "production"
    reason: str = Field(default="", max_length=1000)


class RollBack(Record):
    """`POST /models/rollback`: the alias stands for what it stood for before its last move that is in force."""

    project: ProjectPath
    name: Name
    alias: Tag = "production"
    reason: str = Field(default="", max_length=1000)
