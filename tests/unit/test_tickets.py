"""What stands in Redis is never code."""

from __future__ import annotations

import json

import pytest
from rq.exceptions import DeserializationError
from rq.job import UNEVALUATED
from rq.serializers import JSONSerializer

from orchestrator.errors import Forbidden
from orchestrator.tickets import TICKET_FUNCTION, Ticket, check_ticket


def ticket(data: bytes, **extra: bytes) -> Ticket:
    job = Ticket(id="x", connection=object(), serializer=JSONSerializer)
    job.restore({b"data": data, b"created_at": b"2026-01-01T00:00:00Z"} | {k.encode(): v for k, v in extra.items()})
    return job


def test_a_ticket_of_ours_is_read() -> None:
    job = ticket(json.dumps([TICKET_FUNCTION, None, ["a" * 32, 3], {}]).encode())
    assert job.func_name == TICKET_FUNCTION
    assert job.args == ["a" * 32, 3]


@pytest.mark.parametrize(
    "call",
    [
        ["os.system", None, ["touch /tmp/owned"], {}],
        ["agent.worker.take.__globals__", None, ["a", 1], {}],
        [TICKET_FUNCTION, "instance", ["a", 1], {}],
        [TICKET_FUNCTION, None, ["a", 1], {"shell": True}],
        [TICKET_FUNCTION, None, ["a"], {}],
        [TICKET_FUNCTION, None, [1, "a"], {}],
        [TICKET_FUNCTION, None, "ab", {}],
        [None, None, [], {}],
    ],
)
def test_any_other_job_is_refused(call: list[object]) -> None:
    job = ticket(json.dumps(call).encode())
    with pytest.raises(Forbidden):
        _ = job.func


def test_pickles_are_not_loaded() -> None:
    with pytest.raises(DeserializationError):
        _ = ticket(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.").func


def test_callbacks_webhooks_and_repetitions_are_passed_over() -> None:
    job = ticket(
        json.dumps([TICKET_FUNCTION, None, ["a" * 32, 3], {}]).encode(),
        success_callback_name=b"os.system",
        failure_callback_name=b"os.system",
        stopped_callback_name=b"os.system",
        webhooks=b'[{"url": "http://169.254.169.254/"}]',
        retries_left=b"9",
        repeats_left=b"9",
    )
    assert job.success_callback is None
    assert job.failure_callback is None
    assert job.stopped_callback is None
    assert not job.webhooks
    assert not job.retries_left
    assert not job.repeats_left
    assert job._success_callback in (None, UNEVALUATED)


def test_the_check_returns_task_and_attempt() -> None:
    assert check_ticket(TICKET_FUNCTION, None, ["t", 1], {}) == ("t", 1)
