"""What an agent is told when it starts."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from orchestrator.records.agent import Slot
from orchestrator.records.links import LinkPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SERVICES = "services"
"""Queue and slot of tasks that never end, beside the slot that training waits for."""


def slots_for(queues: Sequence[str], *, gpus: Sequence[str] = ()) -> tuple[Slot, ...]:
    """Return one slot for these queues and, unless they name it already, the lane for services.

    Args:
        queues: names, in order of preference.
        gpus: ids of the GPUs that the slot owns; the lane for services owns none.
    """
    main = Slot(name="main", queues=tuple(queues), gpus=tuple(gpus))
    if SERVICES in queues:
        return (main,)
    return (main, Slot(name=SERVICES, queues=(SERVICES,)))


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """One agent: where it keeps its things, whom it works for, what it may run."""

    home: Path
    """`RETRAIN_HOME`; the agent's own things lie in `agent/` below it."""
    url: str
    token: str = field(repr=False)
    redis_url: str = field(repr=False)
    slots: tuple[Slot, ...]
    name: str = ""
    """The host's name and a digest of the home directory where it is empty."""
    executor: Literal["process", "docker"] = "process"
    image: str | None = None
    """Image of tasks that name none; for the docker executor."""
    claim_poll_seconds: float = 30
    """How often a free slot asks for work that no ticket announced."""
    heartbeat_seconds: float = 15
    """How often the agent says that it is there."""
    stop_grace_seconds: float = 10
    """Between SIGTERM and SIGKILL."""
    orphan_timeout_seconds: float = 24 * 3600
    """How long a run goes on without hearing from the server."""
    monitor_seconds: float = 15
    """How often CPU and memory of a run are sampled."""
    stop_runs: bool = False
    """Whether the agent's end also ends what it runs; else the next agent in this home takes the runs over."""
    kept_runs: int = 20
    """How many ended runs keep their console and states on this node, for whoever looks after a failure."""

    link_prefixes: tuple[str, ...] = ()
    """Beginnings of addresses that are followed for attempts, with this machine's network and credentials, beside
    `https://` on the public internet: buckets, and servers inside. None unless its operator names some."""

    def agent_name(self) -> str:
        """Return the name to register by."""
        if self.name:
            return self.name
        digest = hashlib.blake2b(bytes(self.home.resolve()), digest_size=3).hexdigest()
        return f"{socket.gethostname()}-{digest}"

    @property
    def links(self) -> LinkPolicy:
        """Which links to files elsewhere are followed for attempts."""
        return LinkPolicy(public_only=True, prefixes=self.link_prefixes)

    @property
    def directory(self) -> Path:
        """Where the agent keeps its things."""
        return self.home / "agent"

    @property
    def runs(self) -> Path:
        """Where the run directories lie."""
        return self.directory / "runs"
