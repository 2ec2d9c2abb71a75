"""Reads parameters from a user's object, and writes stored ones back into it. Pure but for that object.

What can be connected: a module, a dict, a dataclass, a pydantic model, a namespace, or any object or class with public
attributes. Dicts, dataclasses and models inside it are gone through; their names are joined by `/`. Values are strings,
numbers, booleans, None, paths, enumeration members, dates, times, decimals, UUIDs, and lists, tuples, sets and dicts of
those; whatever else an object holds is neither read nor written, and `left_out` names it.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import json
import re
import sys
import types
import typing
from datetime import date, time
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from orchestrator.records.values import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

Typed = tuple[str, str]
"""A parameter's type and text, as `orchestrator.records.values.encode` makes them."""

_NAME = re.compile(r"[^\x00-\x1f]{1,400}")
_SIMPLE = (str, bool, int, float, type(None))
_SEQUENCES = (list, tuple, set, frozenset)
_AS_TEXT = (PurePath, date, time)
"""Recorded as the text that `str` makes of them; datetimes are dates."""
_FOREIGN_AS_TEXT = (("decimal", "Decimal"), ("uuid", "UUID"))
"""The same, of modules that are there only if the script imported them."""


def section_of(connected: object) -> str:
    """Return the section for an object that was connected without a name."""
    return "Args" if isinstance(connected, argparse.Namespace) else "General"


def read_parameters(connected: object) -> dict[str, Typed]:
    """Return the object's parameters by name, without their section.

    Raises:
        TypeError: it is no object with parameters.
        ValueError: a key of a dict cannot be a parameter's name, or two of them make one name.
    """
    if not _is_connectable(connected):
        raise TypeError(
            f"{type(connected).__name__} has no named values to connect;"
            " give a module, a dict, a dataclass, a pydantic model or an object with attributes"
        )
    found: dict[str, Typed] = {}
    for name, value in _leaves(connected, prefix=""):
        if not _NAME.fullmatch(name) or name in found:
            reason = "stands for two values" if name in found else "is empty, too long or not printable"
            raise ValueError(f"{name!r} cannot be the name of a parameter: it {reason}")
        found[name] = encode(_plain(value))
    return found


def left_out(connected: object) -> dict[str, str]:
    """Return the names of the values that `read_parameters` cannot read, and their types.

    Functions, classes and modules are no values; neither is what a module or a class holds beside plain ones.
    """
    if isinstance(connected, (types.ModuleType, type)):
        return {}
    return {
        name: type(value).__name__
        for name, value in _leaves(connected, prefix="", wanted=lambda value: not _is_plain(value))
        if not callable(value) and not isinstance(value, types.ModuleType)
    }


def write_parameters(connected: object, stored: Mapping[str, Typed]) -> None:
    """Give the object the stored values of the parameters that it has, in the types that it holds them in.

    Args:
        connected: an object that `read_parameters` accepts. Frozen dataclasses and models are changed, too: on an agent
            a task's parameters are the truth.
        stored: by name, without the section.

    Raises:
        ValueError: a text is not of its type, or a model refuses a value.
    """
    _write(connected, stored, prefix="")


def fit(value: Any, like: Any, *, declared: Any = None) -> Any:  # noqa: ANN401  a user's values
    """Return a decoded value in the type of the one that it replaces.

    Args:
        value: as `decode` made it.
        like: the value that it replaces.
        declared: the annotation of the field, where there is one; it decides where `like` is None.
    """
    kinds = _classes(declared) or ([] if like is None else [type(like)])
    if isinstance(value, list) and isinstance(like, _SEQUENCES):
        value = _fit_each(value, like)
    if value is None or type(value) in kinds:
        return value
    for kind in kinds:
        if issubclass(kind, enum.Enum) and isinstance(value, str):
            return kind[value] if value in kind.__members__ else kind(value)
        if _is_text_type(kind) and isinstance(value, str):
            return _from_text(type(like) if isinstance(like, kind) else kind, value)
        if kind is float and type(value) is int:
            return float(value)
        if kind in {tuple, set, frozenset} and isinstance(value, list):
            return kind(value)
    return value


def _fit_each(values: list[Any], like: Collection[Any]) -> list[Any]:
    """Return texts in the type of the elements that they replace, where these have one type."""
    if len({type(each) for each in like}) != 1:
        return values
    element = next(iter(like))
    return [fit(each, element) if isinstance(each, str) else each for each in values]


def _leaves(node: object, *, prefix: str, wanted: Callable[[object], bool] | None = None) -> Iterator[tuple[str, Any]]:
    wanted = _is_plain if wanted is None else wanted
    for key, value in _members(node).items():
        name = f"{prefix}{key}"
        if _is_nested(value):
            yield from _leaves(value, prefix=f"{name}/", wanted=wanted)
        elif wanted(value):
            yield name, value


