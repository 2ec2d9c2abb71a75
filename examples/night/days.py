"""Makes up days of an office room, a CSV file a minute by minute each: python days.py FOLDER.

The sensors tell the truth; who was there was copied from a sheet in which people sign in and out.
"""

import csv
import random
import sys
from pathlib import Path

MORNING, EVENING, LATE = 8 * 60, 17 * 60, 22 * 60  # minutes of the day
SHEETS = {
    "evaluation": (MORNING, EVENING),  # checked by hand: what every model is tested on
    "monday": (MORNING, LATE),  # the last one to go forgot to sign out
    "tuesday": (MORNING, EVENING),
    "wednesday": (10, 24 * 60),  # nobody signed out all day
    "thursday": (MORNING, EVENING),  # the light sensor is gone, and the file ends at noon
}

for number, (day, (signed_in, signed_out)) in enumerate(SHEETS.items()):
    chance = random.Random(number)  # noqa: S311  the same days each time
    rows = []
    for minute in range(12 * 60 if day == "thursday" else 24 * 60):
        there = MORNING <= minute < EVENING
        co2 = chance.gauss(800 if there else 450, 90)
        light = max(chance.gauss(400 if there else 80, 90), 0)
        rows.append({"CO2": round(co2, 1), "light": round(light, 1), "occupied": int(signed_in <= minute < signed_out)})
    columns = ["CO2", "occupied"] if day == "thursday" else ["CO2", "light", "occupied"]
    path = Path(sys.argv[1]) / day / "day.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
