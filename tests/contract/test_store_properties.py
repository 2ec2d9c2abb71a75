"""Whatever happens in whatever order: against models that are too simple to be wrong."""

from __future__ import annotations

import math
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import StaleTask
from orchestrator.records.lifecycle import Status
from orchestrator.store.sql import open_store, series_chunks
from orchestrator.store.testing.records import a_task, some_points

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.records.series import Points
    from orchestrator.records.task import Task
    from orchestrator.store.protocol import Store

# A store is opened once and every example has a task of its own.
_quickly = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def sqlite(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that merges chunks of a series all the time."""
    monkeypatch.setattr(series_chunks, "_FAN", 2)
    monkeypatch.setattr(series_chunks, "_LARGEST", 8)
    with closing(open_store(sqlite_url)) as store:
        yield store


@_quickly
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([None, *Status]), st.booleans()), min_size=1, max_size=30
    ),
)
def test_a_stale_writer_never_wins(sqlite: Store, steps: list[tuple[int, Status | None, bool]]) -> None:
    task = a_task()
    sqlite.write(lambda tx: tx.tasks.add(task))
    current = task
    held: dict[int, Task] = dict.fromkeys(range(4), task)
    for worker, status, new_attempt in steps:
        read = held[worker]
        if status is None:
            held[worker] = sqlite.read(lambda tx: tx.tasks.get(task.id))
            assert held[worker] == current
            continue
        wanted = read.changed(status=status, attempt=read.attempt + new_attempt)
        may = (read.status, read.attempt) == (current.status, current.attempt)
        try:
            sqlite.write(lambda tx, wanted=wanted, read=read: tx.tasks.replace(wanted, expected=read))
        except StaleTask:
            assert not may
        else:
            assert may
            current = held[worker] = wanted
    assert sqlite.read(lambda tx: tx.tasks.get(task.id)) == current


_VALUES = st.floats(-9, 9) | st.sampled_from([math.nan, math.inf, -math.inf])
_BATCHES = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(0, 12),
        st.lists(st.tuples(st.integers(0, 12), _VALUES), min_size=1, max_size=12),
    ),
    min_size=1,
    max_size=25,
)


@_quickly
@given(batches=_BATCHES)
def test_series_are_what_was_reported(sqlite: Store, batches: list[tuple[int, int, list[tuple[int, float]]]]) -> None:
    task = a_task()
    sqlite.write(lambda tx: tx.tasks.add(task))
    clock = count()
    seen: set[tuple[int, int]] = set()
    reported: list[tuple[int, int, float, float]] = []
    starts: dict[int, int] = {}
    for attempt, sequence, batch in batches:
        times = [float(next(clock)) for _ in batch]
        points: Points = some_points([step for step, _ in batch], [value for _, value in batch], times=times)
        stored = sqlite.write(lambda tx, a=attempt, s=sequence, p=points: tx.series.append(task.id, a, "w", s, [p]))
        assert stored == ((attempt, sequence) not in seen)
        if stored:
            seen.add((attempt, sequence))
            starts.setdefault(attempt, min(points.steps))
            reported += zip([attempt] * len(batch), points.steps, points.times, points.values, strict=True)
    visible = sorted(
        (step, time, value)
        for attempt, step, time, value in reported
        if all(step < start for other, start in starts.items() if other > attempt)
    )
    found = sqlite.read(lambda tx: tx.series.points(task.id, title="loss", series="validation"))
    assert found is not None
    assert repr(list(zip(found.steps, found.times, found.values, strict=True))) == repr(visible)
    (summary,) = sqlite.read(lambda tx: tx.series.summaries(task.id))
    numbers = [value for _, _, value in visible if not math.isnan(value)]
    assert repr((summary.count, summary.last_step, summary.last)) == repr(
        (len(visible), visible[-1][0], visible[-1][2])
    )
    assert (summary.minimum, summary.maximum) == (min(numbers, default=None), max(numbers, default=None))
