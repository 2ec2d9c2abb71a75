"""What every noun's requests share, the log's readers and tokens."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from pydantic import Field

from orchestrator.records.base import Id, Moment, Name, Record, Tag
from orchestrator.records.principal import Role

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


class EditTags(Record):
    """`POST /datasets/{id}/tags` and `POST /tasks/{id}/tags`: one call is one event."""

    add: tuple[Tag, ...] = ()
    remove: tuple[Tag, ...] = ()


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
