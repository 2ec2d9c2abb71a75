"""The RQ job class that runs one function and refuses every other. Importing it imports RQ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rq.job import Job
from rq.utils import import_attribute

from orchestrator.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Callable


TICKET_FUNCTION = "agent.worker.take"
"""The one function that a ticket may name."""


class Ticket(Job):
    """A ring at a queue: the id of a task and the number of its attempt."""

    def _deserialize_data(self) -> None:
        super()._deserialize_data()  # type: ignore[no-untyped-call]
        self._args = list(check_ticket(self._func_name, self._instance, self._args, self._kwargs))

    @property
    def func(self) -> Callable[..., Any] | None:
        """The one function, imported by its fixed name; the name in Redis is only compared with it."""
        if self.func_name != TICKET_FUNCTION:  # reading it checks the ticket
            return None
        return import_attribute(TICKET_FUNCTION)

    def restore(self, raw_data: Any) -> None:  # noqa: ANN401  a hash of Redis
        """Read the job, but none of the callbacks, webhooks and repetitions that RQ would carry out for it."""
        super().restore(raw_data)
        self._success_callback_name = None
        self._failure_callback_name = None
        self._stopped_callback_name = None
        self.webhooks = []
        self.retries_left = None
        self.repeats_left = None


def check_ticket(function: object, instance: object, arguments: object, keywords: object) -> tuple[str, int]:
    """Return task id and attempt of what stands in Redis as a job.

    Raises:
        Forbidden: it names another function, or other arguments than a ticket has. Whoever can write to Redis can
            start nothing but ours.
    """
    if function != TICKET_FUNCTION or instance is not None or keywords not in ({}, None):
        raise Forbidden(
            "A job in Redis is no ticket of ours and is not run.", hint="See who else writes to this Redis."
        )
    match arguments:
        case [str(task_id), int(attempt)]:
            return task_id, attempt
        case _:
            raise Forbidden("A ticket in Redis has arguments that are none of ours.")
