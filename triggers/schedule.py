"""When a schedule is due. Pure: the clock is passed in, and all that is kept is up to when everything is taken care of.

Crons and rules are counted in local time without a zone, by `cronsim` and `dateutil.rrule`, and then put into the zone
(`triggers.zones`): a time that daylight saving skips fires at the first moment after the gap, one that comes twice the
first time. What repeats by the minute or the hour goes on in time that passes instead, as Debian's cron has it: it does
nothing in the gap, and goes on in the hour that comes twice. Those are crons whose minute or hour begins with `*`, and
rules with `FREQ=HOURLY` or `FREQ=MINUTELY`. (`cronsim` with a zone does nearly the same, but passes over times where
clocks are changed by half an hour, as in Australia/Lord_Howe.)

Where a cron names both the day of the month and the day of the week, either is enough; both must hold where one of the
two begins with `*`, as Debian's crontab(5) has it.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import dropwhile, islice, takewhile
from typing import TYPE_CHECKING, NamedTuple

from cronsim import CronSim, CronSimError

from orchestrator.errors import InvalidRequest
from triggers.recurrence import WITHIN_A_DAY, check_parts, last_moment, parts_of, walls_of
from triggers.zones import find_zone, moments_of, wall_before, wall_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from orchestrator.records.condition import ScheduleCondition

_TICK = timedelta(microseconds=1)
_LATE = timedelta(minutes=1)
"""What is older than this is passed over where `catch_up` is none."""
_NARROW = timedelta(hours=1)
_LONGEST_CHANGE = timedelta(days=1, seconds=1)
"""By how much clocks were ever changed at once: Samoa went over the date line."""
_LONGEST_SECONDS = 100 * 366 * 86_400
_YEARS = range(1970, 3000)
_FAR = datetime(3000, 1, 1, tzinfo=UTC)
_FIELDS = 5
_CRON_HINT = "Write minute, hour, day of the month, month and day of the week, such as 30 2 * * MON-FRI."
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class Due(NamedTuple):
    """What is to fire now."""

    fire: list[datetime]
    """In UTC, oldest first."""
    passed_to: datetime
    """Up to when everything is taken care of, fired or passed over: the `last` of the next time."""


def check(condition: ScheduleCondition) -> None:
    """Make sure that a schedule can be kept.

    Raises:
        InvalidRequest: none or several of `cron`, `every_seconds`, `rule` and `at` are given, one of them cannot be
            read, never comes or asks for endless work, or the zone is unknown.
    """
    zone = find_zone(condition.timezone)
    given = [name for name in ("cron", "every_seconds", "rule", "at") if getattr(condition, name) not in {None, ()}]
    if len(given) != 1:
        raise InvalidRequest(
            f"The schedule is given {' and '.join(given) or 'no times'}.",
            hint="Give exactly one of cron, every_seconds, rule and at.",
        )
    for moment in (*condition.at, *((condition.starts_at,) if condition.starts_at else ())):
        if moment.year not in _YEARS:
            raise InvalidRequest(f"{moment.isoformat()} is too far away.", hint="Years are 1970 to 2999.")
    if condition.cron is not None:
        _check_cron(condition.cron)
    elif condition.rule is not None:
        _check_rule(condition.rule, starts_at=condition.starts_at, zone=zone)
    elif condition.every_seconds is not None and condition.every_seconds > _LONGEST_SECONDS:
        raise InvalidRequest("Every so many seconds is less than once in a hundred years.", hint="Use at for one time.")


def next_after(condition: ScheduleCondition, *, after: datetime | None, registered_at: datetime) -> datetime | None:
    """Return the first time after a moment, in UTC; None where there is none.

    Args:
        condition: one that `check` lets pass.
        after: up to when everything is taken care of; None for a schedule that was never asked.
        registered_at: when the trigger was registered first.
    """
    begins = _before(condition, registered_at) if after is None else after
    if condition.once:
        first = _first(condition, registered_at)
        return first if first is not None and first > begins else None
    return next(_times(condition, after=begins, registered_at=registered_at), None)


def due(
    condition: ScheduleCondition, *, last: datetime | None, now: datetime, registered_at: datetime, limit: int
) -> Due:
    """Return which times have come since this was asked last, and up to when all is taken care of then.

    Times count after the moment of registering. That moment is itself one, and the first, where `immediately` is given.
    `once` means the first of all, whether it fires or is passed over. Asked again with `last=passed_to`, no time comes
    twice, whatever the clock does: while it stands before `last`, nothing is due.

    Args:
        condition: one that `check` lets pass.
        last: the `passed_to` of the last time; None the first time.
        now: the database's clock.
        registered_at: when the trigger was registered first.
        limit: most times to fire at once; the others are due when this is asked again.
    """
    begins = (_before(condition, registered_at) if last is None else last).astimezone(UTC)
    now = now.astimezone(UTC)
    if now <= begins or limit < 1:
        return Due([], begins)
    passed_over = max(begins, now - _LATE - _TICK) if condition.catch_up == "none" else begins
    if condition.once:
        first = _first(condition, registered_at)
        return Due([first] if first is not None and passed_over < first <= now else [], now)
    if condition.catch_up == "latest":
        newest = _newest(condition, after=begins, until=now, registered_at=registered_at)
        return Due([] if newest is None else [newest], now)
    times = _times(condition, after=passed_over, until=now, registered_at=registered_at)
    fire = list(islice(takewhile(lambda time: time <= now, times), limit))
    return Due(fire, fire[-1] if len(fire) == limit else now)


def _before(condition: ScheduleCondition, registered_at: datetime) -> datetime:
    """Return up to when nothing is due of a schedule that was never asked."""
    return registered_at - _TICK if condition.immediately else registered_at


def _first(condition: ScheduleCondition, registered_at: datetime) -> datetime | None:
    return next(_times(condition, after=_before(condition, registered_at), registered_at=registered_at), None)


def _newest(
    condition: ScheduleCondition, *, after: datetime, until: datetime, registered_at: datetime
) -> datetime | None:
    """Return the last time of a stretch without going through all of them: by halves that are asked for their first."""
    while until - after > _NARROW:
        middle = after + (until - after) / 2
        time = next(_times(condition, after=middle, until=until, registered_at=registered_at), None)
        if time is not None and time <= until:
            after = max(middle, time - _TICK)
        else:
            until = middle
    times = _times(condition, after=after, until=until, registered_at=registered_at)
    newest = deque(takewhile(lambda time: time <= until, times), maxlen=1)
    return newest[0] if newest else None


def _times(
    condition: ScheduleCondition, *, after: datetime, registered_at: datetime, until: datetime | None = None
) -> Iterator[datetime]:
    """Yield all times after a moment: in UTC, in order, each once.

    Args:
        condition: the schedule.
        after: a moment.
        registered_at: when the trigger was registered first.
        until: the last moment of interest, where there is one: later times may come or be left out.
    """
    after, registered_at = after.astimezone(UTC), registered_at.astimezone(UTC)
    if condition.immediately and after < registered_at:
        yield registered_at
    begins = max(after, registered_at)
    if condition.starts_at is not None:
        begins = max(begins, condition.starts_at.astimezone(UTC) - _TICK)
    if condition.cron is not None:
        yield from _times_of_cron(condition.cron, zone=find_zone(condition.timezone), after=begins)
    elif condition.rule is not None:
        yield from _times_of_rule(condition, after=begins, until=until, registered_at=registered_at)
    elif condition.every_seconds is not None:
        anchor = (condition.starts_at or registered_at).astimezone(UTC)
        yield from _intervals(timedelta(seconds=condition.every_seconds), anchor=anchor, after=begins)
    else:
        yield from (time for time in sorted({at.astimezone(UTC) for at in condition.at}) if time > begins)


def _times_of_cron(cron: str, *, zone: tzinfo, after: datetime) -> Iterator[datetime]:
    minute, hour = cron.split()[:2]
    elapsed = minute.startswith("*") or hour.startswith("*")
    walls = CronSim(cron, wall_before(after, zone=zone))
    return dropwhile(lambda time: time <= after, moments_of(walls, zone=zone, elapsed=elapsed))


def _times_of_rule(
    condition: ScheduleCondition, *, after: datetime, until: datetime | None, registered_at: datetime
) -> Iterator[datetime]:
    if "COUNT" in parts_of(condition.rule or ""):
        return (time for time in _counted(condition, registered_at) if time > after)
    return _endless(condition, registered_at=registered_at, after=after, until=until)


@lru_cache(maxsize=256)
def _counted(condition: ScheduleCondition, registered_at: datetime) -> tuple[datetime, ...]:
    """Return all times of a rule with COUNT; those between `starts_at` and the moment of registering count too."""
    after = registered_at if condition.starts_at is None else condition.starts_at.astimezone(UTC) - _TICK
    times = _endless(condition, registered_at=registered_at, after=after, until=_FAR)
    return tuple(islice(times, int(parts_of(condition.rule or "")["COUNT"])))


def _endless(
    condition: ScheduleCondition, *, registered_at: datetime, after: datetime, until: datetime | None
) -> Iterator[datetime]:
    """Yield the times of a rule up to its UNTIL, whatever its COUNT."""
    parts = parts_of(condition.rule or "")
    zone = find_zone(condition.timezone)
    walls = walls_of(
        parts,
        begins=wall_of(condition.starts_at or registered_at, zone=zone),
        after=wall_before(after, zone=zone),
        until=None if until is None else wall_of(until, zone=zone) + _LONGEST_CHANGE,
    )
    times = moments_of(walls, zone=zone, elapsed=parts["FREQ"] in WITHIN_A_DAY)
    later = dropwhile(lambda time: time <= after, times)
    if "UNTIL" not in parts:
        return later
    last = last_moment(parts["UNTIL"], zone=zone)
    return takewhile(lambda time: time <= last, later)


def _intervals(every: timedelta, *, anchor: datetime, after: datetime) -> Iterator[datetime]:
    number = max((after - anchor) // every + 1, 0)
    while True:
        yield anchor + number * every
        number += 1


def _check_cron(cron: str) -> None:
    if macro := _MACROS.get(cron.strip().lower()):
        raise InvalidRequest(f"{cron!r} has not five fields.", hint=f"Write {macro}")
    if (fields := len(cron.split())) != _FIELDS:
        raise InvalidRequest(f"{cron!r} has {fields} fields, not five.", hint=_CRON_HINT)
    try:
        walls = CronSim(cron, datetime(2024, 1, 1))  # noqa: DTZ001  local time; any day will do
    except CronSimError as error:
        raise InvalidRequest(f"{cron!r} is no cron: {str(error).lower()}.", hint=_CRON_HINT) from error
    if next(walls, None) is None:
        raise InvalidRequest(f"{cron!r} never comes.", hint="No day within fifty years is all that it asks for.")


def _check_rule(rule: str, *, starts_at: datetime | None, zone: tzinfo) -> None:
    parts = parts_of(rule)
    check_parts(parts, begins=None if starts_at is None else wall_of(starts_at, zone=zone))
    if starts_at is not None and "UNTIL" in parts and last_moment(parts["UNTIL"], zone=zone) < starts_at:
        raise InvalidRequest("The rule ends before it begins.", hint="Its UNTIL must not lie before starts_at.")
