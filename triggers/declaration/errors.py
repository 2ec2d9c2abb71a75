"""What is wrong with a declared trigger, and on which line, in words for whoever wrote the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from orchestrator.errors import InvalidRequest
from orchestrator.records.base import Record
from orchestrator.records.trigger import TriggerSpec
from triggers.near_misses import near

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import ValidationError

    from triggers.declaration.yaml_file import Document, Place

EASIER = {
    "debounce_seconds": "debounce",
    "debounce_max_seconds": "debounce_max",
    "cooldown_seconds": "cooldown",
    "limit_execution_seconds": "limit_execution",
    "every_seconds": "every",
    "timeout_seconds": "timeout",
}
"""Fields that a file may call otherwise."""
_SHOWN = 5
_TAGGED = frozenset({"condition", "action"})


def unknown(document: Document, place: Place, *, known: Iterable[str]) -> InvalidRequest:
    """Return the error of a key that means nothing."""
    return InvalidRequest(
        f"{document.where(place)}: there is no {place[-1]!r} here.", hint=near(place[-1], known=known)
    )


def explain(document: Document, place: Place, error: ValidationError) -> InvalidRequest:
    """Return the error of a trigger that is no record: a line for each part that is wrong.

    Args:
        document: the file.
        place: of the trigger in it.
        error: what is wrong.
    """
    found = error.errors(include_url=False, include_input=False)
    lines = [_line(document, place, each) for each in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"… and {len(found) - _SHOWN} more")
    return InvalidRequest("\n".join(dict.fromkeys(lines)))


def _line(document: Document, place: Place, error: Any) -> str:  # noqa: ANN401  a dict of pydantic's
    location: tuple[str | int, ...] = error["loc"]
    # Where one of several kinds is meant, pydantic puts the kind's name into the path.
    within = location[:1] + location[2:] if location[0] in _TAGGED else location
    where = (*place, *within)
    if where not in document.lines and isinstance(where[-1], str):
        where = (*where[:-1], EASIER.get(where[-1], where[-1]))
    path = ".".join(map(str, within))
    if error["type"] == "extra_forbidden":
        reason = f"there is no {path}. {near(within[-1], known=_fields(location))}"
    elif error["type"] == "missing":
        reason = f"{path} is missing."
    elif error["type"].startswith("union_tag"):
        kinds = [str(model.model_fields["kind"].default) for model in _models_at((*location, ""))]
        reason = (
            f"{path}.kind cannot be {error['ctx'].get('tag', '')!r}. {near(error['ctx'].get('tag', ''), known=kinds)}"
        )
    elif error["type"] == "model_attributes_type":
        reason = f"{path} has no parts. Write them below it, as key: value."
    else:
        reason = f"{path}: {error['msg']}."
    return f"{document.where(where)}: {reason}"


def _fields(location: Sequence[str | int]) -> list[str]:
    names = [name for model in _models_at(location) for name in model.model_fields]
    return [EASIER.get(name, name) for name in names]


def _models_at(location: Sequence[str | int]) -> list[type[Record]]:
    """Return the records that may hold what stands at the end of a path."""
    models: list[type[Record]] = [TriggerSpec]
    for part in location[:-1]:
        fields = [model.model_fields[part] for model in models if isinstance(part, str) and part in model.model_fields]
        kinds = [
            model for model in models if "kind" in model.model_fields and model.model_fields["kind"].default == part
        ]
        if fields:
            models = [model for field in fields for model in _models_in(field.annotation)]
        elif kinds:
            models = kinds
    return models


def _models_in(annotation: object) -> list[type[Record]]:
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
