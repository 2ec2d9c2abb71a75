from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestrator.errors import InvalidRequest
from orchestrator.records.condition import ScheduleCondition
from triggers.recurrence import parts_of, walls_of
from triggers.schedule import check, due, next_after

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def moment(text: str, zone: str = "UTC") -> datetime:
    """Read `2026-03-29 02:30` as clocks in a zone show it; the first pass where they show it twice."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def times(condition: ScheduleCondition, after: str, *, count: int, zone: str = "UTC") -> list[str]:
    """Return the next times as clocks in the schedule's zone show them, with their offset."""
    check(condition)
    found: list[datetime] = []
    last = moment(after, zone)
    for _ in range(count):
        following = next_after(condition, after=last, registered_at=LONG_AGO)
        if following is None:
            break
        assert following > last
        found.append(last := following)
    return [each.astimezone(ZoneInfo(condition.timezone)).strftime("%Y-%m-%d %H:%M%z") for each in found]


def fired(condition: ScheduleCondition, *, since: datetime, until: datetime) -> list[datetime]:
    """Return all times of a stretch."""
    every = condition.changed(catch_up="all")
    return due(every, last=since, now=until, registered_at=LONG_AGO, limit=1000).fire


class TestCron:
    def test_it_is_local_time_in_its_zone(self) -> None:
        condition = ScheduleCondition(cron="30 8 * * MON-FRI", timezone=NEW_YORK)
        assert times(condition, "2026-01-02 12:00", count=3, zone=NEW_YORK) == [
            "2026-01-05 08:30-0500",
            "2026-01-06 08:30-0500",
            "2026-01-07 08:30-0500",
        ]

    def test_the_29th_of_february_comes_in_leap_years(self) -> None:
        condition = ScheduleCondition(cron="0 12 29 2 *")
        assert times(condition, "2023-01-01", count=3) == [
            "2024-02-29 12:00+0000",
            "2028-02-29 12:00+0000",
            "2032-02-29 12:00+0000",
        ]
        assert times(condition, "2096-03-01", count=1) == ["2104-02-29 12:00+0000"]

    def test_the_last_day_of_a_month_is_the_29th_in_a_leap_year(self) -> None:
        condition = ScheduleCondition(cron="0 0 L * *")
        assert times(condition, "2028-02-01", count=2) == ["2028-02-29 00:00+0000", "2028-03-31 00:00+0000"]

    def test_day_of_month_and_weekday_are_alternatives_where_both_are_named(self) -> None:
        either = ScheduleCondition(cron="0 0 13 * FRI")
        assert times(either, "2026-02-12 12:00", count=3) == [
            "2026-02-13 00:00+0000",
            "2026-02-20 00:00+0000",
            "2026-02-27 00:00+0000",
        ]
        both = ScheduleCondition(cron="0 0 */2 * FRI")
        assert times(both, "2026-02-12 12:00", count=2) == ["2026-02-13 00:00+0000", "2026-02-27 00:00+0000"]

    @pytest.mark.parametrize(
        ("zone", "cron", "before", "expected"),
        [
            (BERLIN, "30 2 * * *", "2026-03-28 12:00", ["2026-03-29 03:00+0200", "2026-03-30 02:30+0200"]),
            (NEW_YORK, "30 2 * * *", "2026-03-07 12:00", ["2026-03-08 03:00-0400", "2026-03-09 02:30-0400"]),
            (LORD_HOWE, "10 2 * * *", "2026-10-03 12:00", ["2026-10-04 02:30+1100", "2026-10-05 02:10+1100"]),
            (BERLIN, "0 2,3 * * *", "2026-03-28 12:00", ["2026-03-29 03:00+0200", "2026-03-30 02:00+0200"]),
            (BERLIN, "0-59/10 2 * * *", "2026-03-28 12:00", ["2026-03-29 03:00+0200", "2026-03-30 02:00+0200"]),
        ],
    )
    def test_a_time_that_is_skipped_fires_at_the_first_moment_after_the_gap(
        self, zone: str, cron: str, before: str, expected: list[str]
    ) -> None:
        assert times(ScheduleCondition(cron=cron, timezone=zone), before, count=2, zone=zone) == expected

    @pytest.mark.parametrize(
        ("zone", "cron", "before", "expected"),
        [
            (BERLIN, "30 2 * * *", "2026-10-24 12:00", ["2026-10-25 02:30+0200", "2026-10-26 02:30+0100"]),
            (NEW_YORK, "30 1 * * *", "2026-10-31 12:00", ["2026-11-01 01:30-0400", "2026-11-02 01:30-0500"]),
            (LORD_HOWE, "45 1 * * *", "2026-04-04 12:00", ["2026-04-05 01:45+1100", "2026-04-06 01:45+1030"]),
            (LORD_HOWE, "15 2 * * *", "2026-04-04 12:00", ["2026-04-05 02:15+1030", "2026-04-06 02:15+1030"]),
        ],
    )
    def test_a_time_that_comes_twice_fires_the_first_time(
        self, zone: str, cron: str, before: str, expected: list[str]
    ) -> None:
        assert times(ScheduleCondition(cron=cron, timezone=zone), before, count=2, zone=zone) == expected

    def test_every_so_many_minutes_goes_on_in_the_hour_that_comes_twice(self) -> None:
        condition = ScheduleCondition(cron="*/20 * * * *", timezone=BERLIN)
        assert times(condition, "2026-10-25 01:59", count=7, zone=BERLIN) == [
            "2026-10-25 02:00+0200",
            "2026-10-25 02:20+0200",
            "2026-10-25 02:40+0200",
            "2026-10-25 02:00+0100",
            "2026-10-25 02:20+0100",
            "2026-10-25 02:40+0100",
            "2026-10-25 03:00+0100",
        ]

    def test_every_so_many_minutes_has_nothing_in_the_gap(self) -> None:
        condition = ScheduleCondition(cron="*/20 * * * *", timezone=BERLIN)
        assert times(condition, "2026-03-29 01:30", count=3, zone=BERLIN) == [
            "2026-03-29 01:40+0100",
            "2026-03-29 03:00+0200",
            "2026-03-29 03:20+0200",
        ]

    def test_every_hour_is_met_where_clocks_change_by_half_an_hour(self) -> None:
        condition = ScheduleCondition(cron="*/10 2 * * *", timezone=LORD_HOWE)
        assert times(condition, "2026-04-05 01:00", count=2, zone=LORD_HOWE) == [
            "2026-04-05 02:00+1030",
            "2026-04-05 02:10+1030",
        ]

    def test_a_day_that_a_zone_left_out_fires_when_the_next_one_begins(self) -> None:
        condition = ScheduleCondition(cron="0 9 30 12 *", timezone="Pacific/Apia")  # Samoa had no 30 December 2011
        assert times(condition, "2011-12-28", count=1) == ["2011-12-31 00:00+1400"]

    @settings(max_examples=30, deadline=None)
    @given(
        zone_and_day=st.sampled_from(
            [
                (BERLIN, "2026-03-29"),
                (BERLIN, "2026-10-25"),
                (NEW_YORK, "2026-03-08"),
                (NEW_YORK, "2026-11-01"),
                (LORD_HOWE, "2026-10-04"),
                (LORD_HOWE, "2026-04-05"),
            ]
        ),
        minutes=st.sampled_from(["*", "*/7", "0", "30", "0-59/7", "59", "15,45"]),
        hours=st.sampled_from(["*", "*/2", "1", "2", "1-3", "0", "2,3"]),
        begins=st.integers(-600, 600),
    )
    def test_it_fires_when_a_clock_that_is_watched_minute_by_minute_shows_it(
        self, zone_and_day: tuple[str, str], minutes: str, hours: str, begins: int
    ) -> None:
        zone, day = zone_and_day
        condition = ScheduleCondition(cron=f"{minutes} {hours} * * *", timezone=zone)
        since = moment(day, zone) + timedelta(minutes=begins)
        until = since + timedelta(hours=12)
        assert fired(condition, since=since, until=until) == list(watched(minutes, hours, zone, since, until))


