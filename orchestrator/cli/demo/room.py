"""A simulated office room: five sensors and a label a minute, in the columns of the real data set.

The shape follows L. M. Candanedo and V. Feldheim, Energy and Buildings 112 (2016) 28-39: light and CO2 tell most of
whether somebody is there. The same seed gives the same bytes.
"""

from __future__ import annotations

import csv
import io
import math
import random
from datetime import date, datetime, time, timedelta

HEADER = ("date", "Temperature", "Humidity", "Light", "CO2", "HumidityRatio", "Occupancy")
FIRST_DAY = date(2015, 2, 2)
MINUTES = 24 * 60

_OUTDOOR_CO2 = 430.0  # ppm
_VENTILATION = 0.012  # share of the room's air that is exchanged in a minute
_BREATH = 9.0  # ppm that one person adds in a minute
_PRESSURE = 101_325.0  # Pa


def humidity_ratio(temperature: float, humidity: float) -> float:
    """Return kg of water in a kg of dry air.

    Args:
        temperature: °C.
        humidity: relative, in percent.

    The saturation pressure is Magnus' formula with the coefficients of Alduchov and Eskridge (1996); the ratio is
    that of ideal gases, 0.622 p / (P - p).
    """
    saturation = 610.94 * math.exp(17.625 * temperature / (temperature + 243.04))
    vapour = humidity / 100 * saturation
    return 0.622 * vapour / (_PRESSURE - vapour)


def simulate_day(day: date, *, seed: int = 0) -> bytes:
    """Return one day as CSV: a header and 1440 rows, sorted by time."""
    draw = random.Random(f"{seed} {day.isoformat()}")  # noqa: S311  a simulation, no secret
    weekend = day.weekday() >= 5  # noqa: PLR2004  Saturday is 5
    arrives, leaves = draw.gauss(8.3, 0.4) * 60, draw.gauss(17.6, 0.5) * 60
    lunch = draw.gauss(12.2, 0.2) * 60
    clouds, forgotten_lamp = draw.uniform(0.3, 1.0), draw.random() < 0.2  # noqa: PLR2004  one evening in five
    temperature, co2 = draw.gauss(20.6, 0.3), _OUTDOOR_CO2 + draw.uniform(0, 20)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(HEADER)
    people = 0
    for minute in range(MINUTES):
        working = not weekend and arrives <= minute < leaves and not lunch <= minute < lunch + 45
        if not working:
            people = 0
        elif people == 0 or draw.random() < 0.01:  # noqa: PLR2004  somebody comes or goes
            people = draw.choice((1, 1, 2, 3))
        lamp = people > 0 or (forgotten_lamp and leaves <= minute < leaves + 90)
        sun = max(0.0, math.sin((minute - 450) / 600 * math.pi)) if 450 <= minute <= 1050 else 0.0  # noqa: PLR2004
        light = max(0.0, 420.0 * lamp + 140.0 * clouds * sun + draw.gauss(0, 12) * (lamp or sun > 0))
        co2 += people * _BREATH - _VENTILATION * (co2 - _OUTDOOR_CO2) + draw.gauss(0, 2)
        temperature += 0.004 * (20.4 + 1.2 * sun + 0.7 * people - temperature) + draw.gauss(0, 0.01)
        humidity = 27.0 + 0.004 * (co2 - _OUTDOOR_CO2) - 0.9 * (temperature - 20.6) + draw.gauss(0, 0.08)
        rows.writerow(
            (
                (datetime.combine(day, time()) + timedelta(minutes=minute)).isoformat(sep=" "),
                round(temperature, 3),
                round(humidity, 3),
                round(light, 1),
                round(co2, 1),
                f"{humidity_ratio(temperature, humidity):.8f}",
                int(people > 0),
            ),
        )
    return text.getvalue().encode()


def simulate_days(count: int, *, seed: int = 0) -> dict[str, bytes]:
    """Return that many days from `FIRST_DAY` on as file name to CSV."""
    days = [FIRST_DAY + timedelta(days=index) for index in range(count)]
    return {f"{day.isoformat()}.csv": simulate_day(day, seed=seed) for day in days}
