"""Who works here, and what the system keeps for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.records.agent import Agent
    from orchestrator.records.principal import Principal
    from orchestrator.records.queue import Queue


class Queues(Protocol):
    """Queues by name."""

    def add(self, queue: Queue) -> None:
        """Store a queue; `AlreadyExists` when the name is taken."""

    def get(self, name: str) -> Queue:
        """Return the queue."""

    def all(self) -> list[Queue]:
        """Return every queue, sorted by name."""


class Agents(Protocol):
    """Agents by id and name."""

    def put(self, agent: Agent) -> None:
        """Insert an agent, or overwrite the one of the same id."""

    def get(self, agent_id: str) -> Agent:
        """Return the agent."""

    def by_name(self, name: str) -> Agent | None:
        """Return the agent of that name, or None."""

    def all(self) -> list[Agent]:
        """Return every agent, sorted by name."""


class Principals(Protocol):
    """Tokens and their bearers. Only the SHA-256 of a token is stored."""

    def add(self, principal: Principal, *, token_sha256: str) -> None:
        """Store a principal."""

    def get(self, principal_id: str) -> Principal:
        """Return the principal."""

    def by_token(self, token_sha256: str) -> Principal | None:
        """Return the token's bearer, or None; also when it is revoked or expired."""

    def replace(self, principal: Principal) -> None:
        """Write the principal."""

    def find(self, *, after: str | None = None, limit: int = 100) -> list[Principal]:
        """Return those that are not attempts, oldest first."""

    def forget_attempts(self, *, ended_before: datetime) -> int:
        """Remove those of attempts that ended before a moment; return how many there were."""


class Answers(Protocol):
    """What POST requests with an `Idempotency-Key` were answered."""

    def get(self, principal_id: str, key: str) -> tuple[str, int, bytes] | None:
        """Return the request's fingerprint, the HTTP status and the body, or None."""

    def put(self, principal_id: str, key: str, *, fingerprint: str, status: int, body: bytes) -> None:
        """Keep an answer; `Conflict` when there is one."""

    def forget(self, *, before: datetime) -> int:
        """Remove the answers that were kept before a moment; return how many there were."""
