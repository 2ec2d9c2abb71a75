"""From keywords to a condition: the body that `records.condition` describes, made of plain values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest
from triggers.sdk.actions import MAXIMUM, MINIMUM
from triggers.sdk.names import one_of, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    Tags = str | Sequence[str] | None

STATUSES = ("created", "queued", "in_progress", "completed", "failed", "stopped", "published")
"""Values of `records.lifecycle.Status`; a test holds them together."""
_STATUS_WORDS = {"closed": "completed", "aborted": "stopped"}
"""Words for them in scripts that were written for ClearML."""
OUTCOMES = ("launched", "blocked", "failed")
_REGEXP = ("^", "$", "\\", ".*", ".+", "(?", "|")


def subjects(  # noqa: PLR0913  one for each keyword
    *,
    project: str | None,
    name: str | None,
    on_tags: Tags = None,
    required_tags: Tags = None,
    any_tags: Tags = None,
    excluded_tags: Tags = None,
    on_publish: bool | None = None,
    on_archive: bool | None = None,
) -> dict[str, Any]:
    """Return the part that conditions on dataset versions, tasks and models share; what was not asked is left out.

    Raises:
        InvalidRequest: a tag is no text, or the pattern of names is a regular expression.
    """
    found: dict[str, Any] = {"project": project or "", "name": _pattern(name)}
    tags = {"on_tags": on_tags, "required_tags": required_tags, "any_tags": any_tags, "excluded_tags": excluded_tags}
    found |= {key: given for key, value in tags.items() if (given := words(value, field=f"trigger_{key}"))}
    found |= {key: True for key, value in (("on_publish", on_publish), ("on_archive", on_archive)) if value}
    return found


def statuses(given: Tags) -> list[str]:
    """Return the statuses that are meant; ClearML's words are taken.

    Raises:
        InvalidRequest: a task never has such a status.
    """
    found = words(given, field="trigger_on_status")
    return [one_of(_STATUS_WORDS.get(word, word), known=STATUSES, field="trigger_on_status") for word in found]


def metric(
    *, title: str | None, series: str | None, threshold: float | None, sign: str | None
) -> dict[str, Any] | None:
    """Return the bound of a metric, None where none is asked for.

    Args:
        title: `trigger_on_metric`.
        series: `trigger_on_variant`.
        threshold: 0 is a number.
        sign: `max`, `maximum`, `above`, or `min`, `minimum`, `below`; below where it is not given, as with ClearML.

    Raises:
        InvalidRequest: a part is missing or wrong.
    """
    parts = {"trigger_on_metric": title, "trigger_on_variant": series, "trigger_on_threshold": threshold}
    absent = [key for key, value in parts.items() if value is None]
    if len(absent) == len(parts):
        if sign is not None:
            raise InvalidRequest("trigger_on_sign says nothing without a metric.", hint="Give trigger_on_metric, too.")
        return None
    if absent:
        raise InvalidRequest(f"A metric's bound has {', '.join(parts)}.", hint=f"Give {' and '.join(absent)}, too.")
    bound = _finite(threshold)
    if bound is None:
        raise InvalidRequest(f"trigger_on_threshold must be a number, not {threshold!r}.")
    word = one_of(sign or "minimum", known=(*MAXIMUM, *MINIMUM), field="trigger_on_sign")
    side = "above" if word in MAXIMUM else "below"
    return {"title": title, "series": series, "threshold": bound, "sign": side}


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def outcomes(given: Tags) -> list[str]:
    """Return the outcomes of firings that are meant.

    Raises:
        InvalidRequest: there is no such outcome, or none is named.
    """
    found = [one_of(word, known=OUTCOMES, field="on") for word in words(given, field="on")]
    if not found:
        raise InvalidRequest("on names no outcome.", hint=f"Give some of {', '.join(OUTCOMES)}.")
    return found


def _pattern(name: str | None) -> str | None:
    """Return the pattern; a regular expression would silently match nothing."""
    sign = next((sign for sign in _REGEXP if name and sign in name), None)
    if sign is None:
        return name or None
    raise InvalidRequest(
        f"trigger_name {name!r} looks like a regular expression: it holds {sign!r}.",
        hint="It is a shell pattern that the whole name must match, such as sensors-*; write [.] for a dot before *.",
    )
