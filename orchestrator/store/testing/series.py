"""Scalar series."""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from orchestrator.store.testing.records import a_task, some_points

if TYPE_CHECKING:
    from orchestrator.records.series import Points, SeriesSummary
    from orchestrator.store.protocol import Store


class _Run:
    """A task that reports."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.task = a_task()
        store.write(lambda tx: tx.tasks.add(self.task))

    def report(self, attempt: int, sequence: int, *points: Points, writer: str = "rank-0") -> bool:
        return self._store.write(lambda tx: tx.series.append(self.task.id, attempt, writer, sequence, points))

    def curve(self, series: str = "validation", *, limit: int | None = None) -> list[tuple[int, float]]:
        task_id = self.task.id
        points = self._store.read(
            lambda tx: tx.series.points(task_id, title="loss", series=series, limit=limit),
        )
        return [] if points is None else list(zip(points.steps, points.values, strict=True))

    def summary(self) -> SeriesSummary:
        (summary,) = self._store.read(lambda tx: tx.series.summaries(self.task.id))
        return summary


class SeriesContract:
    """Points as they were reported, each once; summaries that are exact."""

    def test_points_come_back_in_order_of_step(self, store: Store) -> None:
        run = _Run(store)
        assert run.report(1, 0, some_points([5, 6], [0.5, 0.6]), some_points([1], [0.1]))
        assert run.report(1, 1, some_points([3, 3], [0.3, 0.31], times=[9.0, 8.0]))
        assert run.curve() == [(1, 0.1), (3, 0.31), (3, 0.3), (5, 0.5), (6, 0.6)]
        assert run.curve("training") == []

    def test_a_batch_sent_twice_counts_once(self, store: Store) -> None:
        run = _Run(store)
        assert run.report(1, 7, some_points([1], [1.0]))
        assert not run.report(1, 7, some_points([1], [1.0]))
        assert run.report(1, 7, some_points([1], [2.0]), writer="rank-1")
        assert run.report(1, 8, some_points([2], [3.0]))
        assert run.curve() == [(1, 1.0), (1, 2.0), (2, 3.0)]
        assert run.summary().count == 3

    def test_what_is_no_number_is_kept_and_does_not_spoil_the_extremes(self, store: Store) -> None:
        run = _Run(store)
        run.report(1, 0, some_points([1, 2], [math.nan, math.nan]))
        nothing = run.summary()
        assert (nothing.count, nothing.minimum, nothing.maximum) == (2, None, None)
        assert math.isnan(nothing.last)
        run.report(1, 1, some_points([3, 4, 5], [2.0, math.inf, math.nan]))
        assert [str(value) for _, value in run.curve()] == ["nan", "nan", "2.0", "inf", "nan"]
        summary = run.summary()
        assert (summary.count, summary.minimum, summary.maximum, summary.last_step) == (5, 2.0, math.inf, 5)
        assert math.isnan(summary.last)

    def test_steps_and_values_of_any_size_are_kept_exactly(self, store: Store) -> None:
        run = _Run(store)
        steps = [-(2**63), -1, 0, 2**63 - 1]
        values = [5e-324, 0.1 + 0.2, -0.0, 1.7976931348623157e308]
        run.report(1, 0, some_points(steps, values))
        assert run.curve() == list(zip(steps, values, strict=True))
        assert math.copysign(1, dict(run.curve())[0]) == -1

    def test_a_resumed_attempt_replaces_the_curve_from_its_first_step_on(self, store: Store) -> None:
        run = _Run(store)
        run.report(1, 0, some_points([0, 1, 2], [9.0, 1.0, 2.0]))
        run.report(1, 1, some_points([3, 4], [-5.0, 4.0]))
        run.report(2, 0, some_points([2, 3], [20.0, 30.0]))
        assert run.curve() == [(0, 9.0), (1, 1.0), (2, 20.0), (3, 30.0)]
        summary = run.summary()
        assert (summary.count, summary.last, summary.last_step) == (4, 30.0, 3)
        assert (summary.minimum, summary.maximum) == (1.0, 30.0)

    def test_what_an_older_attempt_still_sends_stays_behind_the_newer(self, store: Store) -> None:
        run = _Run(store)
        run.report(1, 0, some_points([0, 1], [0.0, 1.0]))
        run.report(3, 0, some_points([5], [50.0]))
        run.report(1, 1, some_points([2, 6], [2.0, 6.0]))
        run.report(2, 0, some_points([1, 7], [10.0, 70.0]))
        assert run.curve() == [(0, 0.0), (1, 10.0), (5, 50.0)]
        summary = run.summary()
        assert (summary.count, summary.last, summary.minimum, summary.maximum) == (3, 50.0, 0.0, 50.0)

    def test_the_extremes_of_an_attempt_take_in_what_another_hides(self, store: Store) -> None:
        run = _Run(store)
        run.report(1, 0, some_points([0, 1, 2], [9.0, math.nan, -2.0]), some_points([0], [math.nan], series="nothing"))
        run.report(1, 1, some_points([3], [math.inf]), some_points([3], [1.0], series="other"))
        run.report(2, 0, some_points([0], [5.0]))

        def extremes(attempt: int, *series: str) -> dict[tuple[str, str], tuple[float, float]]:
            names = [("loss", each) for each in series]
            return store.read(lambda tx: tx.series.extremes(run.task.id, attempt, names))

        assert extremes(1, "validation", "nothing", "missing") == {("loss", "validation"): (-2.0, math.inf)}
        assert extremes(2, "validation", "other") == {("loss", "validation"): (5.0, 5.0)}
        assert extremes(3, "validation") == extremes(1) == {}

    def test_many_small_batches_lose_nothing(self, store: Store) -> None:
        run = _Run(store)
        expected: dict[str, list[tuple[int, float]]] = {"a": [], "b": []}
        chance = random.Random(4)  # noqa: S311  a seeded sequence
        step = 0
        for sequence in range(300):
            points = []
            for series, curve in expected.items():
                steps = list(range(step, step + chance.choice((1, 1, 2, 40))))
                step += len(steps)
                values = [chance.gauss() for _ in steps]
                curve.extend(zip(steps, values, strict=True))
                points.append(some_points(steps, values, series=series))
            assert run.report(1, sequence, *points)
        for series, curve in expected.items():
            assert run.curve(series) == curve
        summaries = store.read(lambda tx: tx.series.summaries(run.task.id))
        for summary in summaries:
            values = [value for _, value in expected[summary.series]]
            found = (summary.count, summary.last, summary.minimum, summary.maximum)
            assert found == (len(values), values[-1], min(values), max(values))

    def test_ranks_of_one_run_report_at_once_without_loss(self, store: Store) -> None:
        run = _Run(store)
        batches = 40

        def rank(number: int) -> None:
            for sequence in range(batches):
                step = sequence * 4 + number
                points = [some_points([step], [float(step)], series=series) for series in ("a", "b")]
                run.report(1, sequence, *points[:: 1 if number % 2 else -1], writer=f"rank-{number}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(rank, range(4)))
        expected = [(step, float(step)) for step in range(4 * batches)]
        assert run.curve("a") == run.curve("b") == expected
        for summary in store.read(lambda tx: tx.series.summaries(run.task.id)):
            found = (summary.count, summary.last, summary.minimum, summary.maximum)
            assert found == (4 * batches, expected[-1][1], 0.0, expected[-1][1])

    def test_a_chart_gets_few_points_with_every_extreme(self, store: Store) -> None:
        run = _Run(store)
        values = [math.sin(step / 50) for step in range(5000)]
        values[1234], values[3333], values[4000] = 100.0, -100.0, math.nan
        run.report(1, 0, some_points(list(range(5000)), values))
        thin = run.curve(limit=200)
        assert 100 <= len(thin) <= 200
        assert thin[0] == (0, 0.0)
        assert thin[-1] == (4999, values[-1])
        assert {(1234, 100.0), (3333, -100.0)} <= set(thin)
        assert thin == sorted(thin)
        assert len(run.curve(limit=5000)) == 5000

    def test_series_are_sorted_by_title_and_name(self, store: Store) -> None:
        run = _Run(store)
        names = [("b", "x"), ("a", "y"), ("a", ""), ("B", "z")]
        run.report(1, 0, *(some_points([1], [1.0], title=title, series=series) for title, series in names))
        summaries = store.read(lambda tx: tx.series.summaries(run.task.id))
        assert [(summary.title, summary.series) for summary in summaries] == sorted(names)
