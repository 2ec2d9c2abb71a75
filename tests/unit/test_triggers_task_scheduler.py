from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import InvalidRequest
from orchestrator.records.condition import ScheduleCondition
from orchestrator.wire import RegisterTrigger
from triggers import TaskScheduler
from triggers.schedule import check, next_after
from triggers.sdk.timespec import WEEKDAYS

TASK = "c" * 32
THURSDAY = datetime(2026, 1, 1, 12, 20, 30, tzinfo=UTC)
"""When the schedules of these tests are registered."""


def schedule(**given: Any) -> RegisterTrigger:  # noqa: ANN401  keywords of any kind
    scheduler = TaskScheduler()
    assert scheduler.add_task(**{"schedule_task_id": TASK, "queue": "default"} | given) is True
    (found,) = scheduler.get_scheduled_tasks()
    return RegisterTrigger.model_validate(found)


def times(count: int, **given: Any) -> list[datetime]:  # noqa: ANN401  likewise
    """Return when a schedule is due first."""
    condition = schedule(**given).condition
    assert isinstance(condition, ScheduleCondition)
    check(condition)
    found: list[datetime] = []
    moment = None
    for _ in range(count):
        moment = next_after(condition, after=moment or THURSDAY, registered_at=THURSDAY)
        if moment is None:
            break
        found.append(moment)
    return found


def shown(count: int, **given: Any) -> list[str]:  # noqa: ANN401  likewise
    return [f"{moment:%m-%d %H:%M}" for moment in times(count, **given)]


def test_a_part_on_its_own_is_the_time_between_runs() -> None:
    assert [two - one for one, two in pairwise(times(4, minute=15))] == [timedelta(minutes=15)] * 3
    assert shown(3, hour=1) == ["01-01 13:00", "01-01 14:00", "01-01 15:00"]
    assert [two - one for one, two in pairwise(times(4, hour=5))] == [timedelta(hours=5)] * 3
    assert shown(2, day=1) == ["01-02 00:00", "01-03 00:00"]
    assert shown(2, month=1) == ["02-01 00:00", "03-01 00:00"]
    assert [two - one for one, two in pairwise(times(3, month=2))] == [timedelta(days=61), timedelta(days=61)]
    assert shown(1, year=1) == ["01-01 00:00"]


def test_the_longest_part_says_how_often_and_the_others_when() -> None:
    assert shown(3, hour=1, minute=30) == ["01-01 12:30", "01-01 13:30", "01-01 14:30"]
    assert shown(2, minute=30, hour=22, day=1) == ["01-01 22:30", "01-02 22:30"]
    assert shown(2, minute=30, hour=7, day=2) == ["01-03 07:30", "01-05 07:30"]
    assert shown(2, month=1, day=5) == ["01-05 00:00", "02-05 00:00"]
    assert [f"{moment:%Y-%m-%d}" for moment in times(2, year=1, month=3, day=4)] == ["2026-03-04", "2027-03-04"]


def test_weekdays_are_once_a_day_or_every_so_often_on_those_days() -> None:
    assert shown(2, minute=30, hour=8, day=0, weekdays=["saturday"]) == ["01-03 08:30", "01-10 08:30"]
    weekend = shown(13, hour=2, weekdays=["saturday", "sunday"])
    assert (weekend[0], weekend[1], weekend[11], weekend[12]) == (
        "01-03 00:00",
        "01-03 02:00",
        "01-03 22:00",
        "01-04 00:00",
    )
    business = shown(7, minute=30, hour=2, weekdays=list(WEEKDAYS[:5]))
    assert (business[0], business[5], business[6]) == ("01-01 12:30", "01-01 22:30", "01-02 00:30")
    assert shown(3, minute=20, weekdays=["Thursday"]) == ["01-01 12:40", "01-01 13:00", "01-01 13:20"]
    assert [two - one for one, two in pairwise(times(4, minute=45, weekdays=["friday"]))] == [timedelta(minutes=45)] * 3
    assert shown(1, weekdays=["friday"]) == ["01-02 00:00"]
    assert shown(2, month=1, weekdays=["monday"], hour=6) == ["01-05 06:00", "02-02 06:00"]
    assert [f"{moment:%Y-%m-%d}" for moment in times(2, year=1, month=9, weekdays=["monday"])] == [
        "2026-09-07",
        "2027-09-06",
    ]


def test_a_year_of_the_calendar_is_one_moment() -> None:
    assert times(2, year=2030, month=2, day=3, hour=4) == [datetime(2030, 2, 3, 4, tzinfo=UTC)]
    assert times(2, year=2030, weekdays=["monday"]) == [datetime(2030, 1, 7, tzinfo=UTC)]
    local = times(2, year=2030, month=7, hour=9, timezone="Europe/Berlin")
    assert local == [datetime(2030, 7, 1, 7, tzinfo=UTC)]


def test_a_day_that_a_month_does_not_have_is_its_last_one() -> None:
    assert shown(4, month=1, day=31) == ["01-31 00:00", "02-28 00:00", "03-31 00:00", "04-30 00:00"]
    leap = [f"{moment:%Y-%m-%d}" for moment in times(3, year=1, month=2, day=29)]
    assert leap == ["2026-02-28", "2027-02-28", "2028-02-29"]


