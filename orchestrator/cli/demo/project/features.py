"""From days of measurements to a table of features. The demo leaves this module untracked: it travels all the same."""

from pathlib import Path

import numpy

COLUMNS = (1, 2, 3, 4, 5)  # temperature, humidity, light, CO2, humidity ratio
LABEL = 6


def read_day(path: Path) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return features of shape (minutes, 6), the last column being the hour, and labels of shape (minutes,)."""
    values = numpy.loadtxt(path, delimiter=",", skiprows=1, usecols=(*COLUMNS, LABEL))
    hours = numpy.loadtxt(path, delimiter=",", skiprows=1, usecols=0, converters=_hour)
    return numpy.column_stack([values[:, :-1], hours]), values[:, -1].astype(int)


def read_days(paths: list[Path]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the rows of several days, one after the other."""
    days = [read_day(path) for path in paths]
    return numpy.concatenate([features for features, _ in days]), numpy.concatenate([labels for _, labels in days])


def _hour(text: str) -> float:
    clock = text.split(" ")[1].split(":")
    return int(clock[0]) + int(clock[1]) / 60
