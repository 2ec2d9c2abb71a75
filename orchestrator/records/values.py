"""Typed parameter values as text, and back. The standard library alone: scripts inside an attempt use it too."""

from __future__ import annotations

import json
from typing import Any

TYPES = ("string", "int", "float", "bool", "json", "none")
"""What a parameter's value can be. `json` is a list or an object."""

_EXAMPLES = {"int": "whole number, such as 40", "float": "number, such as 0.5", "json": "JSON, such as [1, 2]"}
_QUOTED_CHARACTERS = 80
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def encode(value: Any) -> tuple[str, str]:  # noqa: ANN401, PLR0911  any value of a user's; a type a line
    """Return a Python value's type and its canonical text.

    Args:
        value: a string, number, boolean, None, or a nest of lists, tuples and dicts of them. Anything else is kept as
            the string that `str` makes of it.

    Returns:
        The type, one of `TYPES`, and the text that `decode` reads back.
    """
    if value is None:
        return "none", ""
    if isinstance(value, bool):
        return "bool", "true" if value else "false"
    if isinstance(value, int):
        return "int", int.__repr__(value)
    if isinstance(value, float):
        return "float", float.__repr__(value)
    if isinstance(value, str):
        return "string", str.__str__(value)
    if isinstance(value, (list, tuple, dict)):
        try:
            return "json", json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            return "string", str(value)
    return "string", str(value)


def decode(kind: str, text: str) -> Any:  # noqa: ANN401  the value's own type
    """Return the Python value of a type's text.

    Raises:
        ValueError: the text is not of that type; the message says what is wanted and what was given.
    """
    if kind == "string":
        return text
    if kind == "none":
        return None if text == "" else text
    if kind == "bool":
        word = _WORDS.get(text.strip().lower())
        if word is None:
            raise ValueError(f"{_quoted(text)} is neither true nor false")
        return word
    try:
        if kind == "int":
            return int(text.strip())
        if kind == "float":
            return float(text.strip())
        if kind == "json":
            return json.loads(text)
    except ValueError:
        raise ValueError(f"{_quoted(text)} is no {_EXAMPLES[kind]}") from None
    raise ValueError(f"{kind!r} is no type; types are {', '.join(TYPES)}")


def coerce(kind: str, text: str) -> tuple[str, str]:
    """Give a text from a command line the type of the value that it replaces.

    A number that is not whole turns an int into a float; a parameter that had no value takes the text as it is.

    Args:
        kind: the type of the reference's value, one of `TYPES`.
        text: what the person typed.

    Returns:
        The type and the canonical text.

    Raises:
        ValueError: the text cannot be read as that type.
    """
    if kind == "none":
        return ("none", "") if text == "" else ("string", text)
    if kind == "int":
        try:
            return encode(decode("int", text))
        except ValueError:
            number = decode("float", text)
            return encode(number)
    value = decode(kind, text)
    return encode(value) if kind != "json" else ("json", json.dumps(value, ensure_ascii=False))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}…")