def numbers(field: str, end: int) -> set[int]:
    """Read the few forms of a field that are tested here."""
    field, _, step = field.partition("/")
    if field == "*":
        found = set(range(end))
    elif "-" in field:
        first, last = map(int, field.split("-"))
        found = set(range(first, last + 1))
    else:
        found = {int(each) for each in field.split(",")}
    return set(sorted(found)[:: int(step or 1)])


def watched(minutes: str, hours: str, zone: str, since: datetime, until: datetime) -> list[datetime]:
    """Watch the clock for every minute of a stretch, as somebody would who has never heard of cronsim."""
    by_elapsed = minutes.startswith("*") or hours.startswith("*")
    found = []
    now = since
    before = now.astimezone(ZoneInfo(zone))
    wanted_minutes, wanted_hours = numbers(minutes, 60), numbers(hours, 24)
    while (now := now + timedelta(minutes=1)) <= until:
        shown = now.astimezone(ZoneInfo(zone))
        faces = [shown] if by_elapsed or not shown.fold else []
        wall = before.replace(tzinfo=None) + timedelta(minutes=1)
        while not by_elapsed and wall < shown.replace(tzinfo=None):  # clocks were put forward
            faces.append(wall)
            wall += timedelta(minutes=1)
        if any(face.minute in wanted_minutes and face.hour in wanted_hours for face in faces):
            found.append(now)
        before = shown
    return found


