# It runs where Dagster is, and mypy does not; Dagster reads annotations when it starts.
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN202
"""Dagster, a peer of `bench/triggers.py`: run by an interpreter that has it, `triggers_peers` starts that.

    python bench/triggers_dagster.py [EVENTS[,EVENTS…]] SENSORS [POSTGRESQL-URL]

A sensor as its guide has them reads an event log (a SQLite file) from its cursor on, and yields one `RunRequest` with
a `run_key` an event. What is timed is `execute_sensor_iteration` of the daemon, as its loop calls it, with the
settings that an instance has where nobody changes any: no threads, `QueuedRunCoordinator`, SQLite (with a third
argument, `dagster-postgres`). That is: the
sensor's evaluation in the code server, over gRPC; the run keys looked up; each run, its tags and snapshots written,
and the event that enqueues it. No run is launched: the daemon that would is not running.

Prints one line of JSON: seconds by number of events; seconds of an iteration over that many sensors that find nothing.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import dagster
from dagster import DagsterInstance, DagsterRunStatus, DefaultSensorStatus, RunRequest, RunsFilter, job, op, sensor
from dagster._core.definitions.sensor_definition import DEFAULT_SENSOR_DAEMON_INTERVAL
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._daemon.controller import create_daemon_grpc_server_registry
from dagster._daemon.sensor import MIN_INTERVAL_LOOP_TIME, execute_sensor_iteration

LOG, SENSORS = "BENCH_EVENT_LOG", "BENCH_SENSORS"
_SPACING_SECONDS = 1
"""From one evaluation of a sensor to the next at least; by default 30, which would only make this wait."""


@op(config_schema={"dataset": str, "version": str})
def train(_context) -> None:
    """Would train."""


@job
def retrain() -> None:
    """Is what the sensor asks for."""
    train()


def _sensor(number: int):
    @sensor(
        name=f"versions_{number}",
        job=retrain,
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=_SPACING_SECONDS,
    )
    def versions(context):
        cursor = int(context.cursor or 0)
        with closing(sqlite3.connect(os.environ[LOG])) as log:
            query = "SELECT id, dataset, version FROM events WHERE sensor = ? AND id > ? ORDER BY id"
            rows = log.execute(query, (number, cursor)).fetchall()
        for event, dataset, version in rows:
            config = {"ops": {"train": {"config": {"dataset": dataset, "version": version}}}}
            yield RunRequest(run_key=str(event), run_config=config)
        if rows:
            context.update_cursor(str(rows[-1][0]))

    return versions


if LOG in os.environ:  # in the code server, which reads this file
    definitions = dagster.Definitions(sensors=[_sensor(number) for number in range(int(os.environ[SENSORS]))])


def _measure(counts: list[int], *, sensors: int, scratch: Path) -> dict[str, object]:
    log = sqlite3.connect(os.environ[LOG], isolation_level=None)
    log.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, sensor INTEGER, dataset TEXT, version TEXT)")
    log.execute("CREATE INDEX by_sensor ON events (sensor, id)")
    quiet = logging.getLogger("quiet")
    quiet.setLevel(logging.ERROR)
    target = PythonFileTarget(__file__, attribute=None, working_directory=str(scratch), location_name="bench")
    with (
        DagsterInstance.get() as instance,
        create_daemon_grpc_server_registry(instance) as registry,
        WorkspaceProcessContext(instance, target, grpc_server_registry=registry) as workspace,
    ):

        def iterate(events: int) -> float:
            log.execute("BEGIN")
            rows = [(f"dataset-{number}", "1.0.0") for number in range(events)]
            log.executemany("INSERT INTO events (sensor, dataset, version) VALUES (0, ?, ?)", rows)
            log.execute("COMMIT")
            before = instance.get_runs_count(queued)
            time.sleep(1.1 * _SPACING_SECONDS)
            begun = time.perf_counter()
            for _ in execute_sensor_iteration(workspace, quiet, None, None):
                pass
            seconds = time.perf_counter() - begun
            assert instance.get_runs_count(queued) == before + events, "Dagster enqueued another number of runs"
            return seconds

        queued = RunsFilter(statuses=[DagsterRunStatus.QUEUED])
        iterate(1)  # what is loaded when first used
        return {
            "version": dagster.__version__,
            "interval_seconds": DEFAULT_SENSOR_DAEMON_INTERVAL,
            "loop_seconds": MIN_INTERVAL_LOOP_TIME,
            "seconds": {events: iterate(events) for events in counts},
            "sensors": sensors,
            "idle_seconds": iterate(0),
        }


def main() -> None:
    """Measure and print."""
    counts, sensors = [int(text) for text in sys.argv[1].split(",") if text], int(sys.argv[2])
    settings: dict[str, object] = {"telemetry": {"enabled": False}}
    if len(sys.argv) > 3 and sys.argv[3]:
        settings["storage"] = {"postgres": {"postgres_url": sys.argv[3]}}
    with tempfile.TemporaryDirectory(prefix="retrain-dagster-") as scratch:
        home = Path(scratch) / "home"
        home.mkdir()
        (home / "dagster.yaml").write_text(json.dumps(settings))  # which is YAML, too
        os.environ |= {"DAGSTER_HOME": str(home), LOG: str(Path(scratch) / "events.sqlite"), SENSORS: str(sensors)}
        print(json.dumps(_measure(counts, sensors=sensors, scratch=Path(scratch))))


if __name__ == "__main__":
    main()
