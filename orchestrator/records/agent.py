"""Agents and their slots."""

from __future__ import annotations

from pydantic import Field

from orchestrator.records.base import Id, Moment, Name, Record


class Slot(Record):
    """A place for one attempt: the queues that it serves, in that order of preference, and the GPUs that it owns."""

    name: Name
    queues: tuple[Name, ...] = Field(min_length=1)
    gpus: tuple[str, ...] = ()


class Agent(Record):
    """The daemon on a node."""

    id: Id
    name: Name
    """Unique; the host's name and the home directory's digest where nobody names it."""
    hostname: str
    version: str
    executor: str
    slots: tuple[Slot, ...]
    token_id: Id
    """The principal that registered it; no other may claim for it."""
    created_at: Moment
    seen_at: Moment
