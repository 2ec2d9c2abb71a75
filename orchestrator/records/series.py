"""Scalar series: what a run reports over its steps."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from orchestrator.records.base import Moment, Name, Record

INT64_MAX = 2**63 - 1


class Points(Record):
    """A run of points of one series, as columns of one length. NaN and infinities are values."""

    title: Name
    series: str
    steps: tuple[int, ...] = Field(min_length=1)
    """Iterations, int64, in the order of reporting."""
    times: tuple[float, ...]
    """Wall times, seconds since 1970 UTC."""
    values: tuple[float, ...]

    @model_validator(mode="after")
    def _columns_are_even(self) -> Self:
        if not len(self.steps) == len(self.times) == len(self.values):
            raise ValueError("steps, times and values must be of one length")
        if any(not -INT64_MAX - 1 <= step <= INT64_MAX for step in self.steps):
            raise ValueError("a step must fit in 64 bits")
        return self


class SeriesSummary(Record):
    """What a table shows of a series: kept beside the points, so that it costs nothing to read."""

    title: Name
    series: str
    count: int
    last: float
    last_step: int
    minimum: float | None
    """Over the values that are numbers; None when there is none."""
    maximum: float | None
    changed_at: Moment