def test_other_ways_of_saying_when() -> None:
    assert shown(2, cron="30 3 * * 1-5", timezone="Europe/Berlin") == ["01-02 02:30", "01-05 02:30"]
    assert [two - one for one, two in pairwise(times(3, every="90m"))] == [timedelta(minutes=90)] * 2
    assert shown(2, rule="FREQ=DAILY;BYHOUR=4;BYMINUTE=0;BYSECOND=0") == ["01-02 04:00", "01-03 04:00"]
    berlin = ZoneInfo("Europe/Berlin")
    moments = [datetime(2026, 7, 1, 8, tzinfo=berlin), datetime(2026, 8, 1, 8)]  # noqa: DTZ001  in the schedule's zone
    assert shown(3, at=moments, timezone="Europe/Berlin") == ["07-01 06:00", "08-01 06:00"]
    assert shown(1, at=datetime(2026, 7, 1, tzinfo=UTC)) == ["07-01 00:00"]


def test_every_option_reaches_the_trigger() -> None:
    made = schedule(
        name="nightly",
        cron="0 3 * * *",
        recurring=False,
        execute_immediately=True,
        catch_up="all",
        starts_at=datetime(2026, 2, 1, tzinfo=UTC),
        trigger_project="occupancy",
        queue="gpu",
        limit_execution_time=2,
        single_instance=True,
        reuse_task=True,
        task_overrides={"Args/lr": 0.1},
    )
    condition = made.condition
    assert (condition.once, condition.immediately, condition.catch_up) == (True, True, "all")
    assert (condition.project, condition.starts_at) == ("occupancy", datetime(2026, 2, 1, tzinfo=UTC))
    assert (made.action.queue, made.action.reuse, made.action.parameters) == ("gpu", True, {"Args/lr": "0.1"})
    assert (made.limit_execution_seconds, made.max_active, made.action.tags) == (7200, 1, ("nightly",))


@pytest.mark.parametrize(
    "given_parts",
    [
        {},
        {"day": 0},
        {"hour": 0, "minute": 30},
        {"minute": 0},
        {"minute": -5},
        {"minute": 1.5},
        {"minute": True},
        {"hour": 1, "minute": 60},
        {"day": 1, "hour": 24},
        {"month": 1, "day": 32},
        {"year": 1, "month": 13},
        {"year": 1999},
        {"year": 2027, "month": 2, "day": 30},
        {"weekdays": ["caturday"]},
        {"weekdays": ["monday"], "day": 2, "hour": 1},
        {"cron": "0 3 * * *", "hour": 1},
        {"every": "1h", "rule": "FREQ=DAILY"},
        {"every": 0},
        {"at": ["2026-01-01"]},
        {"at": datetime(2030, 1, 1), "timezone": "Europe/Berlinn"},  # noqa: DTZ001  a zone is what is wrong here
        {"minute": 5, "catch_up": "some"},
        {"minute": 5, "webhook": "https://example.com"},
        {"minute": 5, "limit_execution_time": 0},
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(given_parts: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        schedule(**given_parts)


def test_what_waits_for_events_is_no_keyword_of_a_schedule() -> None:
    for keyword in ("debounce", "require", "promote", "trigger_on_tags"):
        with pytest.raises(TypeError, match=keyword):
            TaskScheduler().add_task(TASK, minute=5, **{keyword: 1})
    names = inspect.signature(TaskScheduler.add_task).parameters
    assert {"minute", "cron", "schedule_function", "limit_execution_time"} <= set(names)


def test_a_task_or_a_function_is_taken_from_the_schedule() -> None:
    scheduler = TaskScheduler(force_create_task_name="cron")
    scheduler.add_task(schedule_function=print, name="print", minute=5)
    scheduler.add_task(TASK, minute=5)
    scheduler.add_task(TASK, minute=6)
    assert len(scheduler.get_scheduled_tasks()) == 3
    assert scheduler.functions == {"print": print}
    assert scheduler.remove_task(print)
    assert scheduler.remove_task(TASK)
    assert not scheduler.remove_task(TASK)
    assert (scheduler.get_scheduled_tasks(), scheduler.functions) == ([], {})


@settings(deadline=None, max_examples=60)
@given(
    minute=st.none() | st.integers(1, 59),
    hour=st.none() | st.integers(1, 23),
    day=st.none() | st.integers(1, 31),
    month=st.none() | st.integers(1, 12),
    year=st.none() | st.integers(1, 3),
    weekdays=st.none() | st.sets(st.sampled_from(WEEKDAYS), min_size=1),
)
def test_whatever_is_taken_is_due_again_and_again_at_the_times_that_were_named(
    minute: int | None,
    hour: int | None,
    day: int | None,
    month: int | None,
    year: int | None,
    weekdays: set[str] | None,
) -> None:
    parts = {"minute": minute, "hour": hour, "day": day, "month": month, "year": year}
    if weekdays is not None:
        parts["day"] = None if day is None else 0
    if weekdays is None and not any(parts.values()):
        return
    found = times(2, **parts, weekdays=weekdays and sorted(weekdays))
    assert THURSDAY < found[0] < found[1]
    longer = {"minute": (hour, day, month, year), "hour": (day, month, year)}
    for name, moment in ((name, moment) for name in longer for moment in found):
        value = parts[name]
        if value is not None and any(longer[name]):
            assert getattr(moment, name) == value
    if weekdays is not None:
        assert {WEEKDAYS[moment.weekday()] for moment in found} <= weekdays