def _write(node: object, stored: Mapping[str, Typed], *, prefix: str) -> None:
    changes = {}
    for key, value in _members(node).items():
        name = f"{prefix}{key}"
        if _is_nested(value):
            _write(value, stored, prefix=f"{name}/")
        elif name in stored and _is_plain(value) and encode(_plain(value)) != stored[name]:
            changes[key] = decode(*stored[name])
    if changes:
        _store(node, changes)


def _store(node: Any, changes: Mapping[Any, Any]) -> None:  # noqa: ANN401  a user's object
    if isinstance(node, dict):
        node.update({key: fit(value, node[key]) for key, value in changes.items()})
    elif _is_model(node):
        # All at once, so that validators which compare fields see them together.
        fields = type(node).model_fields
        values = {_alias(name, field): changes.get(name, getattr(node, name)) for name, field in fields.items()}
        node.__dict__.update(type(node).model_validate(values).__dict__)
    else:
        hints = _hints(node)
        for name, value in changes.items():
            fitted = fit(value, getattr(node, name), declared=hints.get(name))
            if dataclasses.is_dataclass(node) and not isinstance(node, type):
                object.__setattr__(node, name, fitted)
            else:
                setattr(node, name, fitted)


def _members(node: Any) -> dict[Any, Any]:  # noqa: ANN401  a user's object
    if isinstance(node, dict):
        return dict(node)
    if _is_model(node):
        return {name: getattr(node, name) for name in type(node).model_fields}
    if isinstance(node, type):
        found: dict[Any, Any] = {}
        for base in reversed(node.__mro__[:-1]):
            found |= vars(base)
    elif dataclasses.is_dataclass(node):
        found = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    else:
        found = dict(vars(node))
    return {name: value for name, value in found.items() if not name.startswith("_")}


def _is_connectable(node: object) -> bool:
    if isinstance(node, (dict, types.ModuleType, type)) or _is_nested(node) or _is_model(node):
        return True
    return hasattr(node, "__dict__") and not callable(node) and not _is_simple(node)


def _is_nested(value: object) -> bool:
    if isinstance(value, dict):
        return bool(value)
    return (dataclasses.is_dataclass(value) and not isinstance(value, type)) or _is_model(value)


def _is_model(value: object) -> bool:
    return hasattr(type(value), "__pydantic_validator__") and hasattr(type(value), "model_fields")


def _is_plain(value: object) -> bool:
    if isinstance(value, enum.Enum) or _is_simple(value) or _is_array_scalar(value):
        return True
    if isinstance(value, (*_SEQUENCES, dict)):
        try:
            json.dumps(_plain(value))
        except (TypeError, ValueError):
            return False
        return True
    return False


def _plain(value: Any) -> Any:  # noqa: ANN401, PLR0911  a user's value; a kind a line
    """Return a value as strings, numbers, lists and dicts."""
    if isinstance(value, enum.Enum):
        return value.name
    if _is_text_type(type(value)):
        return str(value)
    if _is_array_scalar(value):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(each) for each in value), key=repr)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value


def _is_simple(value: object) -> bool:
    return isinstance(value, _SIMPLE) or _is_text_type(type(value))


def _is_text_type(kind: type) -> bool:
    foreign = (getattr(sys.modules.get(module), name, None) for module, name in _FOREIGN_AS_TEXT)
    return issubclass(kind, (*_AS_TEXT, *filter(None, foreign)))


def _from_text(kind: type, text: str) -> Any:  # noqa: ANN401  the type's own
    """Read what `str` made of a path, date, time, decimal or UUID.

    Raises:
        ValueError: it cannot be read.
    """
    read: Callable[[str], Any] = getattr(kind, "fromisoformat", kind)
    try:
        return read(text)
    except (ValueError, ArithmeticError):  # the latter is how Decimal says it
        raise ValueError(f"{text!r} is no {kind.__name__}") from None


def _is_array_scalar(value: object) -> bool:
    """Tell whether it is a NumPy scalar, without importing NumPy."""
    return type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item")


def _alias(name: str, field: Any) -> str:  # noqa: ANN401  pydantic is not imported here
    return field.validation_alias if isinstance(field.validation_alias, str) else field.alias or name


def _hints(node: object) -> dict[str, Any]:
    if isinstance(node, types.ModuleType):
        return {}
    try:
        return typing.get_type_hints(node if isinstance(node, type) else type(node))
    except (NameError, TypeError, AttributeError):  # names that exist for type checkers alone
        return {}


def _classes(declared: Any) -> list[type]:  # noqa: ANN401  an annotation
    if isinstance(declared, type) and not typing.get_args(declared):
        return [] if declared is type(None) else [declared]
    origin = typing.get_origin(declared)
    if origin in {typing.Union, types.UnionType}:
        return [kind for each in typing.get_args(declared) for kind in _classes(each)]
    if origin is typing.Annotated:
        return _classes(typing.get_args(declared)[0])
    return [origin] if isinstance(origin, type) else []
