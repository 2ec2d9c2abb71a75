"""Metrics and texts of a run."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from orchestrator.errors import NotFound
from orchestrator.sdk.backlog import Message
from orchestrator.sdk.session import session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.sdk.running import Run

SUMMARY = "Summary"
"""Title under which single values stand."""
_LONGEST_NAME = 255
_INT64_MAX = 2**63 - 1


class Logger:
    """Reports of the run that this process is. A call never waits for the network and never raises because of it.

    `Task.get_logger` makes it.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: set[tuple[str, str]] = set()

    @classmethod
    def current_logger(cls) -> Logger:
        """Return a logger of the current task.

        Raises:
            NotFound: there is none: `Task.init` was not called.
        """
        if session.run is None:
            raise NotFound("There is no current task.", hint="Call Task.init first.")
        return cls(session.run)

    def report_scalar(self, title: str, series: str, value: float, iteration: int) -> None:
        """Report one point of a line in a chart.

        Args:
            title: of the chart.
            series: of the line.
            value: a number, or whatever `float` takes; NaN and infinities are kept.
            iteration: the step, a whole number of at most 64 bits.

        Raises:
            TypeError: value or iteration is no number.
            ValueError: the step has more than 64 bits, or a name is empty, over 255 characters or not printable.
        """
        if (title, series) not in self._known:
            check_name(title, what="title")
            check_name(series or " ", what="series")
            self._known.add((title, series))
        step = int(iteration)
        if not -_INT64_MAX <= step <= _INT64_MAX:
            raise ValueError(f"iteration {step} has more than 64 bits")
        self._run.point(title, series, step=step, value=float(value))

    def report_single_value(self, name: str, value: float) -> None:
        """Report a number that has no steps; reported again, it replaces itself in tables."""
        self.report_scalar(SUMMARY, name, value, iteration=0)

    def report_text(self, msg: str) -> None:
        """Print a line; whatever is printed is in the task's console."""
        sys.stdout.write(f"{msg}\n")

    def report_scatter2d(self, title: str, series: str, scatter: Iterable[Iterable[float]], iteration: int = 0) -> None:
        """Report points of a plane as a plot.

        Args:
            title: of the plot.
            series: what the points are.
            scatter: pairs of x and y, or an array of shape (n, 2); NaN and infinities are kept as gaps.
            iteration: at which step; the newest of a title, series and step stands.

        Raises:
            ValueError: a point is no pair, or a name is not usable.
        """
        body = scatter_report(title, series, scatter, iteration=iteration)
        self._run.put(Message(method="POST", path=f"/tasks/{self._run.task['id']}/reports", body=body))

    def flush(self) -> bool:
        """Wait until everything reported is sent, at most until the server seems gone; return whether it is."""
        return self._run.flush()


def scatter_report(title: str, series: str, scatter: Iterable[Iterable[float]], *, iteration: int) -> dict[str, Any]:
    """Return the body that reports points of a plane; see `Logger.report_scatter2d`."""
    check_name(title, what="title")
    rows = scatter.tolist() if hasattr(scatter, "tolist") else scatter
    points = [[drawn(number) for number in row] for row in rows]
    if any(len(point) != 2 for point in points):  # noqa: PLR2004  x and y
        raise ValueError("a point of report_scatter2d is a pair of numbers")
    return {"title": title, "series": series, "iteration": int(iteration), "kind": "scatter2d", "data": points}


def drawn(value: float) -> float | None:
    """Return a number as a report may hold it: None where it is NaN or infinite, for JSON has no such numbers."""
    number = float(value)
    return number if math.isfinite(number) else None


def check_name(name: str, *, what: str) -> None:
    """Refuse what the server would refuse later, when nobody listens.

    Raises:
        ValueError: the name is empty, over 255 characters or not printable.
    """
    if not 0 < len(name) <= _LONGEST_NAME or any(letter < " " or letter == "\x7f" for letter in name):
        raise ValueError(f"{name!r} cannot be a {what}: give 1 to {_LONGEST_NAME} printable characters")