class TestRule:
    def test_it_is_local_time_in_its_zone(self) -> None:
        condition = ScheduleCondition(rule="FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=8;BYMINUTE=0;BYSECOND=0", timezone=BERLIN)
        assert times(condition, "2028-02-01", count=3) == [
            "2028-02-29 08:00+0100",
            "2028-03-31 08:00+0200",
            "2028-04-30 08:00+0200",
        ]

    def test_skipped_and_doubled_times_are_as_with_crons(self) -> None:
        condition = ScheduleCondition(rule="FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0", timezone=BERLIN)
        assert times(condition, "2026-03-28 12:00", count=1) == ["2026-03-29 03:00+0200"]
        assert times(condition, "2026-10-24 12:00", count=2) == ["2026-10-25 02:30+0200", "2026-10-26 02:30+0100"]

    def test_every_hour_goes_on_in_time_that_passes(self) -> None:
        condition = ScheduleCondition(rule="FREQ=HOURLY;BYMINUTE=0;BYSECOND=0", timezone=BERLIN)
        found = fired(condition, since=moment("2026-10-24 21:30"), until=moment("2026-10-25 03:30"))
        assert found == [moment("2026-10-24 22:00") + timedelta(hours=hour) for hour in range(6)]

    def test_what_it_leaves_open_is_as_it_starts(self) -> None:
        condition = ScheduleCondition(
            rule="RRULE:FREQ=WEEKLY;INTERVAL=2", timezone=BERLIN, starts_at=moment("2026-02-04 17:51", BERLIN)
        )
        assert times(condition, "2026-01-01", count=3) == [
            "2026-02-04 17:51+0100",
            "2026-02-18 17:51+0100",
            "2026-03-04 17:51+0100",
        ]

    def test_an_end_by_day_counts_that_day_whole_in_local_time(self) -> None:
        rule = "FREQ=DAILY;BYHOUR=23;BYMINUTE=0;BYSECOND=0;UNTIL=20260103"
        condition = ScheduleCondition(rule=rule, timezone=NEW_YORK)
        assert times(condition, "2026-01-02 12:00", count=5) == ["2026-01-02 23:00-0500", "2026-01-03 23:00-0500"]
        in_utc = ScheduleCondition(rule=f"{rule}T120000Z", timezone=NEW_YORK)
        assert times(in_utc, "2026-01-02 12:00", count=5) == ["2026-01-02 23:00-0500"]

    def test_a_count_is_of_the_times_after_it_starts(self) -> None:
        rule = "FREQ=DAILY;COUNT=2"
        registered = moment("2026-01-01 10:00")
        condition = ScheduleCondition(rule=rule)
        found = due(condition, last=None, now=moment("2027-01-01"), registered_at=registered, limit=9)
        assert found.fire == [moment("2026-01-03 10:00")]  # the last of them
        every = condition.changed(catch_up="all")
        assert due(every, last=None, now=moment("2027-01-01"), registered_at=registered, limit=9).fire == [
            moment("2026-01-02 10:00"),
            moment("2026-01-03 10:00"),
        ]
        begun = every.changed(starts_at=moment("2025-12-31 10:00"))
        assert due(begun, last=None, now=moment("2027-01-01"), registered_at=registered, limit=9).fire == []

    def test_an_interval_that_misses_never_comes_and_says_so_where_the_start_is_known(self) -> None:
        tuesday = moment("2026-02-03 08:00")
        condition = ScheduleCondition(rule="FREQ=DAILY;INTERVAL=14;BYDAY=MO")
        check(condition)
        assert next_after(condition, after=None, registered_at=tuesday) is None
        with pytest.raises(InvalidRequest, match="never comes"):
            check(condition.changed(starts_at=tuesday))
        check(condition.changed(starts_at=tuesday - timedelta(days=1)))

    @settings(max_examples=40, deadline=None)
    @given(
        rule=st.sampled_from(
            [
                "FREQ=YEARLY",
                "FREQ=YEARLY;INTERVAL=3;BYDAY=2MO",
                "FREQ=YEARLY;BYWEEKNO=1,53;BYDAY=SU",
                "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
                "FREQ=MONTHLY;INTERVAL=5",
                "FREQ=MONTHLY;BYDAY=MO,TU,WE;BYSETPOS=-1",
                "FREQ=WEEKLY;INTERVAL=3;BYDAY=MO,SU",
                "FREQ=WEEKLY;INTERVAL=3;BYDAY=MO,SU;WKST=SU",
                "FREQ=WEEKLY;BYDAY=TU,FR;BYSETPOS=1",
                "FREQ=DAILY;INTERVAL=10;BYHOUR=3,4",
                "FREQ=DAILY;INTERVAL=2;BYMONTH=1,7",
                "FREQ=HOURLY;INTERVAL=7",
                "FREQ=HOURLY;INTERVAL=5;BYDAY=SA",
                "FREQ=MINUTELY;INTERVAL=77",
                "FREQ=MINUTELY;INTERVAL=45;BYHOUR=2;BYMONTHDAY=31",
            ]
        ),
        begins=st.datetimes(datetime(2019, 1, 1), datetime(2021, 12, 31)),  # noqa: DTZ001  local times
        days=st.integers(0, 900),
    )
    def test_moving_its_start_on_changes_no_time(self, rule: str, begins: datetime, days: int) -> None:
        begins = begins.replace(microsecond=0)
        after = begins + timedelta(days=days, seconds=days)
        found = list(islice(walls_of(parts_of(rule), begins=begins, after=after), 5))
        assert found == list(islice((wall for wall in rrulestr(rule, dtstart=begins) if wall > after), 5))


