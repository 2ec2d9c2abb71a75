"""No sequence of moves leaves the table, and attempts never go back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import IllegalTransition
from orchestrator.records.lifecycle import ENDED, MOVES, NEW_ATTEMPT, Move, Status, target, transition
from orchestrator.records.task import Task

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def new_task() -> Task:
    return Task(id="0" * 32, project="p", name="n", created_at=BEGAN, created_by="1" * 32, changed_at=BEGAN)


@given(st.lists(st.sampled_from(list(Move)), max_size=60))
def test_no_sequence_of_moves_leaves_the_table(moves: list[Move]) -> None:
    task, now = new_task(), BEGAN
    for move in moves:
        now += timedelta(seconds=1)
        before = task
        if move in MOVES[before.status]:
            task = transition(before, move, now=now)
            assert task.status is MOVES[before.status][move]
            assert task.changed_at == now
        else:
            with pytest.raises(IllegalTransition):
                transition(before, move, now=now)
        assert task.attempt - before.attempt == (task is not before and move in NEW_ATTEMPT)


@given(st.lists(st.sampled_from(list(Move)), max_size=60))
def test_times_tell_the_story_of_the_newest_attempt(moves: list[Move]) -> None:
    task, now = new_task(), BEGAN
    for move in moves:
        if move not in MOVES[task.status]:
            continue
        now += timedelta(seconds=1)
        task = transition(task, move, now=now)
        if task.status is Status.QUEUED:
            assert task.queued_at == now
            assert task.started_at is None
            assert task.ended_at is None
        if task.status is Status.IN_PROGRESS:
            assert task.started_at == now
            assert task.ended_at is None
        if task.status in ENDED:
            assert task.ended_at is not None


def test_a_refusal_names_what_the_task_can_do() -> None:
    with pytest.raises(IllegalTransition, match=r"completed cannot enqueue.*publish"):
        target(Status.COMPLETED, Move.ENQUEUE)


def test_a_new_attempt_forgets_that_the_last_one_was_asked_to_stop() -> None:
    running = transition(transition(new_task(), Move.ENQUEUE, now=BEGAN), Move.CLAIM, now=BEGAN)
    asked = running.changed(stop_requested_at=BEGAN)
    assert transition(asked, Move.REQUEUE, now=BEGAN).stop_requested_at is None


@pytest.mark.parametrize("end", [Move.COMPLETE, Move.FAIL, Move.STOP])
def test_a_reset_task_begins_again_with_its_next_number(end: Move) -> None:
    task = new_task().changed(stop_requested_at=BEGAN)
    for move in (Move.ENQUEUE, Move.CLAIM, end):
        task = transition(task, move, now=BEGAN, reason="why", message="in words")
    reset = transition(task, Move.RESET, now=BEGAN)
    assert (reset.status, reset.attempt) == (Status.CREATED, 1)
    assert (reset.status_reason, reset.status_message, reset.stop_requested_at) == (None, None, None)
    assert (reset.started_at, reset.ended_at) == (None, None)
    assert transition(reset, Move.ENQUEUE, now=BEGAN).attempt == 2


@pytest.mark.parametrize("status", [Status.CREATED, Status.QUEUED, Status.IN_PROGRESS, Status.PUBLISHED])
def test_what_waits_runs_or_is_published_is_not_reset(status: Status) -> None:
    with pytest.raises(IllegalTransition, match=f"{status} cannot reset"):
        target(status, Move.RESET)
