"""Scalars on their way: collected as columns, handed on in batches."""

from __future__ import annotations

import math
import time
from typing import Any

_Columns = tuple[list[int], list[float], list[float]]


class SeriesBuffer:
    """Collects points by series until someone takes them away. Not safe between threads: its owner has a lock."""

    def __init__(self) -> None:
        self.count = 0
        self._columns: dict[tuple[str, str], _Columns] = {}

    def add(self, title: str, series: str, *, step: int, value: float) -> None:
        """Add one point, with the present as its wall time."""
        columns = self._columns.get((title, series))
        if columns is None:
            columns = self._columns[title, series] = ([], [], [])
        columns[0].append(step)
        columns[1].append(time.time())
        columns[2].append(value)
        self.count += 1

    def take(self) -> list[dict[str, Any]]:
        """Return what was collected as bodies of `orchestrator.records.series.Points`, and begin anew."""
        taken, self._columns, self.count = self._columns, {}, 0
        return [
            {
                "title": title,
                "series": series,
                "steps": steps,
                "times": times,
                "values": [value if math.isfinite(value) else _WORDS[str(value)] for value in values],
            }
            for (title, series), (steps, times, values) in taken.items()
        ]


_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""How values that JSON has no number for are written."""
