"""From keywords to how often and under which conditions a trigger acts: its limits, windows and gates."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InvalidRequest
from triggers.durations import seconds_of
from triggers.near_misses import near
from triggers.sdk.names import id_of, one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BOUNDS = ("max_missing_share", "max_psi", "max_ks", "max_chi_square", "max_cramers_v")
"""Fields of `records.gate.ColumnBounds`, which needs pydantic; a test holds them together."""
GATES = (*BOUNDS, "min_files", "min_rows", "min_added_files", "same_columns", "columns", "reference", "function")
"""Fields of `records.gate.Gates`; likewise."""
WHEN_BUSY = ("skip", "queue", "replace")
_HOUR_SECONDS = 3600


def limits_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return how much a trigger may do at once and for how long.

    Raises:
        InvalidRequest: two limits contradict each other, or one is none.
    """
    single, most = bool(options.get("single_instance")), options.get("max_active")
    if single and most not in (None, 1):
        raise InvalidRequest(f"single_instance allows one active task, max_active {most}.", hint="Give one.")
    most = 1 if single else most
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise InvalidRequest(f"max_active must be a whole number from 1 on, not {most!r}.")
    found: dict[str, Any] = {"max_active": most}
    if options.get("when_busy"):
        found["when_busy"] = one_of(options["when_busy"], known=WHEN_BUSY, field="when_busy")
        if most is None:
            raise InvalidRequest("when_busy says nothing without a limit.", hint="Give max_active or single_instance.")
    hours = options.get("limit_execution_time")
    if hours is not None:
        length = hours if isinstance(hours, timedelta) else _HOUR_SECONDS * _number(hours, field="limit_execution_time")
        found["limit_execution_seconds"] = seconds_of(length, field="limit_execution_time")
    if options.get("dry_run"):
        found["dry_run"] = True
    return found


def windows_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return how events are collected into one firing.

    Raises:
        InvalidRequest: a length of time is none, or a maximum stands without a window or below it.
    """
    found = {
        f"{key}_seconds": seconds_of(options[key], field=key)
        for key in ("debounce", "debounce_max", "cooldown")
        if options.get(key) is not None
    }
    if "debounce_max_seconds" in found:
        if "debounce_seconds" not in found:
            raise InvalidRequest("debounce_max says nothing without debounce.", hint="Give debounce, too.")
        if found["debounce_max_seconds"] < found["debounce_seconds"]:
            raise InvalidRequest("debounce_max is shorter than debounce.", hint="Give a longer one.")
    return found


def gates_of(require: Any, *, name: str) -> tuple[dict[str, Any] | None, Callable[..., Any] | None]:  # noqa: ANN401
    """Return what is required of a dataset version, and the function that decides besides.

    Args:
        require: a dict of gates, a function, or a list of both; None for nothing.
        name: of the trigger.

    Raises:
        InvalidRequest: there is no such gate, one is named twice, or there are two functions.
    """
    gates: dict[str, Any] = {}
    function = None
    for part in require if isinstance(require, (list, tuple)) else [require]:
        if part is None:
            continue
        if callable(part):
            if function is not None:
                raise InvalidRequest("require holds two functions.", hint="Call one from the other.")
            function = part
            continue
        for key, value in _gates(part).items():
            if key in gates:
                raise InvalidRequest(f"require says {key} twice.", hint="Say it once.")
            gates[key] = value
    if function is not None:
        if gates.get("function"):
            raise InvalidRequest("require holds a function and the name of another.", hint="Give one.")
        gates["function"] = gate_name(name)
    return gates or None, function


def gate_name(name: str) -> str:
    """Return how the gate function of a trigger is registered."""
    return f"{name} gate"


def _gates(part: Any) -> Mapping[str, Any]:  # noqa: ANN401  what a person wrote
    if not hasattr(part, "items"):
        raise InvalidRequest(f"require is neither gates nor a function: {part!r}.", hint='Give {"min_rows": 1000}.')
    found = dict(part)
    for key in found:
        if key not in GATES:
            raise InvalidRequest(f"There is no gate {key!r}.", hint=near(key, known=GATES))
    for column, bounds in dict(found.get("columns") or {}).items():
        for key in bounds:
            if key not in BOUNDS:
                raise InvalidRequest(f"There is no bound {key!r} of column {column!r}.", hint=near(key, known=BOUNDS))
    if "reference" in found:
        found["reference"] = id_of(found["reference"], field="require's reference")
    return found


def _number(value: object, *, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequest(f"{field} is in hours, or a timedelta, not {value!r}.")
    return float(value)
