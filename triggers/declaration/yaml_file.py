"""A YAML file as plain values, and the line on which each of them stands.

PyYAML's safe loader, with YAML 1.1's surprises taken out: `on`, `off`, `yes` and `no` are words, not truth values,
`22:30` is a text, not a number of minutes, and so is a date. A key that stands twice is an error, not the last one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Place = tuple[str | int, ...]
"""Where a value stands: keys and numbers of items, from the top."""

_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$")
_TAG = "tag:yaml.org,2002:"
_REPLACED = frozenset({f"{_TAG}bool", f"{_TAG}int", f"{_TAG}timestamp"})


class Document(NamedTuple):
    """What a file holds."""

    path: Path
    data: Any
    lines: dict[Place, int]
    """Counted from 1; of a value in a mapping, where its key stands."""

    def where(self, place: Place) -> str:
        """Return file and line of a value, or of the nearest thing around it that has one."""
        while place not in self.lines and place:
            place = place[:-1]
        return f"{self.path}:{self.lines.get(place, 1)}"


def read_yaml(path: Path) -> Document:
    """Return what a file holds.

    Raises:
        InvalidRequest: it cannot be read, is no YAML, or says something twice; the message names the line.
    """
    try:
        import yaml  # noqa: PLC0415  only who reads such files needs it
    except ModuleNotFoundError as error:
        raise InvalidRequest(
            f"Reading {path} needs the package PyYAML, which is not installed here.",
            hint="Install it: pip install 'retrain-orchestrator[scheduler]'",
        ) from error

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012  so it is in the class above
            first: [pair for pair in pairs if pair[0] not in _REPLACED]
            for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    Loader.add_implicit_resolver(f"{_TAG}bool", _BOOL, list("tTfF"))
    Loader.add_implicit_resolver(f"{_TAG}int", _INT, list("-+0123456789"))
    try:
        loader = Loader(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidRequest(f"{path} cannot be read: {reason}.", hint="Name a YAML file in UTF-8.") from error
    try:
        node = loader.get_single_node()
        lines = dict(_lines(node, path=path)) if node is not None else {}
        data = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise InvalidRequest(f"{path}{line} is no YAML: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise InvalidRequest(f"{path} is no YAML: {error}.") from error
    finally:
        loader.dispose()
    return Document(path=path, data=data, lines=lines)


def _lines(node: Any, *, path: Path, place: Place = (), around: tuple[int, ...] = ()) -> Iterator[tuple[Place, int]]:  # noqa: ANN401
    """Yield every place in a tree of PyYAML's nodes with its line.

    Raises:
        InvalidRequest: a mapping has a key twice, or a part holds itself.
    """
    line = node.start_mark.line + 1
    if id(node) in around:
        raise InvalidRequest(f"{path}:{line}: what is anchored here holds itself.")
    within = (*around, id(node))
    if not place:
        yield (), line
    if node.id == "mapping":
        seen: dict[str, int] = {}
        for key, value in node.value:
            line, name = key.start_mark.line + 1, str(key.value)
            if name in seen and key.tag != f"{_TAG}merge":
                raise InvalidRequest(f"{path}:{line}: {name!r} stands on line {seen[name]}, too.")
            seen[name] = line
            yield (*place, name), line
            yield from _lines(value, path=path, place=(*place, name), around=within)
    elif node.id == "sequence":
        for number, item in enumerate(node.value):
            yield (*place, number), item.start_mark.line + 1
            yield from _lines(item, path=path, place=(*place, number), around=within)
