"""What clocks on the wall show in a time zone, and the moments at which they show it."""

from __future__ import annotations

import difflib
import zoneinfo
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import tzinfo

_SECOND = timedelta(seconds=1)


def find_zone(name: str) -> zoneinfo.ZoneInfo:
    """Return a time zone by its name in the IANA database.

    Raises:
        InvalidRequest: there is none.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: a directory of the database
        known = sorted(zoneinfo.available_timezones())
        near = difflib.get_close_matches(name, known, n=3)
        if near:
            hint = f"Did you mean {' or '.join(near)}?"
        elif known:
            hint = "Write a name of the IANA database, such as Europe/Berlin."
        else:
            hint = "This machine has no time zones at all: install the package tzdata."
        raise InvalidRequest(f"There is no time zone {name!r}.", hint=hint) from error


def wall_of(moment: datetime, *, zone: tzinfo) -> datetime:
    """Return what clocks show at a moment, to the second and without a zone."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0, microsecond=0)


def wall_before(moment: datetime, *, zone: tzinfo) -> datetime:
    """Return a local time after which all times of `moments_of` that lie after a moment are found."""
    local = moment.astimezone(zone)
    early, late = _passes(local.replace(tzinfo=None), zone=zone)
    # In the first pass of an hour that comes twice, all of that hour lies ahead once more.
    ahead = late - early if early < late and not local.fold else timedelta()
    return wall_of(moment, zone=zone) - ahead - _SECOND


def moments_of(walls: Iterable[datetime], *, zone: tzinfo, elapsed: bool) -> Iterator[datetime]:
    """Yield the moments at which clocks show these times: in UTC, in order, each once.

    Args:
        walls: local times without a zone, in order.
        zone: of the clocks.
        elapsed: where clocks are put forward, a time that is skipped stands for the moment after the gap, and where
            they are put back, one that comes twice stands for the first time. With `elapsed` the one stands for none,
            and the other for both.
    """
    again: deque[datetime] = deque()
    newest: datetime | None = None
    for wall in walls:
        early, late = _passes(wall, zone=zone)
        if late < early:
            if elapsed:
                continue
            early = late = _put_forward(late, early, zone=zone)
        while again and again[0] < early:
            yield (newest := again.popleft())
        if newest is None or early > newest:
            yield (newest := early)
        if elapsed and early < late:
            again.append(late)
    yield from again


def _passes(wall: datetime, *, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the moments of a local time by the offset before and after a change: the second is less in a gap."""
    early, late = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return early, late


def _put_forward(before: datetime, after: datetime, *, zone: tzinfo) -> datetime:
    """Return the moment between two others at which clocks are put forward."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
