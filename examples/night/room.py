"""The model: for each sensor the value in the middle between an empty room and one with people in it."""

import csv
from pathlib import Path
from statistics import mean

SENSORS = ("CO2", "light")


def read(path: Path) -> list[dict[str, float]]:
    """Return the minutes of a table."""
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def fit(minutes: list[dict[str, float]]) -> dict[str, float]:
    """Learn from minutes of which is known whether the room was occupied."""
    known = {state: [minute for minute in minutes if minute["occupied"] == state] for state in (0, 1)}
    return {sensor: mean(mean(each[sensor] for each in known[state]) for state in known) for sensor in SENSORS}


def accuracy(model: dict[str, float], minutes: list[dict[str, float]]) -> float:
    """Return the share of minutes that the model is right about."""
    says = [sum(minute[sensor] / middle for sensor, middle in model.items()) > len(model) for minute in minutes]
    return mean(said == minute["occupied"] for said, minute in zip(says, minutes, strict=True))
