"""argparse watched from outside, so that a script's arguments are recorded, and replaced on an agent, without a call.

`install` puts a thin layer over `ArgumentParser.parse_known_args`, which all of argparse's ways of parsing go through.
It remembers the last outermost parse; `on_parsed` lets a task see it, whether it happened before or happens later.
"""

from __future__ import annotations

import argparse
import enum
import json
import os
import threading
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest
from orchestrator.records.values import decode, encode
from orchestrator.sdk.attempt import TASK_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Callback = Callable[[dict[str, Any]], dict[str, Any]]

_SECTION = "Args/"
_SCALARS = (bool, int, float, str)
_MISSING = object()


class Parse:
    """One outermost parse: the parsers that took part in it, and the words that typed values were made of."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.namespace = argparse.Namespace()
        self._parsers = [parser]
        self._words: list[tuple[object, str]] = []
        self._optional: list[argparse.Action] = []

    def join(self, parser: argparse.ArgumentParser) -> None:
        """Note that a subcommand's parser took over."""
        self._parsers.append(parser)

    def note(self, value: object, *, word: str) -> None:
        """Remember the word that a value was made of: `str` of a value need not read back."""
        self._words.append((value, word))

    def values(self) -> dict[str, Any]:
        """Return what was parsed by destination: strings, numbers, booleans, None, and lists and dicts of them."""
        plain = {name: self._plain(value) for name, value in vars(self.namespace).items()}
        return {name: value for name, value in plain.items() if value is not _MISSING}

    def replace(self, now: dict[str, Any]) -> None:
        """Put values into the namespace, made by the parser's own types; an unchanged one stays the object it is.

        Raises:
            InvalidRequest: the parser's type or choices refuse a value.
        """
        before = self.values()
        for name, value in now.items():
            if name in before and encode(value) != encode(before[name]):
                setattr(self.namespace, name, self._typed(name, value))

    def excuse(self, parser: argparse.ArgumentParser, *, known: dict[str, Any]) -> None:
        """Let a parser do without required arguments that the task's parameters have; `restore` takes that back."""
        for action in parser._actions:  # noqa: SLF001  argparse offers no other way to its actions
            if action.required and action.dest in known and action.nargs != argparse.PARSER:
                action.required = False
                self._optional.append(action)

    def restore(self) -> None:
        """Make the excused arguments required again."""
        for action in self._optional:
            action.required = True

    def supply(self, known: dict[str, Any]) -> None:
        """Fill in what was excused and did not stand on the command line."""
        for action in self._optional:
            if getattr(self.namespace, action.dest, None) in (None, action.default):
                setattr(self.namespace, action.dest, self._typed(action.dest, known[action.dest]))

    def _plain(self, value: Any) -> Any:  # noqa: ANN401  any value of a script's
        if value is None or type(value) in _SCALARS:
            return value
        for made, word in self._words:
            if made is value:
                return word
        if isinstance(value, enum.Enum):
            return self._plain(value.value)
        if isinstance(value, (list, tuple, set, frozenset)):
            ordered = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
            items = [self._plain(item) for item in ordered]
            return _MISSING if any(item is _MISSING for item in items) else items
        if isinstance(value, dict):
            return {str(key): plain for key, item in value.items() if (plain := self._plain(item)) is not _MISSING}
        return _MISSING if callable(value) or " object at 0x" in str(value) else str(value)

    def _typed(self, name: str, value: Any) -> Any:  # noqa: ANN401  any value of a script's
        """Return a recorded value as the parser would have made it."""
        current = getattr(self.namespace, name, None)
        action = next((each for each in self._actions() if each.dest == name), None)
        make = action.type if action is not None and callable(action.type) else None
        several = isinstance(value, list)
        like = None if several else current
        made = [self._made(item, make=make, like=like, name=name) for item in (value if several else [value])]
        choices: Any = action.choices if action is not None else None
        for item in made if choices is not None else ():
            if item not in choices:
                listed = ", ".join(map(str, choices))
                raise InvalidRequest(f"{_SECTION}{name} cannot be {item!r}.", hint=f"Choose from {listed}.")
        if not several:
            return made[0]
        return type(current)(made) if isinstance(current, (tuple, set, frozenset)) else made

    def _made(self, value: Any, *, make: Any, like: Any, name: str) -> Any:  # noqa: ANN401  any value of a script's
        if value is None or isinstance(value, (list, dict)):
            return value
        if make is None:
            return type(like)(value) if isinstance(like, PurePath) and isinstance(value, str) else value
        if not isinstance(value, str) and make not in _SCALARS:
            if isinstance(value, type(like)):
                return value
            value = encode(value)[1]
        try:
            return make(value)
        except (argparse.ArgumentTypeError, TypeError, ValueError) as error:
            raise InvalidRequest(
                f"{_SECTION}{name} cannot be {value!r}: {error}.", hint="Change the parameter and run the task again."
            ) from error

    def _actions(self) -> list[argparse.Action]:
        """Return the actions of all parsers, those of subcommands first."""
        return [action for parser in reversed(self._parsers) for action in parser._actions]  # noqa: SLF001  as above


