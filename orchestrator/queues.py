"""The doorbell: RQ jobs on Redis that tell agents to ask for work. The database stays the truth; see design section 5.

RQ and redis-py are imported when first used: together they cost 400 ms, and a server is up before it first rings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

_RING_SECONDS = 1.0
_SCHEMES = frozenset({"redis", "rediss", "unix"})
_EXAMPLES = "Such as redis://host:6379/0 or unix:///path."


class Queue(Protocol):
    """A doorbell for each queue of tasks."""

    def ring(self, queue: str, tickets: Sequence[tuple[str, int]]) -> None:
        """Tell the agents that listen to this queue which attempts wait; fail soon when that cannot be done.

        Args:
            queue: of tasks.
            tickets: id of a task and number of its attempt, each.
        """

    def waiting(self, queue: str) -> int:
        """Return how many tickets stand in a queue."""

    def prepare(self) -> None:
        """Do what takes long the first time."""

    def close(self) -> None:
        """Release the connections."""


class RqQueue:
    """Rings through RQ.

    Args:
        redis_url: `redis://`, `rediss://` or `unix://`.

    Raises:
        InvalidRequest: the URL is none. Whether a Redis is there is found out when it first rings.
    """

    def __init__(self, redis_url: str) -> None:
        check_url(redis_url)
        self._redis_url = redis_url
        self._connection: Redis | None = None

    def ring(self, queue: str, tickets: Sequence[tuple[str, int]]) -> None:
        """Put tickets into RQ's queue of that name, without retry and without a result that would stay behind.

        Raises:
            redis.RedisError: Redis does not answer within a second.
        """
        from orchestrator.tickets import TICKET_FUNCTION  # noqa: PLC0415  see the module's docstring

        line = self._queue(queue)
        line.enqueue_many(
            [
                line.prepare_data(
                    TICKET_FUNCTION,
                    args=(task_id, attempt),
                    job_id=f"{task_id}-{attempt}",
                    timeout=-1,
                    result_ttl=0,
                    failure_ttl=0,
                    description=f"attempt {attempt} of task {task_id}",
                )
                for task_id, attempt in dict.fromkeys(tickets)
            ]
        )

    def waiting(self, queue: str) -> int:
        """Return how many tickets stand in RQ's queue.

        Raises:
            redis.RedisError: Redis does not answer within a second.
        """
        return int(self._queue(queue).count)

    def prepare(self) -> None:
        """Import RQ and redis-py."""
        self._queue("default")

    def close(self) -> None:
        """Close the connections to Redis."""
        if self._connection is not None:
            self._connection.close()

    def _queue(self, name: str) -> Any:  # noqa: ANN401  RQ has no types that mypy could follow
        from rq.queue import Queue as RqLine  # noqa: PLC0415  see the module's docstring
        from rq.serializers import JSONSerializer  # noqa: PLC0415

        from orchestrator.tickets import Ticket  # noqa: PLC0415

        if self._connection is None:
            self._connection = connect(self._redis_url, endless=False)
        return RqLine(name, connection=self._connection, serializer=JSONSerializer, job_class=Ticket)


def check_url(url: str) -> None:
    """Check a URL as far as can be without redis-py, which takes long to import.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        usable = False
    if not usable:
        raise InvalidRequest("REDIS_URL is no Redis URL.", hint=_EXAMPLES)


def connect(url: str, *, endless: bool = True) -> Redis:
    """Return a connection pool to Redis.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        endless: whether to retry without end, as a worker must to outlive an outage; else errors come within a second.

    Raises:
        InvalidRequest: the URL is none.
    """
    import redis  # noqa: PLC0415  see the module's docstring
    from redis.backoff import ExponentialBackoff, NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    options: dict[str, Any] = {"health_check_interval": 10}
    if not url.startswith("unix:"):
        options["socket_keepalive"] = True
    if endless:
        options["retry"] = Retry(ExponentialBackoff(cap=5, base=0.2), -1)
        options["retry_on_error"] = [redis.ConnectionError, redis.TimeoutError]
    else:
        options["retry"] = Retry(NoBackoff(), 1)  # one more try: the connection of the last call may be stale
        options["socket_timeout"] = _RING_SECONDS
        options["socket_connect_timeout"] = _RING_SECONDS
    try:
        return redis.Redis.from_url(url, **options)
    except ValueError as error:
        raise InvalidRequest("REDIS_URL is no Redis URL.", hint=_EXAMPLES) from error
