"""Rings on a real Redis through RQ."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import redis
from rq import Queue as RqLine
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from orchestrator.api.bell import Bell
from orchestrator.api.testing import running_server
from orchestrator.errors import InvalidRequest
from orchestrator.queues import RqQueue, connect
from orchestrator.records.event import EventType
from orchestrator.store.sql import open_store
from orchestrator.store.testing.records import an_event
from orchestrator.tickets import TICKET_FUNCTION, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASK = "0" * 31 + "1"


@pytest.fixture
def queue(redis_url: str) -> Iterator[RqQueue]:
    with closing(RqQueue(redis_url)) as opened:
        yield opened


def test_a_ring_leaves_one_ticket_that_people_can_recognise(queue: RqQueue, redis_url: str) -> None:
    queue.ring("gpu", [(TASK, 3)])
    assert (queue.waiting("gpu"), queue.waiting("default")) == (1, 0)
    with connect(redis_url) as connection:
        line = RqLine("gpu", connection=connection, serializer=JSONSerializer, job_class=Ticket)
        (job,) = line.jobs
        assert (job.id, job.func_name, job.args) == (f"{TASK}-3", TICKET_FUNCTION, [TASK, 3])
        assert job.description == f"attempt 3 of task {TASK}"
        assert not job.should_retry


def test_ringing_for_the_same_attempt_again_is_harmless(queue: RqQueue) -> None:
    for _ in range(2):
        queue.ring("gpu", [(TASK, 1)])
    assert queue.waiting("gpu") == 2


def test_nothing_of_a_ticket_stays_behind_once_it_was_taken(
    queue: RqQueue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[str, int]] = []
    monkeypatch.setattr("orchestrator.tickets.import_attribute", lambda _: lambda *ticket: taken.append(ticket))
    queue.ring("gpu", [(TASK, 1)])
    with connect(redis_url) as connection:
        line = RqLine("gpu", connection=connection, serializer=JSONSerializer, job_class=Ticket)
        worker = SimpleWorker([line], connection=connection, serializer=JSONSerializer, job_class=Ticket)
        worker.work(burst=True, logging_level="ERROR")
        assert taken == [(TASK, 1)]
        assert list(connection.scan_iter(f"rq:job:{TASK}*")) == []


def test_whoever_writes_to_redis_starts_nothing_but_our_function(redis_url: str, tmp_path: Path) -> None:
    owned = tmp_path / "owned"
    with connect(redis_url) as connection:
        line = RqLine("gpu", connection=connection, serializer=JSONSerializer)
        line.enqueue("os.system", f"touch {owned}")
        ours = RqLine("gpu", connection=connection, serializer=JSONSerializer, job_class=Ticket)
        worker = SimpleWorker([ours], connection=connection, serializer=JSONSerializer, job_class=Ticket)
        worker.work(burst=True, logging_level="CRITICAL")
    assert not owned.exists()
    assert ours.count == 0


def test_a_redis_that_is_not_there_fails_within_seconds() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{bound.getsockname()[1]}/0"
    began = time.monotonic()
    with closing(RqQueue(url)) as queue, pytest.raises(redis.RedisError):
        queue.ring("gpu", [(TASK, 1)])
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("url", ["redis.internal:6379", "http://host", "redis://host:port/0", "", "redis://[::1"])
def test_a_queue_is_not_made_of_a_url_that_is_none(url: str) -> None:
    with pytest.raises(InvalidRequest, match="REDIS_URL"):
        RqQueue(url)


def test_a_server_does_not_start_with_a_redis_url_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="REDIS_URL"), running_server(tmp_path, redis_url="redis.internal:6379"):
        pass


class LateQueue(RqQueue):
    """A doorbell whose first steps fail, as they do where a library is being replaced under a running server."""

    def prepare(self) -> None:
        """Fail."""
        raise ImportError("half a library")


def test_a_bell_that_is_not_ready_rings_all_the_same(
    redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_store(f"sqlite:///{tmp_path}/d.sqlite")) as store, closing(LateQueue(redis_url)) as queue:
        bell = Bell(store, queue=queue)
        bell.start()
        event = an_event(type=EventType.TASK_QUEUED, subject=TASK, data={"queue": "gpu", "attempt": 1})
        store.write(lambda tx: tx.events.append(event))
        bell.close()
        assert queue.waiting("gpu") == 1
    assert "the bell is not ready" in caplog.text


def test_a_url_that_is_none_is_refused_without_showing_its_password() -> None:
    with pytest.raises(InvalidRequest) as refused:
        connect("http://:hush@host")
    assert "REDIS_URL" in str(refused.value)
    assert "hush" not in str(refused.value)
