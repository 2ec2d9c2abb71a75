"""`minute`, `hour`, `day`, `weekdays`, `month` and `year` as ClearML documents them, as a recurrence.

The longest of them says how often, the shorter ones when: `hour=22, minute=30, day=1` is daily at 22:30, `hour=1,
minute=30` hourly at half past. On its own each is the time between two runs. A year of the calendar is one moment.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.errors import InvalidRequest
from triggers.sdk.names import one_of, words

if TYPE_CHECKING:
    from collections.abc import Sequence

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LONGEST_INTERVAL = 100
"""Years up to this are an interval, as with ClearML; from `_FIRST_YEAR` on they are the calendar's."""
_FIRST_YEAR = 2001
_ALWAYS_THERE = 28
"""Days that every month has."""
_RANGES = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12)}
_HOURS, _MINUTES = 24, 60


class Spec(NamedTuple):
    """What a person gave; None is not given."""

    minute: int | None = None
    hour: int | None = None
    day: int | None = None
    weekdays: Sequence[str] | None = None
    month: int | None = None
    year: int | None = None


def recurrence(given: Spec) -> dict[str, Any]:
    """Return the part of a schedule's condition that says when: `every_seconds`, `rule`, or `at` with a local time.

    Raises:
        InvalidRequest: a number is none, is out of range, or the combination says nothing.
    """
    numbers = {name: _whole(getattr(given, name), field=name) for name in ("minute", "hour", "day", "month", "year")}
    spec = Spec(**numbers, weekdays=[one_of(day, known=WEEKDAYS, field="weekdays") for day in _days(given.weekdays)])
    if spec.weekdays:
        return _on_weekdays(spec)
    longest = next((name for name in ("year", "month", "day", "hour", "minute") if numbers[name] is not None), None)
    if longest is None:
        raise InvalidRequest(
            "Nothing says when.", hint="Give minute, hour, day, weekdays, month or year, or cron, every, rule or at."
        )
    if longest == "year" and (spec.year or 0) >= _FIRST_YEAR:
        return {"at": [_moment(spec)]}
    interval = _interval(numbers[longest], field=longest)
    if longest == "minute":
        return {"every_seconds": 60.0 * interval}
    return {"rule": _rule(longest, spec, interval=interval)}


def _rule(longest: str, spec: Spec, *, interval: int) -> str:
    minute = _at("minute", spec.minute, default=0)
    if longest == "hour":
        return _joined(FREQ="HOURLY", INTERVAL=interval, BYMINUTE=minute)
    hour = _at("hour", spec.hour, default=0)
    if longest == "day":
        return _joined(FREQ="DAILY", INTERVAL=interval, BYHOUR=hour, BYMINUTE=minute)
    days = _month_days(_at("day", spec.day, default=1))
    if longest == "month":
        return _joined(FREQ="MONTHLY", INTERVAL=interval, **days, BYHOUR=hour, BYMINUTE=minute)
    month = _at("month", spec.month, default=1)
    return _joined(FREQ="YEARLY", INTERVAL=interval, BYMONTH=month, **days, BYHOUR=hour, BYMINUTE=minute)


def _on_weekdays(spec: Spec) -> dict[str, Any]:
    if spec.day not in (None, 0, 1):
        raise InvalidRequest(f"weekdays and day={spec.day} say different things.", hint="With weekdays leave day out.")
    days = ",".join(day[:2].upper() for day in spec.weekdays or ())
    if spec.year is not None and spec.year >= _FIRST_YEAR:
        first = WEEKDAYS.index((spec.weekdays or ())[0])
        moment = _moment(spec)
        return {"at": [moment + timedelta(days=(first - moment.weekday()) % len(WEEKDAYS))]}
    minute = _at("minute", spec.minute, default=0)
    if spec.year is not None or spec.month is not None:
        # The first of each in the month.
        firsts = {"BYDAY": ",".join(f"1{day}" for day in days.split(","))}
        hour = _at("hour", spec.hour, default=0)
        if spec.year is None:
            interval = _interval(spec.month, field="month")
            return {"rule": _joined(FREQ="MONTHLY", INTERVAL=interval, **firsts, BYHOUR=hour, BYMINUTE=minute)}
        month, interval = _at("month", spec.month, default=1), _interval(spec.year, field="year")
        times = {"BYHOUR": hour, "BYMINUTE": minute}
        return {"rule": _joined(FREQ="YEARLY", INTERVAL=interval, BYMONTH=month, **firsts, **times)}
    return {"rule": _weekly(spec, days=days, minute=minute)}