class TestIntervalsAndTimes:
    def test_an_interval_counts_from_registering_in_time_that_passes(self) -> None:
        registered = moment("2026-03-28 12:00:00.25", BERLIN)
        condition = ScheduleCondition(every_seconds=86_400, timezone=BERLIN)
        first = next_after(condition, after=None, registered_at=registered)
        assert first == registered + timedelta(days=1)
        assert first.astimezone(ZoneInfo(BERLIN)).hour == 13

    def test_an_interval_counts_from_its_start_where_it_has_one(self) -> None:
        starts = moment("2026-01-01 00:00")
        condition = ScheduleCondition(every_seconds=90.5, starts_at=starts)
        assert next_after(condition, after=None, registered_at=LONG_AGO) == starts
        later = starts + timedelta(days=1, milliseconds=1)
        following = next_after(condition, after=None, registered_at=later)
        assert following == starts + 955 * timedelta(seconds=90.5)
        assert later < following <= later + timedelta(seconds=90.5)

    def test_moments_are_taken_in_order_and_once(self) -> None:
        first, second = moment("2026-01-01 00:00"), moment("2026-01-01 05:00")
        condition = ScheduleCondition(at=(second, first, second.astimezone(ZoneInfo(BERLIN))), timezone=BERLIN)
        check(condition)
        assert fired(condition, since=LONG_AGO, until=second) == [first, second]
        assert next_after(condition, after=second, registered_at=LONG_AGO) is None

    def test_nothing_is_meant_before_its_start(self) -> None:
        condition = ScheduleCondition(cron="0 * * * *", starts_at=moment("2026-01-01 05:00"))
        assert times(condition, "2025-12-31", count=1) == ["2026-01-01 05:00+0000"]


