"""What a task was made of: its source, its packages, its container."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from orchestrator.records.base import Digest, Name, Record

ObjectId = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
"""The id of a git object."""


class Submodule(Record):
    """A submodule with content of its own; its tree is rebuilt at `path`."""

    path: str
    source: Source


class Source(Record):
    """The exact source tree of a run.

    The tree is rebuilt from `commit` (fetched from `repository`, or out of `bundle`) and `patch`, with attributes,
    filters and end-of-line conversion off, and must have the id `tree` again.

    Without `tree` nothing was captured: somebody asks for a commit of `repository`, or where none is named for what
    `branch` points to when an attempt starts. The attempt records what it got.
    """

    repository: str | None = None
    """URL of the remote, without credentials; None where there is none."""
    branch: str | None = None
    commit: ObjectId | None = None
    """None where the script lies in no repository: then `patch` makes the tree from nothing."""
    tree: ObjectId | None = None
    """None where it was not captured."""
    patch: Digest | None = None
    """Blob of `git diff-tree --binary --full-index` from the commit's tree to `tree`; None where they are equal."""
    bundle: Digest | None = None
    """Blob of a git bundle with the commits that no remote has."""
    submodules: tuple[Submodule, ...] = ()
    left_out: tuple[str, ...] = ()
    """Files that stayed behind because they look like secrets."""

    @model_validator(mode="after")
    def _says_what_to_run(self) -> Self:
        if self.tree is not None:
            return self
        if self.repository is None or (self.commit is None and self.branch is None):
            raise ValueError("without a tree a source names a repository, and a commit or a branch of it")
        if self.patch is not None or self.bundle is not None or self.submodules:
            raise ValueError("patch, bundle and submodules belong to a tree that was captured, and there is none")
        return self


class Script(Record):
    """What is started inside the source tree."""

    entry_point: str
    """Path of the script, relative to the tree's root, or `-m package.module`."""
    working_directory: str = "."
    """Relative to the tree's root."""
    arguments: tuple[str, ...] = ()


class Distribution(Record):
    """One installed distribution."""

    name: str
    version: str
    url: str | None = None
    """Where it came from when it came from no index: a VCS or file URL (`direct_url.json`), without credentials."""
    editable: bool = False


class Packages(Record):
    """What was installed in the interpreter that ran."""

    python: str
    """Full version of the interpreter: `3.11.7`."""
    implementation: str = "cpython"
    platform: str = ""
    """As `sysconfig.get_platform` names it: `linux-x86_64`."""
    distributions: tuple[Distribution, ...] = ()
    imported: tuple[str, ...] = ()
    """Names of those that the script had imported: a hint, not the truth."""
    index_urls: tuple[str, ...] = ()
    """Package indexes that were configured, in order of preference, without credentials."""
    default_index: bool = True
    """Whether the installer's own default index is asked after them."""
    lock: Digest | None = None
    """Blob of the requirements that the first run resolved, with hashes; clones inherit it."""


class Container(Record):
    """The image that a task asks for; an agent's own where there is none."""

    image: Name
    memory_bytes: int | None = Field(default=None, gt=0)
    """Limit of the container; None for no limit."""
