"""From keywords to a schedule: the body of `records.condition.ScheduleCondition`, made of plain values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.errors import InvalidRequest
from triggers.durations import seconds_of
from triggers.sdk.names import one_of
from triggers.sdk.timespec import Spec, recurrence
from triggers.zones import find_zone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

CATCH_UP = ("all", "latest", "none")


class When(NamedTuple):
    """How a person said when, one of these; None is not given."""

    spec: Spec
    cron: str | None = None
    every: float | str | timedelta | None = None
    rule: str | None = None
    at: datetime | Sequence[datetime] | None = None


def schedule_of(  # noqa: PLR0913  one for each keyword
    when: When,
    *,
    timezone: str,
    project: str | None,
    starts_at: datetime | None,
    recurring: bool,
    execute_immediately: bool,
    catch_up: str | None,
) -> dict[str, Any]:
    """Return the condition of a schedule.

    Raises:
        InvalidRequest: nothing or several things say when, or one is wrong.
    """
    condition: dict[str, Any] = {"kind": "schedule", "project": project or "", "timezone": timezone, **_times(when)}
    if "at" in condition:
        condition["at"] = [_aware(moment, timezone=timezone) for moment in condition["at"]]
    if starts_at is not None:
        condition["starts_at"] = _aware(starts_at, timezone=timezone)
    if not recurring:
        condition["once"] = True
    if execute_immediately:
        condition["immediately"] = True
    if catch_up is not None:
        condition["catch_up"] = one_of(catch_up, known=CATCH_UP, field="catch_up")
    return condition


def _times(when: When) -> dict[str, Any]:
    ways: dict[str, object] = {"cron": when.cron, "every": when.every, "rule": when.rule, "at": when.at}
    given = {key: value for key, value in ways.items() if value is not None}
    if any(value is not None for value in when.spec):
        given["minute, hour, day, weekdays, month or year"] = when.spec
    if len(given) > 1:
        raise InvalidRequest(f"Several things say when: {'; '.join(given)}.", hint="Give one of them.")
    if when.every is not None:
        return {"every_seconds": seconds_of(when.every, field="every")}
    if when.at is not None:
        return {"at": [when.at] if isinstance(when.at, datetime) else list(when.at)}
    for key, text in (("cron", when.cron), ("rule", when.rule)):
        if text is not None:
            return {key: text}
    return recurrence(when.spec)


def _aware(moment: object, *, timezone: str) -> str:
    """Return a moment as the API takes it; one without a time zone is in the schedule's."""
    if not isinstance(moment, datetime):
        raise InvalidRequest(f"{moment!r} is no moment.", hint="Give a datetime.datetime.")
    zone = UTC if timezone == "UTC" else find_zone(timezone)  # also where no time zone database is installed
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC).isoformat()
