"""`retrain task metrics`: the last, smallest and largest value of each series, and its course."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import find_task
from orchestrator.cli.output import json_option, print_json
from orchestrator.cli.table import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
COURSE_CELLS = 24
COURSES = 50
"""Series whose course is shown; each costs a request."""


@click.command()
@click.argument("name", metavar="TASK")
@json_option
def metrics(*, name: str, as_json: bool) -> None:
    """Show the scalars that a task reported."""
    with connected() as client:
        task_id = find_task(client, name)["id"]
        summaries = list(client.pages(f"/tasks/{task_id}/series"))
        if as_json:
            print_json(summaries)
            return
        if not summaries:
            click.echo("The task has reported no scalars.")
            return
        courses = [
            client.get(f"/tasks/{task_id}/series/points", title=item["title"], series=item["series"], limit=200)[
                "values"
            ]
            for item in summaries[:COURSES]
        ]
    courses += [[]] * (len(summaries) - len(courses))
    print_table(
        ("TITLE", "SERIES", "LAST", "AT", "MIN", "MAX", "POINTS", "COURSE"),
        rows=[
            (
                item["title"],
                item["series"],
                _number(item["last"]),
                item["last_step"],
                _number(item["minimum"]),
                _number(item["maximum"]),
                item["count"],
                sparkline([float(value) for value in course]),
            )
            for item, course in zip(summaries, courses, strict=True)
        ],
    )


def sparkline(values: Sequence[float], *, cells: int = COURSE_CELLS) -> str:
    """Draw values as bars, the smallest lowest; several values in one cell by their mean, none that is a number a gap.

    Args:
        values: in order; NaN and infinities are passed over.
        cells: most characters to draw.
    """
    cells = min(cells, len(values))
    means = []
    for cell in range(cells):
        part = values[cell * len(values) // cells : (cell + 1) * len(values) // cells]
        numbers = [value for value in part if math.isfinite(value)]
        means.append(sum(numbers) / len(numbers) if numbers else None)
    known = [mean for mean in means if mean is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    top = len(BARS) - 1
    return "".join(" " if mean is None else BARS[round((mean - low) / span * top) if span else 0] for mean in means)


def _number(value: float | str | None) -> str:
    return "" if value is None else f"{float(value):.6g}"
