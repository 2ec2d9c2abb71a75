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

from orchestrator.errors import InvalidRequest
from orchestrator.queues import RqQueue, connect
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
    queue.ring("gpu", task_id=TASK, attempt=3)
    assert (queue.waiting("gpu"), queue.waiting("default")) == (1, 0)
    with connect(redis_url) as connection:
        line = RqLine("gpu", connection=connection, serializer=JSONSerializer, job_class=Ticket)
        (job,) = line.jobs
        assert (job.id, job.func_name, job.args) == (f"{TASK}-3", TICKET_FUNCTION, [TASK, 3])
        assert job.description == f"attempt 3 of task {TASK}"
        assert not job.should_retry


def test_ringing_for_the_same_attempt_again_is_harmless(queue: RqQueue) -> None:
    for _ in range(2):
        queue.ring("gpu", task_id=TASK, attempt=1)
    assert queue.waiting("gpu") == 2


def test_nothing_of_a_ticket_stays_behind_once_it_was_taken(
    queue: RqQueue, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[str, int]] = []
    monkeypatch.setattr("orchestrator.tickets.import_attribute", lambda _: lambda *ticket: taken.append(ticket))
    queue.ring("gpu", task_id=TASK, attempt=1)
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
        queue.ring("gpu", task_id=TASK, attempt=1)
    assert time.monotonic() - began < 4


def test_a_url_that_is_none_is_refused_without_showing_its_password() -> None:
    with pytest.raises(InvalidRequest) as refused:
        connect("http://:hush@host")
    assert "REDIS_URL" in str(refused.value)
    assert "hush" not in str(refused.value)
