"""`${dataset.id}` and its like, anywhere inside any string. Pure: names are checked when a trigger is registered.

`$$` stands for one `$`; a `$` before anything else stands for itself.
"""

from __future__ import annotations

import difflib
import re
from datetime import UTC
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest, UnknownTemplateName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.records.event import Event
    from orchestrator.records.trigger import Trigger

NAMES = (
    "dataset.id",
    "dataset.name",
    "dataset.project",
    "dataset.version",
    "dataset.tags",
    "dataset.file_count",
    "dataset.size_bytes",
    "event.id",
    "event.time",
    "event.type",
    "trigger.name",
    "trigger.id",
)
"""What a template may name."""

_PIECE = re.compile(r"\$(?:\$|\{(?P<name>[^}]*)(?P<end>\}?))")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def names(text: str) -> list[str]:
    """Return the names in a template in the order in which they appear, unknown ones too."""
    return [piece["name"] for piece in _PIECE.finditer(text) if piece["name"] is not None]


def check(text: str) -> None:
    """Make sure that a template can be filled when its trigger fires.

    Raises:
        UnknownTemplateName: it names something that does not exist, or a `${` has no `}`; the hint lists the names
            that come near and all that exist.
    """
    for piece in _PIECE.finditer(text):
        if piece["name"] is not None:
            _require(piece, known=NAMES)


def check_line(text: str) -> None:
    """Make sure that a template can be filled and that what comes out is one line, as a name or a tag must be.

    Raises:
        UnknownTemplateName: see `check`.
        InvalidRequest: it holds a line break or another control character; no value that is filled in does.
    """
    check(text)
    if _CONTROL.search(text):
        raise InvalidRequest(f"{text!r} holds a control character.", hint="Write one line of plain text.")


def refuse(text: str, *, field: str) -> None:
    """Make sure that a text that is never filled looks like no template.

    Raises:
        InvalidRequest: it holds `${`.
    """
    if "${" in text:
        raise InvalidRequest(
            f"The {field} {text!r} holds a template, which is not filled there.",
            hint="Names, tags and parameters may hold templates.",
        )


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return the text with every `${name}` replaced by its value and every `$$` by `$`. Values are taken literally.

    Args:
        text: the template.
        values: name to value, as `values_of` makes them.

    Raises:
        UnknownTemplateName: the template names something that has no value here.
    """

    def value(piece: re.Match[str]) -> str:
        if piece["name"] is None:
            return "$"
        _require(piece, known=values)
        return values[piece["name"]]

    return _PIECE.sub(value, text)


def values_of(event: Event, trigger: Trigger) -> dict[str, str]:
    """Return what every name of `NAMES` stands for when this trigger fires on this event of a dataset version."""
    data = event.data
    return {
        "dataset.id": event.subject,
        "dataset.name": data["name"],
        "dataset.project": event.project,
        "dataset.version": data["version"],
        "dataset.tags": ",".join(data["tags"]),
        "dataset.file_count": str(data["file_count"]),
        "dataset.size_bytes": str(data["size_bytes"]),
        "event.id": str(event.id),
        "event.time": event.at.astimezone(UTC).isoformat(),
        "event.type": event.type,
        "trigger.name": trigger.name,
        "trigger.id": trigger.id,
    }


def _require(piece: re.Match[str], *, known: Mapping[str, str] | tuple[str, ...]) -> None:
    name = piece["name"]
    if not piece["end"]:
        raise UnknownTemplateName(
            f"{piece[0]!r} has no closing brace.", hint="Write ${dataset.id}, or $$ for a dollar sign."
        )
    if name in known:
        return
    near = [f"${{{match}}}" for match in difflib.get_close_matches(name, known, n=3)]
    guess = f"Did you mean {' or '.join(near)}? " if near else ""
    raise UnknownTemplateName(
        f"${{{name}}} names nothing.",
        hint=f"{guess}Known are {', '.join(known)}; $$ stands for a dollar sign.",
    )