REGISTERED = moment("2026-01-01 10:00")
HOURLY = ScheduleCondition(cron="0 * * * *")


class TestDue:
    def test_times_that_were_missed_fire_as_asked(self) -> None:
        now = moment("2026-01-01 14:00:30")
        found = {
            catch_up: due(
                HOURLY.changed(catch_up=catch_up), last=REGISTERED, now=now, registered_at=REGISTERED, limit=100
            )
            for catch_up in ("all", "latest", "none")
        }
        hours = [REGISTERED + timedelta(hours=hour) for hour in (1, 2, 3, 4)]
        assert found == {"all": (hours, now), "latest": (hours[-1:], now), "none": (hours[-1:], now)}

    def test_without_catching_up_what_is_older_than_a_minute_is_passed_over(self) -> None:
        condition = HOURLY.changed(catch_up="none")
        at = moment("2026-01-01 14:00")
        for late, expected in ((60, [at]), (61, [])):
            now = at + timedelta(seconds=late)
            assert due(condition, last=REGISTERED, now=now, registered_at=REGISTERED, limit=9) == (expected, now)

    def test_the_rest_beyond_the_limit_comes_when_asked_again(self) -> None:
        condition = HOURLY.changed(catch_up="all")
        now = moment("2026-01-01 13:30")
        one = due(condition, last=REGISTERED, now=now, registered_at=REGISTERED, limit=2)
        assert one == ([moment("2026-01-01 11:00"), moment("2026-01-01 12:00")], moment("2026-01-01 12:00"))
        two = due(condition, last=one.passed_to, now=now, registered_at=REGISTERED, limit=2)
        assert two == ([moment("2026-01-01 13:00")], now)

    def test_nothing_is_taken_where_nothing_may_be(self) -> None:
        now = moment("2026-01-01 13:30")
        assert due(HOURLY, last=REGISTERED, now=now, registered_at=REGISTERED, limit=0) == ([], REGISTERED)

    @pytest.mark.parametrize("catch_up", ["all", "latest", "none"])
    def test_a_clock_that_steps_back_makes_nothing_due_and_repeats_nothing(self, catch_up: str) -> None:
        condition = HOURLY.changed(catch_up=catch_up)
        at = moment("2026-01-01 12:00")
        one = due(condition, last=REGISTERED, now=at, registered_at=REGISTERED, limit=9)
        assert one.fire[-1] == at
        back = due(condition, last=one.passed_to, now=at - timedelta(hours=3), registered_at=REGISTERED, limit=9)
        assert back == ([], at)
        again = due(condition, last=back.passed_to, now=at, registered_at=REGISTERED, limit=9)
        assert again == ([], at)

    def test_at_once_means_the_moment_of_registering(self) -> None:
        condition = HOURLY.changed(immediately=True, catch_up="all")
        assert next_after(condition, after=None, registered_at=REGISTERED) == REGISTERED
        one = due(condition, last=None, now=REGISTERED, registered_at=REGISTERED, limit=9)
        assert one == ([REGISTERED], REGISTERED)
        assert next_after(condition, after=one.passed_to, registered_at=REGISTERED) == moment("2026-01-01 11:00")

    def test_at_once_waits_for_a_clock_that_stands_before_registering(self) -> None:
        condition = HOURLY.changed(immediately=True)
        early = due(condition, last=None, now=REGISTERED - timedelta(hours=5), registered_at=REGISTERED, limit=9)
        assert early.fire == []
        assert due(condition, last=early.passed_to, now=REGISTERED, registered_at=REGISTERED, limit=9).fire == [
            REGISTERED
        ]

    @pytest.mark.parametrize("catch_up", ["all", "latest", "none"])
    @pytest.mark.parametrize("immediately", [False, True])
    def test_once_is_the_first_time_alone(self, catch_up: str, *, immediately: bool) -> None:
        condition = HOURLY.changed(once=True, immediately=immediately, catch_up=catch_up)
        first = REGISTERED if immediately else moment("2026-01-01 11:00")
        assert next_after(condition, after=None, registered_at=REGISTERED) == first
        one = due(condition, last=None, now=first, registered_at=REGISTERED, limit=9)
        assert one == ([first], first)
        assert next_after(condition, after=first, registered_at=REGISTERED) is None
        late = first + timedelta(days=3)
        assert due(condition, last=first, now=late, registered_at=REGISTERED, limit=9) == ([], late)
        missed = due(condition, last=None, now=late, registered_at=REGISTERED, limit=9)
        assert missed == ([] if catch_up == "none" else [first], late)

    @pytest.mark.parametrize(
        "times_of",
        [
            {"cron": "* * * * *"},
            {"cron": "* * 1 1 *"},
            {"every_seconds": 1.0},
            {"rule": "FREQ=MINUTELY"},
            {"rule": "FREQ=HOURLY;INTERVAL=5;BYMONTH=2;BYMONTHDAY=29"},
            {"rule": "FREQ=DAILY;COUNT=10000"},
        ],
    )
    def test_twenty_years_without_a_scheduler_are_no_work(self, times_of: dict[str, object]) -> None:
        now = moment("2026-05-05 05:05:05")
        last = now.replace(year=2006)
        began = time.process_time()
        for catch_up in ("latest", "none"):
            condition = ScheduleCondition(**times_of, timezone=BERLIN, catch_up=catch_up)
            found = due(condition, last=last, now=now, registered_at=last, limit=1000)
            assert found.passed_to == now
            following = next_after(condition, after=now, registered_at=last)
            assert following is not None
            assert following > now
        assert time.process_time() - began < 1.0


