"""Python functions as actions and as gates: what they are given, and what becomes of what they return.

A function is called with what its parameters ask for, by their names:

- `dataset_id`, `task_id`, `model_id`: the id of the newest event's dataset version, task or model version; None where
  no event is about one. So a function that was written for ClearML's TriggerScheduler is called as it was there.
- any other parameter without a default: the `EventBatch`, with all events and the firing's id. There is one at most.
- no parameters: nothing. So is one that was written for ClearML's TaskScheduler.

It is called at least once: where the process dies in the call, or the call fails, it is called again, with the same
`EventBatch.firing_id`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import traceback
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest, NotFound, OrchestratorError
from triggers.texts import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from triggers.events import EventBatch

IDS = ("dataset_id", "task_id", "model_id")
"""Parameters that get an id."""
MOST_CHARACTERS = 10_000
"""Of what a function returns, as JSON; what is longer is kept as a text that is cut."""
_VARIADIC = frozenset({inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD})
_EVENTS = inspect.Parameter("events", inspect.Parameter.POSITIONAL_ONLY)


class FunctionFailed(OrchestratorError):
    """A function of a user raised something."""

    code = "function_failed"


class Functions:
    """The functions that this process can call, by name.

    Args:
        functions: name to function.

    Raises:
        InvalidRequest: one cannot be called, or needs more than it can be given.
    """

    def __init__(self, functions: Mapping[str, Callable[..., object]] | None = None) -> None:
        self._functions = dict(functions or {})
        self._wanted = {name: _wanted(name, function) for name, function in self._functions.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in order."""
        return tuple(sorted(self._functions))

    def call(self, name: str, batch: EventBatch) -> Any:  # noqa: ANN401  whatever it returns
        """Call a function, a coroutine function too, and return what it returns.

        Raises:
            NotFound: it is not here.
            FunctionFailed: it raised something; the message is the last line of its traceback.
        """
        if name not in self._functions:
            raise NotFound(
                f"No function {name!r} is registered in this process.",
                hint="Run the script that registers it: it serves the trigger, too.",
            )
        arguments, keywords = [], {}
        for wanted in self._wanted[name]:
            value = getattr(batch, wanted.name) if wanted.name in IDS else batch
            if wanted.kind is wanted.POSITIONAL_ONLY:
                arguments.append(value)
            else:
                keywords[wanted.name] = value
        try:
            returned = self._functions[name](*arguments, **keywords)
            return asyncio.run(returned) if inspect.iscoroutine(returned) else returned
        except (Exception, SystemExit) as error:  # a function that ends the process means its own
            raise FunctionFailed(_line(error)) from error


def result_of(returned: object) -> dict[str, Any] | None:
    """Return what is kept of what a function returned: as JSON where it is some, else as text; None for None."""
    if returned is None:
        return None
    try:
        text = json.dumps(returned, allow_nan=False, ensure_ascii=False)
        text.encode()  # half a surrogate pair is no text for anybody else
        if len(text) <= MOST_CHARACTERS and "\\u0000" not in text:
            return {"returned": json.loads(text)}
    except (TypeError, ValueError, RecursionError):
        pass  # it is no JSON
    return {"returned": cut(repr(returned), characters=MOST_CHARACTERS)}


def _wanted(name: str, function: Callable[..., object]) -> list[inspect.Parameter]:
    """Return the parameters that are given something.

    Raises:
        InvalidRequest: there is more than one that is not an id.
    """
    if not callable(function):
        raise InvalidRequest(f"What is registered as {name!r} is no function.", hint="Pass the function itself.")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):  # some that are written in C do not say
        return [_EVENTS]
    wanted = [
        each
        for each in parameters
        if each.kind not in _VARIADIC
        and (each.default is each.empty or (each.name in IDS and each.kind is not each.POSITIONAL_ONLY))
    ]
    others = [each.name for each in wanted if each.name not in IDS]
    if len(others) > 1:
        raise InvalidRequest(
            f"The function {name!r} has parameters that nobody fills in: {', '.join(others[1:])}.",
            hint=f"It may have {', '.join(IDS)} and one more, for the events; others need defaults.",
        )
    if not wanted and any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return [_EVENTS]
    return wanted


def _line(error: BaseException) -> str:
    """Return the last line of an error's traceback, and where it came from."""
    said = str(error).strip().splitlines()
    name = type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first one is the call itself
    where = f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
    return cut(f"{name}: {said[0]}{where}" if said else f"{name}{where}", characters=2000)