def _weekly(spec: Spec, *, days: str, minute: int) -> str:
    if spec.day is not None or (spec.hour is None and spec.minute is None):
        return _joined(FREQ="WEEKLY", BYDAY=days, BYHOUR=_at("hour", spec.hour, default=0), BYMINUTE=minute)
    if spec.hour is not None:
        # Counted from each midnight, so that it does not hang on the hour in which it was registered.
        hours = ",".join(map(str, range(0, _HOURS, _interval(spec.hour, field="hour"))))
        return _joined(FREQ="WEEKLY", BYDAY=days, BYHOUR=hours, BYMINUTE=minute)
    interval = _interval(spec.minute, field="minute")
    if _MINUTES % interval == 0:
        hours, minutes = ",".join(map(str, range(_HOURS))), ",".join(map(str, range(0, _MINUTES, interval)))
        return _joined(FREQ="WEEKLY", BYDAY=days, BYHOUR=hours, BYMINUTE=minutes)
    return _joined(FREQ="MINUTELY", INTERVAL=interval, BYDAY=days)


def _month_days(day: int) -> dict[str, object]:
    """Return a day of the month; of one that a month does not have, its last day."""
    if day <= _ALWAYS_THERE:
        return {"BYMONTHDAY": day}
    return {"BYMONTHDAY": ",".join(map(str, range(_ALWAYS_THERE, day + 1))), "BYSETPOS": -1}


def _moment(spec: Spec) -> datetime:
    """Return the local time of a year of the calendar."""
    year, month = spec.year or 0, _at("month", spec.month, default=1)
    day = _at("day", spec.day or None, default=1)
    hour, minute = _at("hour", spec.hour, default=0), _at("minute", spec.minute, default=0)
    try:
        return datetime(year, month, day, hour, minute)  # noqa: DTZ001  the condition has its time zone
    except ValueError as error:
        raise InvalidRequest(f"There is no day {year}-{month:02}-{day:02}.") from error


def _joined(**parts: object) -> str:
    found = ((key, value) for key, value in parts.items() if (key, value) != ("INTERVAL", 1))
    return ";".join([*(f"{key}={value}" for key, value in found), "BYSECOND=0"])


def _days(weekdays: Sequence[str] | None) -> list[str]:
    return list(dict.fromkeys(day.lower() for day in words(weekdays, field="weekdays")))


def _interval(value: int | None, *, field: str) -> int:
    if value and value > 0 and not (field == "year" and value > _LONGEST_INTERVAL):
        return value
    hint = {
        "hour": "For a time of the day give day=1, too.",
        "minute": "For the full hour give hour=1, too.",
        "year": f"1 to {_LONGEST_INTERVAL} years between runs, or a year from {_FIRST_YEAR} on.",
    }
    raise InvalidRequest(f"{field}={value} does not say how often.", hint=hint.get(field, "Give 1 or more."))


def _at(field: str, value: int | None, *, default: int) -> int:
    low, high = _RANGES[field]
    if value is None:
        return default
    if not low <= value <= high:
        raise InvalidRequest(f"{field} is {low} to {high} here, not {value}.", hint="The longest part says how often.")
    return value


def _whole(value: Any, *, field: str) -> int | None:  # noqa: ANN401  what a person wrote
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise InvalidRequest(f"{field} must be a whole number, not {value!r}.")
    return int(value)
