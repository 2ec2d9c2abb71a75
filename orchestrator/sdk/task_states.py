"""What scripts ask of a task's state, and what they make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.errors import ServerUnreachable
from orchestrator.sdk.backlog import Message
from orchestrator.sdk.session import session
from orchestrator.sdk.waiting import wait_for_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.sdk.running import Run


class TaskStates:
    """The part of `Task` that is about its status and tags.

    Args:
        record: as the server has it.
        run: what this process does for it; None for a task that is only looked at.
    """

    def __init__(self, record: Mapping[str, Any], *, run: Run | None = None) -> None:
        self._record = dict(record)
        self._run = run

    @property
    def id(self) -> str:
        """The task's id; of a run without a server one that no server knows."""
        return str(self._record["id"])

    @property
    def offline(self) -> bool:
        """Whether this run is not recorded, because no server answered when it began."""
        return self._run is not None and self._run.offline

    @property
    def status(self) -> str:
        """Where it is in its life: created, queued, in_progress, completed, failed, stopped or published."""
        return self.get_status()

    def get_status(self) -> str:
        """Ask the server for the status and return it; during a run without an answer the last that is known."""
        if not self.offline:
            try:
                self._ask()
            except ServerUnreachable:
                if self._run is None:
                    raise
        return str(self._record["status"])

    def get_tags(self) -> list[str]:
        """Return the labels."""
        self.get_status()
        return list(self._record["tags"])

    def wait_for_status(
        self,
        status: Iterable[str] = ("completed", "published"),
        *,
        raise_on_status: Iterable[str] = ("failed", "stopped"),
        timeout: float | None = None,
    ) -> str:
        """Wait until the task has one of these statuses, and return which.

        Args:
            status: what to wait for.
            raise_on_status: what else ends the waiting, unless it is waited for.
            timeout: seconds to wait at most; None for as long as it takes.

        Raises:
            TaskEnded: it has one of `raise_on_status`; the message says why.
            TimeoutError: it has none of them in time.
        """
        return wait_for_status(
            self._ask,
            wanted={status} if isinstance(status, str) else set(status),
            refused=set(raise_on_status),
            timeout_seconds=timeout,
        )

    def add_tags(self, tags: Iterable[str] | str) -> None:
        """Add labels."""
        added = [tags] if isinstance(tags, str) else list(tags)
        if self._run is None:
            self._record = session.client().post(f"/tasks/{self.id}/tags", {"add": added})
        else:
            self._record["tags"] = [*self._record["tags"], *(tag for tag in added if tag not in self._record["tags"])]
            self._run.put(Message(method="POST", path=f"/tasks/{self.id}/tags", body={"add": added}))

    def publish(self) -> None:
        """Mark the task, which has completed, as one that others may rely on; it never changes again.

        Raises:
            IllegalTransition: it has not completed, or is published already.
        """
        self._act("publish")

    def archive(self) -> None:
        """Leave the task out of lists; its id finds it as before.

        Raises:
            Conflict: it is queued or runs.
        """
        self._act("archive")

    def unarchive(self) -> None:
        """Take the task into lists again."""
        self._act("unarchive")

    def reset(self) -> None:
        """Make the task, which has ended, `created` again: to be edited, and run once more.

        What it reported stays readable, and its attempt's number stays used.

        Raises:
            IllegalTransition: it is queued, runs, or is published.
        """
        self._act("reset")

    def _act(self, verb: str) -> None:
        self._record = session.client().post(f"/tasks/{self.id}/{verb}")

    def _ask(self) -> Mapping[str, Any]:
        """Return the record as the server has it now."""
        self._record = session.client().get(f"/tasks/{self.id}")["task"]
        return self._record
