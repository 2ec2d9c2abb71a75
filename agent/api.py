"""What an agent and the supervisor of an attempt say to the server."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from orchestrator.errors import DigestMismatch
from orchestrator.records.agent import Agent
from orchestrator.sdk.client import Client
from orchestrator.sdk.typed import post_as, wire_form
from orchestrator.wire import Claim, ClaimTask, FinishTask, Heartbeat, HeartbeatAnswer, RegisterAgent, SetLock

if TYPE_CHECKING:
    from agent.runs import Ending

_ANSWER_SECONDS = 10.0
"""How long the server may take to answer, beyond what it was asked to wait."""


class AgentApi:
    """The routes of an agent.

    Args:
        url: the server's.
        token: the agent's.
    """

    def __init__(self, url: str, token: str) -> None:
        self._client = Client(url, token, timeout_seconds=_ANSWER_SECONDS)

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()

    def register(self, agent: RegisterAgent) -> Agent:
        """Say who is there, with what slots."""
        return post_as(self._client, Agent, "/agents", agent, repeatable=True)

    def seen(self, agent_id: str) -> None:
        """Say that the agent is still there."""
        self._client.post(f"/agents/{agent_id}/heartbeat", repeatable=True)

    def claim(self, agent_id: str, *, slot: str) -> Claim | None:
        """Ask for work for a slot; None where there is none."""
        # No key for repeating it: a claim whose answer was lost is an attempt that expires, and its token is not kept.
        answer = self._client.post(f"/agents/{agent_id}/claim", wire_form(ClaimTask(slot=slot)), repeatable=True)
        return None if answer is None else Claim.from_wire(answer)


class AttemptApi:
    """The routes of one attempt, by its own token.

    Args:
        url: the server's.
        claim: the right to run the attempt.
    """

    def __init__(self, url: str, claim: Claim) -> None:
        self.client = Client(url, claim.token, timeout_seconds=_ANSWER_SECONDS)
        self._task = f"/tasks/{claim.task.id}"

    def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Extend the lease and wait for news as long as the heartbeat says."""
        answer = self.client.post(
            f"{self._task}/heartbeat",
            wire_form(heartbeat),
            repeatable=True,
            timeout_seconds=heartbeat.wait_seconds + _ANSWER_SECONDS,
        )
        return HeartbeatAnswer.from_wire(answer)

    def finish(self, ending: Ending) -> None:
        """Say how the attempt ended."""
        body = FinishTask(reason=ending.reason, exit_code=ending.exit_code, message=ending.message)
        self.client.post(f"{self._task}/finish", wire_form(body), repeatable=True)

    def put_console(self, data: bytes, *, offset: int) -> int:
        """Send what the script printed from this offset on; return how many bytes the server has."""
        return int(self.client.put_bytes(f"{self._task}/console", data, offset=offset)["length"])

    def fetch_blob(self, digest: str, target: Path) -> None:
        """Download a blob.

        Args:
            digest: its name.
            target: file to write; it is there whole and verified, or not at all.

        Raises:
            DigestMismatch: what came is not what the digest names.
        """
        hasher = blake3()
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".blob-", delete=False) as file:
            try:
                self.client.download(f"/blobs/{digest}", file, on_bytes=hasher.update)
                _verify(digest, found=f"blake3:{hasher.hexdigest()}")
                file.close()
                Path(file.name).replace(target)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def set_lock(self, lock: bytes) -> None:
        """Keep the requirements that the environment was built from as the task's; where it has some, they stay."""
        digest = f"blake3:{blake3(lock).hexdigest()}"
        self.client.put_bytes(f"/blobs/{digest}", lock)
        self.client.put(f"{self._task}/lock", wire_form(SetLock(lock=digest)))


def _verify(digest: str, *, found: str) -> None:
    if found != digest:
        raise DigestMismatch(
            f"The blob {digest} came with other bytes than its name says.", hint="Its copy on the server is damaged."
        )
