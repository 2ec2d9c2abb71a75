"""RQ's side of a slot: a worker that people see in `rq info`, and the tickets that ring for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rq.exceptions import NoSuchJobError
from rq.serializers import JSONSerializer
from rq.utils import as_text, now
from rq.worker import SimpleWorker
from rq.worker.base import WorkerStatus
from rq.worker_registration import register

from orchestrator.queues import connect
from orchestrator.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import Sequence

_TTL_SECONDS = 25
"""RQ derives from it how long it listens at once (10 s), waits for Redis (20 s) and shows a dead worker (85 s)."""


class Doorbell(SimpleWorker):
    """Registers as a worker and runs tickets in this process; whoever owns it decides when it listens.

    RQ's own loop is not used: it starts a thread for commands, after which nothing may be forked, ends with the first
    error of Redis, and knows nothing of work that arrives without a job.

    Args:
        queues: names, in order of preference.
        name: unique among all workers.
        redis_url: where Redis is.

    Raises:
        redis.RedisError: Redis does not answer.
    """

    job_class = Ticket

    def __init__(self, queues: Sequence[str], *, name: str, redis_url: str) -> None:
        super().__init__(
            list(queues),
            name=name,
            connection=connect(redis_url, endless=False),
            worker_ttl=_TTL_SECONDS,
            serializer=JSONSerializer,
            log_job_description=False,
        )
        self.log.setLevel(logging.WARNING)
        self.log_result_lifespan = False
        self.birth_date = now()
        self.set_state(WorkerStatus.IDLE)

    def announce(self) -> None:
        """Register, or stay registered: Redis may have been emptied since.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        self.last_heartbeat = now()
        with self.connection.pipeline() as pipeline:
            pipeline.hset(self.key, mapping=self.serialize() | {"state": self.get_state()})
            register(self, pipeline)
            pipeline.expire(self.key, self.worker_ttl + 60)
            pipeline.execute()

    def listen(self, seconds: float) -> tuple[str, str] | None:
        """Wait for a ring and return the queue's key and the ticket's id; None when the time is over.

        RQ takes from one queue by way of a second list, so that a job is not lost with its worker, and cannot do so for
        several. Tickets may be lost, so all are taken in the same simple way.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        rung = self.connection.blpop(self.queue_keys(), timeout=min(seconds, self.dequeue_timeout))
        return None if rung is None else (as_text(rung[0]), as_text(rung[1]))

    def run_ticket(self, key: str, ticket_id: str) -> bool:
        """Run a ticket as RQ runs a job; False where nothing but its id is left of it.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        queue = self.queue_class.from_queue_key(
            key, connection=self.connection, job_class=self.job_class, serializer=self.serializer
        )
        try:
            ticket = Ticket.fetch(ticket_id, connection=self.connection, serializer=self.serializer)
        except NoSuchJobError:
            return False
        self.execute_job(ticket, queue)
        return True

    def disconnect(self) -> None:
        """Close the connections of this process; in a forked child, its copies of them."""
        self.connection.connection_pool.disconnect()

    def leave(self) -> None:
        """Be no worker any more.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        self.disconnect()  # a call may have been cut off by a signal
        self.register_death()  # type: ignore[no-untyped-call]  # RQ has types here and there
        self.disconnect()