SCHEDULES = st.one_of(
    st.builds(
        ScheduleCondition,
        cron=st.sampled_from(["*/13 * * * *", "30 2 * * *", "0 */3 * * *", "15 1,2,3 * * SUN"]),
        timezone=st.sampled_from([BERLIN, NEW_YORK, LORD_HOWE]),
        immediately=st.booleans(),
    ),
    st.builds(ScheduleCondition, every_seconds=st.floats(600, 90_000), immediately=st.booleans()),
    st.builds(
        ScheduleCondition,
        rule=st.sampled_from(
            ["FREQ=HOURLY", "FREQ=MINUTELY;INTERVAL=50", "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=30", "FREQ=DAILY;COUNT=3"]
        ),
        timezone=st.sampled_from([BERLIN, LORD_HOWE]),
        immediately=st.booleans(),
    ),
)
CHANGES = [
    moment("2026-03-28 20:00"),
    moment("2026-10-24 20:00"),
    moment("2026-04-04 10:00"),
    moment("2026-10-03 10:00"),
]


@settings(max_examples=60, deadline=None)
@given(
    condition=SCHEDULES,
    registered=st.sampled_from(CHANGES),
    steps=st.lists(st.tuples(st.integers(-3600, 40_000), st.integers(0, 9)), min_size=1, max_size=12),
)
def test_asked_in_pieces_it_is_the_same_as_asked_once_and_nothing_comes_twice(
    condition: ScheduleCondition, registered: datetime, steps: list[tuple[int, int]]
) -> None:
    condition = condition.changed(catch_up="all")
    now, last = registered, None
    pieces: list[datetime] = []
    for seconds, limit in steps:
        now += timedelta(seconds=seconds)
        found = due(condition, last=last, now=now, registered_at=registered, limit=limit)
        assert last is None or found.passed_to >= last
        assert all(time <= found.passed_to for time in found.fire)
        assert len(found.fire) <= limit
        pieces += found.fire
        last = found.passed_to
    end = max(now, last or now)
    pieces += due(condition, last=last, now=end, registered_at=registered, limit=10_000).fire
    at_once = due(condition, last=None, now=end, registered_at=registered, limit=10_000).fire
    assert pieces == at_once == sorted(set(at_once))
    assert at_once[:1] == [registered] or not condition.immediately or end < registered