class _Watch:
    """What is known of parsing in this process."""

    def __init__(self) -> None:
        self.last: Parse | None = None
        self.callbacks: list[Callback] = []
        self.running = threading.local()

    def current(self) -> Parse | None:
        parse: Parse | None = getattr(self.running, "parse", None)
        return parse

    def finished(self, parse: Parse) -> None:
        self.last = parse
        for callback in self.callbacks:
            parse.replace(callback(parse.values()))


_watch = _Watch()
_parse_known_args = argparse.ArgumentParser.parse_known_args
_get_value = argparse.ArgumentParser._get_value  # noqa: SLF001  where types are applied


def install() -> None:
    """Start watching. Calling it again changes nothing; a script that parses nothing pays nothing."""
    argparse.ArgumentParser.parse_known_args = _watched_parse  # type: ignore[assignment,method-assign]
    argparse.ArgumentParser._get_value = _watched_value  # type: ignore[method-assign]  # noqa: SLF001  as above


def on_parsed(callback: Callback) -> None:
    """Call back with the arguments of the last parse, if there was one, and with those of each that follows.

    Args:
        callback: takes plain values by destination and returns those that hold now. Where they differ, the namespace
            that the script has in hands gets them, in the types of its parser.

    Raises:
        InvalidRequest: the parser refuses a value that the callback returned.
    """
    install()
    _watch.callbacks.append(callback)
    if _watch.last is not None:
        _watch.last.replace(callback(_watch.last.values()))


def _watched_parse(
    self: argparse.ArgumentParser,
    args: Sequence[str] | None = None,
    namespace: Any = None,  # noqa: ANN401  argparse's
) -> tuple[Any, list[str]]:
    outer, known = _watch.current(), _task_arguments()
    parse = outer or Parse(self)
    parse.excuse(self, known=known)
    if outer is not None:
        outer.join(self)
        return _parse_known_args(self, args, namespace)
    _watch.running.parse = parse
    try:
        parse.namespace, rest = _parse_known_args(self, args, namespace)
    finally:
        _watch.running.parse = None
        parse.restore()
    parse.supply(known)
    _watch.finished(parse)
    return parse.namespace, rest


def _watched_value(self: argparse.ArgumentParser, action: argparse.Action, arg_string: str) -> Any:  # noqa: ANN401  argparse's
    value = _get_value(self, action, arg_string)
    parse = _watch.current()
    if parse is not None and value is not None and type(value) not in _SCALARS:
        parse.note(value, word=arg_string)
    return value


def _task_arguments() -> dict[str, Any]:
    """Return the arguments that the task of this attempt has, by destination; none outside an attempt."""
    file = os.environ.get(TASK_FILE)
    if not file:
        return {}
    parameters = json.loads(Path(file).read_text(encoding="utf-8"))["parameters"]
    return {
        each["name"].removeprefix(_SECTION): decode(each["type"], each["value"])
        for each in parameters
        if each["name"].startswith(_SECTION)
    }


install()  # scripts parse between importing Task and Task.init
