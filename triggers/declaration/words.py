"""What is easier to write than the records' own words, turned into them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest
from orchestrator.records.values import encode
from triggers.durations import seconds_of
from triggers.zones import find_zone

if TYPE_CHECKING:
    from triggers.declaration.yaml_file import Document, Place

Item = dict[str, Any]

_LENGTHS = ("debounce", "debounce_max", "cooldown", "limit_execution")
_LISTS = {
    "condition": {"on_tags", "required_tags", "any_tags", "excluded_tags", "on_status", "on_aliases", "on", "at"},
    "action": {"tags", "to"},
}


def in_words_of_records(item: Item, *, document: Document, place: Place) -> Item:
    """Return one trigger as `TriggerSpec` has it, whatever else is wrong with it.

    Args:
        item: what stands in the file; it stays as it is.
        document: the file.
        place: of the trigger in it.

    Raises:
        InvalidRequest: a length of time is none; the message names the line.
    """
    spec = dict(item)
    for key in _LENGTHS:
        _measure(spec, key, document=document, place=place)
    for key, lists in _LISTS.items():
        if isinstance(spec.get(key), dict):
            part = spec[key] = dict(spec[key])
            for name in lists & part.keys():
                part[name] = [part[name]] if isinstance(part[name], str) else part[name]
    condition, action = spec.get("condition"), spec.get("action")
    if isinstance(condition, dict):
        _measure(condition, "every", document=document, place=(*place, "condition"))
        _set_moments(condition)
    if isinstance(action, dict):
        _measure(action, "timeout", document=document, place=(*place, "action"))
        if isinstance(action.get("steps"), list):
            action["steps"] = [_clone(step) for step in action["steps"]]
        spec["action"] = _clone(action)
    return spec


def _measure(part: Item, name: str, *, document: Document, place: Place) -> None:
    """Replace a length of time by the same in seconds."""
    if name not in part:
        return
    try:
        part[f"{name}_seconds"] = seconds_of(part.pop(name), field=name)
    except InvalidRequest as error:
        raise InvalidRequest(f"{document.where((*place, name))}: {error.message}", hint=error.hint) from error


def _set_moments(condition: Item) -> None:
    for key in ("at", "starts_at"):
        value = condition.get(key)
        if isinstance(value, list):
            condition[key] = [_moment(each, condition) for each in value]
        elif isinstance(value, str):
            condition[key] = _moment(value, condition)


def _clone(action: Any) -> Any:  # noqa: ANN401  what stands in the file
    if not isinstance(action, dict):
        return action
    action = dict(action)
    if isinstance(action.get("parameters"), dict):
        action["parameters"] = {str(key): encode(value)[1] for key, value in action["parameters"].items()}
    if isinstance(action.get("tags"), str):
        action["tags"] = [action["tags"]]
    return action


def _moment(text: Any, condition: Item) -> Any:  # noqa: ANN401  what stands in the file
    try:
        moment = datetime.fromisoformat(text)
        zone = UTC if moment.tzinfo else find_zone(str(condition.get("timezone", "UTC")))
    except (TypeError, ValueError, InvalidRequest):
        return text  # whoever validates says what is wrong with it
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC).isoformat()