@settings(max_examples=60, deadline=None)
@given(condition=SCHEDULES, registered=st.sampled_from(CHANGES), seconds=st.integers(1, 300_000))
def test_the_latest_is_the_last_of_all_and_the_next_is_the_first(
    condition: ScheduleCondition, registered: datetime, seconds: int
) -> None:
    now = registered + timedelta(seconds=seconds)
    arguments = {"last": None, "now": now, "registered_at": registered, "limit": 10_000}
    every = due(condition.changed(catch_up="all"), **arguments).fire
    assert due(condition.changed(catch_up="latest"), **arguments).fire == every[-1:]
    recent = [time for time in every if time >= now - timedelta(minutes=1)]
    assert due(condition.changed(catch_up="none"), **arguments).fire == recent
    assume(every)
    assert next_after(condition, after=None, registered_at=registered) == every[0]
    assert due(condition.changed(once=True), **arguments).fire == every[:1]


class TestCheck:
    @pytest.mark.parametrize(
        "condition",
        [
            ScheduleCondition(cron="0 0 * * 7"),
            ScheduleCondition(cron="*/5 8-18 * jan,jul mon#1"),
            ScheduleCondition(rule="freq=monthly;byday=-1fr"),
            ScheduleCondition(every_seconds=1),
            ScheduleCondition(at=(LONG_AGO,)),
        ],
    )
    def test_a_schedule_that_can_be_kept_passes(self, condition: ScheduleCondition) -> None:
        check(condition)

    @pytest.mark.parametrize(
        "given_times",
        [{}, {"cron": "0 0 * * *", "every_seconds": 5.0}, {"rule": "FREQ=DAILY", "at": (LONG_AGO,)}],
    )
    def test_times_are_given_in_exactly_one_way(self, given_times: dict[str, object]) -> None:
        with pytest.raises(InvalidRequest) as caught:
            check(ScheduleCondition(**given_times))
        assert "exactly one of cron" in str(caught.value)

    @pytest.mark.parametrize(
        ("cron", "message"),
        [
            ("* * * *", "4 fields, not five"),
            ("0 0 0 * * *", "6 fields, not five"),
            ("61 * * * *", "bad minute"),
            ("0 24 * * *", "bad hour"),
            ("0 0 30 2 *", "bad day-of-month"),
            ("0 0 * * MOND", "bad day-of-week"),
            ("@daily", "Write 0 0 \\* \\* \\*"),
        ],
    )
    def test_a_bad_cron_is_refused_with_what_is_wrong(self, cron: str, message: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            check(ScheduleCondition(cron=cron))
        assert re.search(message, str(caught.value))

    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            ("", "no part of a rule"),
            ("daily", "no part of a rule"),
            ("FREQ=SECONDLY", "Give every_seconds"),
            ("FREQ=FORTNIGHTLY", "There are YEARLY"),
            ("INTERVAL=2", "FREQ=None"),
            ("FREQ=DAILY;FREQ=DAILY", "given twice"),
            ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0"),
            ("FREQ=YEARLY;INTERVAL=26", "from 1 to 25"),
            ("FREQ=DAILY;COUNT=10001", "from 1 to 10000"),
            ("FREQ=DAILY;COUNT=3;UNTIL=20270101", "not both"),
            ("FREQ=DAILY;UNTIL=tomorrow", "Write 20261231"),
            ("FREQ=DAILY;UNTIL=20270230", "Write 20261231"),
            ("FREQ=DAILY;BYHOUR=24", "0 to 23"),
            ("FREQ=DAILY;BYHOUR=-1", "0 to 23"),
            ("FREQ=DAILY;BYDAY=MO,XX", "Days are MO"),
            ("FREQ=DAILY;BYDAY=1MO", "Use FREQ=MONTHLY"),
            ("FREQ=WEEKLY;WKST=MON", "Days are MO"),
            ("FREQ=MONTHLY;BYWEEKNO=3", "Use FREQ=YEARLY"),
            ("FREQ=MINUTELY;BYSECOND=0,30", "Give every_seconds"),
            ("FREQ=HOURLY;BYSETPOS=2", "Use FREQ=DAILY"),
            ("FREQ=DAILY;BYSETPOS=3;BYHOUR=1,2", "never comes"),
            ("FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30", "never comes"),
            ("FREQ=DAILY\nDTSTART:20200101", "no part of a rule|FREQ=DAILY"),
        ],
    )
    def test_a_rule_that_cannot_be_followed_is_refused_with_why(self, rule: str, message: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            check(ScheduleCondition(rule=rule))
        assert re.search(message, str(caught.value))

    def test_a_rule_that_ends_before_it_starts_is_refused(self) -> None:
        with pytest.raises(InvalidRequest, match="ends before"):
            check(ScheduleCondition(rule="FREQ=DAILY;UNTIL=20250101", starts_at=moment("2026-01-01")))

    @pytest.mark.parametrize(
        ("zone", "hint"),
        [
            ("Europe/Berln", "Did you mean Europe/Berlin"),
            ("", "IANA"),
            ("../etc", "IANA"),
            ("Europe", "Europe/"),
            ("\0", "IANA"),
        ],
    )
    def test_an_unknown_zone_is_refused_with_those_that_come_near(self, zone: str, hint: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            check(ScheduleCondition(cron="0 0 * * *", timezone=zone))
        assert hint in str(caught.value)

    def test_times_beyond_all_calendars_are_refused(self) -> None:
        with pytest.raises(InvalidRequest, match="too far"):
            check(ScheduleCondition(at=(datetime(9999, 12, 31, tzinfo=UTC),)))
        with pytest.raises(InvalidRequest, match="hundred years"):
            check(ScheduleCondition(every_seconds=1e300))

    @settings(max_examples=100, deadline=None)
    @given(st.text(alphabet="0123456789*/,-#L?WMONSUJA ", max_size=20))
    def test_any_text_is_a_cron_or_refused(self, text: str) -> None:
        condition = ScheduleCondition(cron=text)
        try:
            check(condition)
        except InvalidRequest:
            return
        assert next_after(condition, after=None, registered_at=LONG_AGO) is not None
