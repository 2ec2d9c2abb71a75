"""Recurrence rules of RFC 5545, in local time without a zone.

`dateutil.rrule` counts, but step by step from the beginning of a rule: through years of minutes to find the next one.
So the beginning is moved on by whole intervals first, and what it says of the day and the hour is written out as parts
of the rule. Of a rule that never comes it would go through all years up to 9999: those are found out before. COUNT and
UNTIL are left to the caller, who knows the zone.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dateutil.rrule import rrulestr

from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import tzinfo

WITHIN_A_DAY = frozenset({"HOURLY", "MINUTELY"})

_UNITS = {
    "YEARLY": timedelta(days=366),
    "MONTHLY": timedelta(days=31),
    "WEEKLY": timedelta(weeks=1),
    "DAILY": timedelta(days=1),
    "HOURLY": timedelta(hours=1),
    "MINUTELY": timedelta(minutes=1),
}
_LONGEST_INTERVAL = 25 * _UNITS["YEARLY"]
_MOST_TIMES = 10_000
_WEEK_MINUTES = _UNITS["WEEKLY"] // _UNITS["MINUTELY"]

_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_SIGNED = {"BYMONTHDAY": (1, 31), "BYYEARDAY": (1, 366), "BYWEEKNO": (1, 53), "BYSETPOS": (1, 366)}
_NUMBERS = {"BYMONTH": (1, 12), "BYHOUR": (0, 23), "BYMINUTE": (0, 59), "BYSECOND": (0, 59)} | _SIGNED
_OF_THE_DAY = ("BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY")
_BY_THE_DAY = frozenset({"DAILY", *WITHIN_A_DAY})
_PARTS = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "WKST", *_NUMBERS})
_NUMBER = re.compile(r"[+-]?\d{1,3}", re.ASCII)
_DAY = re.compile(rf"([+-]?\d{{1,2}})?({'|'.join(_WEEKDAYS)})", re.ASCII)
_UNTIL = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?", re.ASCII)
_HINT = "Write it as RFC 5545 has it, such as FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=8;BYMINUTE=0;BYSECOND=0."


def parts_of(rule: str) -> dict[str, str]:
    """Return the parts of a rule by name, in upper case.

    Raises:
        InvalidRequest: a part is unknown or out of bounds, or to follow the rule would be long work.
    """
    parts: dict[str, str] = {}
    for part in rule.strip().upper().removeprefix("RRULE:").rstrip(";").split(";"):
        name, _, value = part.partition("=")
        if not value or name not in _PARTS or name in parts:
            raise InvalidRequest(f"{part!r} is no part of a rule, or is given twice.", hint=_HINT)
        parts[name] = value
    frequency = parts.get("FREQ")
    if frequency == "SECONDLY":
        raise InvalidRequest("A rule that repeats by the second is too much.", hint="Give every_seconds instead.")
    if frequency not in _UNITS:
        raise InvalidRequest(f"FREQ={frequency} is not known.", hint=f"There are {', '.join(_UNITS)}.")
    for name, value in parts.items():
        _check_part(name, value, frequency=frequency)
    _check_together(parts)
    return parts


def check_parts(parts: Mapping[str, str], *, begins: datetime | None) -> None:
    """Make sure that a rule comes at all.

    Args:
        parts: of the rule.
        begins: the local time that it is counted from, where that is known.

    Raises:
        InvalidRequest: it does not.
    """
    start = begins or datetime(2024, 1, 1)  # noqa: DTZ001  any local time
    after = start - timedelta(seconds=1)
    # From a beginning that nobody knows yet, an interval may hit or miss; without it the rule comes or never does.
    asked = [{name: value for name, value in parts.items() if begins or name != "INTERVAL"}]
    if parts["FREQ"] in _BY_THE_DAY and any(name in parts for name in _OF_THE_DAY):
        # Whether there is such a day at all is found out sooner by years than by days or minutes.
        days = {name: value for name, value in parts.items() if name in {*_OF_THE_DAY, "BYMONTH"}}
        asked.insert(0, {"FREQ": "YEARLY", **days})
    if not all(next(walls_of(each, begins=start, after=after), None) for each in asked):
        raise InvalidRequest("The rule never comes.", hint="No time is all that it asks for.")


def walls_of(
    parts: Mapping[str, str], *, begins: datetime, after: datetime, until: datetime | None = None
) -> Iterator[datetime]:
    """Yield the local times of a rule after one of them; neither COUNT nor UNTIL is asked.

    Args:
        parts: of the rule.
        begins: the local time that it is counted from.
        after: a local time.
        until: the last local time of interest; None for no end.
    """
    if not _comes(parts, begins=begins):
        return iter(())
    spelled_out = _spelled_out(parts, begins=begins)
    text = ";".join(f"{name}={value}" for name, value in spelled_out.items() if name not in {"COUNT", "UNTIL"})
    if until is not None:
        text += f";UNTIL={until:%Y%m%dT%H%M%S}"
    walls: Iterable[datetime] = rrulestr(text, dtstart=_moved_on(spelled_out, begins=begins, after=after))
    return (wall for wall in walls if wall > after)


def last_moment(until: str, *, zone: tzinfo) -> datetime:
    """Return the moment up to which a rule goes, in UTC; a day without a time counts whole.

    Raises:
        InvalidRequest: it is no date, and no time as RFC 5545 writes it.
    """
    match = _UNTIL.fullmatch(until)
    hint = "Write 20261231T235959Z for a time in UTC, 20261231T235959 or 20261231 for local ones."
    if match is None:
        raise InvalidRequest(f"UNTIL={until} is no time.", hint=hint)
    try:
        wall = datetime.strptime(match[1] + (match[2] or "235959"), "%Y%m%d%H%M%S")  # noqa: DTZ007  the zone follows
        return wall.replace(tzinfo=UTC if match[3] else zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"UNTIL={until} is no time.", hint=hint) from error


def _check_part(name: str, value: str, *, frequency: str) -> None:
    """Check one part alone.

    Raises:
        InvalidRequest: its value is not one.
    """
    if name in _NUMBERS:
        _check_numbers(name, value)
    elif name == "BYDAY":
        days = [_DAY.fullmatch(each) for each in value.split(",")]
        if not all(days):
            raise InvalidRequest(f"BYDAY={value} is no part of a rule.", hint=f"Days are {', '.join(_WEEKDAYS)}.")
        if frequency not in {"YEARLY", "MONTHLY"} and any(day and day[1] for day in days):
            raise InvalidRequest(f"BYDAY={value} does not go with FREQ={frequency}.", hint="Use FREQ=MONTHLY.")
    elif name == "WKST" and value not in _WEEKDAYS:
        raise InvalidRequest(f"WKST={value} is no part of a rule.", hint=f"Days are {', '.join(_WEEKDAYS)}.")
    elif name in {"INTERVAL", "COUNT"}:
        most = _LONGEST_INTERVAL // _UNITS[frequency] if name == "INTERVAL" else _MOST_TIMES
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= most):
            raise InvalidRequest(f"{name}={value} cannot be kept.", hint=f"It is a number from 1 to {most}.")


def _check_numbers(name: str, value: str) -> None:
    """Check a list of numbers.

    Raises:
        InvalidRequest: one of them is none, or out of bounds.
    """
    least, most = _NUMBERS[name]
    signed = name in _SIGNED
    for each in value.split(","):
        if not _NUMBER.fullmatch(each) or not least <= (abs(int(each)) if signed else int(each)) <= most:
            bounds = f"{least} to {most}{', or with a minus sign from the end' if signed else ''}"
            raise InvalidRequest(f"{name}={value} is no part of a rule.", hint=f"Its numbers are {bounds}.")


def _check_together(parts: Mapping[str, str]) -> None:
    """Check that parts go together and that no step of the rule is long work.

    Raises:
        InvalidRequest: they do not.
    """
    frequency = parts["FREQ"]
    if "UNTIL" in parts:
        last_moment(parts["UNTIL"], zone=UTC)
    if {"COUNT", "UNTIL"} <= set(parts):
        raise InvalidRequest("A rule has COUNT or UNTIL, not both.", hint="Leave one of them out.")
    if "," in parts.get("BYSECOND", ""):
        raise InvalidRequest("BYSECOND names more than one second.", hint="Give every_seconds instead.")
    if frequency in WITHIN_A_DAY and "BYSETPOS" in parts:
        raise InvalidRequest(f"BYSETPOS does not go with FREQ={frequency}.", hint="Use FREQ=DAILY with BYHOUR.")
    if "BYWEEKNO" in parts and frequency != "YEARLY":
        raise InvalidRequest(f"BYWEEKNO does not go with FREQ={frequency}.", hint="Use FREQ=YEARLY.")
    if "BYSETPOS" in parts and frequency in {"DAILY", "WEEKLY"}:
        named = ("BYDAY", "BYHOUR", "BYMINUTE") if frequency == "WEEKLY" else ("BYHOUR", "BYMINUTE")
        count = math.prod(parts.get(name, "").count(",") + 1 for name in named)
        if all(abs(int(place)) > count for place in parts["BYSETPOS"].split(",")):
            raise InvalidRequest("The rule never comes.", hint=f"BYSETPOS is one of the {count} times of a period.")


def _comes(parts: Mapping[str, str], *, begins: datetime) -> bool:
    """Tell whether the intervals of a rule ever meet its weekdays, hours and minutes; they come round within a week."""
    frequency, interval = parts["FREQ"], int(parts.get("INTERVAL", "1"))
    if frequency not in _BY_THE_DAY or interval == 1:
        return True
    step = interval * _UNITS[frequency]
    days = parts.get("BYDAY", ",".join(_WEEKDAYS)).split(",")
    hours = _filter(parts, "BYHOUR") if frequency in WITHIN_A_DAY else None
    minutes = _filter(parts, "BYMINUTE") if frequency == "MINUTELY" else None
    for number in range(math.lcm(step // _UNITS["MINUTELY"], _WEEK_MINUTES) * _UNITS["MINUTELY"] // step):
        wall = begins + number * step % _UNITS["WEEKLY"]
        if (
            _WEEKDAYS[wall.weekday()] in days
            and (hours is None or wall.hour in hours)
            and (minutes is None or wall.minute in minutes)
        ):
            return True
    return False


def _filter(parts: Mapping[str, str], name: str) -> set[int] | None:
    """Return the numbers that a part lets pass; None where it is not given."""
    return {int(each) for each in parts[name].split(",")} if name in parts else None


def _spelled_out(parts: Mapping[str, str], *, begins: datetime) -> dict[str, str]:
    """Return the parts of a rule with those that its beginning gives, as RFC 5545 has it."""
    frequency = parts["FREQ"]
    given: dict[str, str] = {"BYSECOND": str(begins.second)}
    if frequency != "MINUTELY":
        given["BYMINUTE"] = str(begins.minute)
        if frequency != "HOURLY":
            given["BYHOUR"] = str(begins.hour)
    if not any(name in parts for name in _OF_THE_DAY):
        if frequency == "YEARLY":
            given |= {"BYMONTH": str(begins.month), "BYMONTHDAY": str(begins.day)}
        elif frequency == "MONTHLY":
            given["BYMONTHDAY"] = str(begins.day)
        elif frequency == "WEEKLY":
            given["BYDAY"] = _WEEKDAYS[begins.weekday()]
    return {**given, **parts}


def _moved_on(parts: Mapping[str, str], *, begins: datetime, after: datetime) -> datetime:
    """Return a later beginning with the same times from `after` on.

    It lies a whole number of intervals after the start of that in which `begins` lies, and at least one year, month,
    week, … before `after`.
    """
    frequency, interval = parts["FREQ"], int(parts.get("INTERVAL", "1"))
    midnight = begins.replace(hour=0, minute=0, second=0)
    if frequency == "YEARLY":
        years = (after.year - begins.year - 1) // interval * interval
        return begins if years <= 0 else midnight.replace(year=begins.year + years, month=1, day=1)
    if frequency == "MONTHLY":
        passed = (after.year - begins.year) * 12 + after.month - begins.month
        months = (passed - 1) // interval * interval
        year, month = divmod(begins.year * 12 + begins.month - 1 + months, 12)
        return begins if months <= 0 else midnight.replace(year=year, month=month + 1, day=1)
    if frequency == "WEEKLY":
        into_week = (begins.weekday() - _WEEKDAYS.index(parts.get("WKST", "MO"))) % 7
        base = midnight - timedelta(days=into_week)
    else:
        base = {"DAILY": midnight, "HOURLY": begins.replace(minute=0, second=0)}.get(
            frequency, begins.replace(second=0)
        )
    unit = _UNITS[frequency]
    intervals = (after - base - unit) // (unit * interval)
    return begins if intervals <= 0 else base + intervals * interval * unit
