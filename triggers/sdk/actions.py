"""From keywords to an action: the body that `records.action` describes, made of plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.errors import InvalidRequest
from orchestrator.records.values import encode
from triggers.near_misses import near
from triggers.sdk.names import as_tag, id_of, one_of, words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Options = Mapping[str, Any]
    """`schedule_task_id` and the keywords of `triggers.sdk.options` that were given."""

KINDS = ("schedule_task_id", "schedule_function", "chain", "webhook", "message")
"""The keywords that say what is done; exactly one of them is given."""
OVERRIDES = {
    "queue": "queue",
    "priority": "priority",
    "project": "project",
    "name": "name",
    "script.commit": "commit",
    "script.version_num": "commit",
    "script.branch": "branch",
    "container.image": "image",
}
"""What can be overridden beside parameters and tags, and how the action calls it. `version_num` is ClearML's word."""
_STEP = (
    "step",
    "task",
    "queue",
    "name",
    "project",
    "parameters",
    "overrides",
    "tags",
    "priority",
    "allow_new",
    "reuse",
)
_WEBHOOK = ("url", "secret", "body", "timeout_seconds")
_MESSAGE = ("to", "subject", "text")
_PROMOTE = ("model", "metric", "title", "series", "alias", "sign", "margin", "evaluation")
MAXIMUM, MINIMUM = ("max", "maximum", "above"), ("min", "minimum", "below")
"""Words for what is better, or where a bound is crossed."""


class Made(NamedTuple):
    """An action and what belongs to it."""

    action: dict[str, Any]
    function: Callable[..., Any] | None = None
    """What the trigger's name stands for in a process that registers it."""


def action_of(options: Options, *, queue: str | None, named: bool) -> Made:
    """Return the action that keywords ask for; a function's name is filled in by whoever names the trigger.

    Args:
        options: the keywords that were given.
        queue: where clones wait; `default` where it is None.
        named: whether the trigger was given a name.

    Raises:
        InvalidRequest: none or several actions are asked for, or a part of one is wrong.
    """
    kind = _kind(options)
    if kind in {"schedule_task_id", "chain"}:
        return Made(_clone(options, queue=queue) if kind == "schedule_task_id" else _chain(options, queue=queue))
    cloning = ("target_project", "task_parameters", "task_overrides", "reuse_task", "allow_new_parameters")
    for key in cloning:
        if options.get(key):
            raise InvalidRequest(f"{key} edits a clone, and {kind} makes none.", hint=f"Leave {key} out.")
    if kind == "webhook":
        return Made(_webhook(options["webhook"]))
    if kind == "message":
        return Made(_message(options["message"]))
    function = options["schedule_function"]
    if not callable(function):
        raise InvalidRequest(f"schedule_function cannot be called: {function!r}.", hint="Give a function.")
    if not named:
        raise InvalidRequest(
            "A trigger that calls a function needs a name.", hint='Give name="…", unique on the server.'
        )
    return Made({"kind": "function"}, function)


def promotion_of(given: Any) -> dict[str, Any]:  # noqa: ANN401  what a person wrote
    """Return the action that compares a task's model with the one that holds an alias.

    Raises:
        InvalidRequest: a part is missing or wrong.
    """
    found = _checked(given, known=_PROMOTE, field="promote", required=("model",))
    title, series = found.get("title"), found.get("series")
    if "metric" in found:
        title, slash, series = str(found["metric"]).rpartition("/")
        if not (slash and title and series) or found.keys() & {"title", "series"}:
            raise InvalidRequest(
                f"promote's metric is {found['metric']!r}.",
                hint='Write it as "title/series", such as "loss/validation", or give title and series.',
            )
    if not title or not isinstance(series, str):
        raise InvalidRequest("promote says no metric to compare by.", hint='Give "metric": "loss/validation".')
    action: dict[str, Any] = {key: found[key] for key in ("model", "alias", "margin", "evaluation") if key in found}
    sign = one_of(found.get("sign", "max"), known=(*MAXIMUM[:2], *MINIMUM[:2]), field="promote's sign")
    return {"kind": "promote", **action, "title": title, "series": series, "sign": sign[:3]}


def override(action: dict[str, Any], key: str, value: object, *, field: str) -> None:
    """Write one override into a clone's action.

    Raises:
        InvalidRequest: nothing can be overridden by that key.
    """
    if "/" in key:
        action["parameters"][key] = encode(value)[1]
    elif key in OVERRIDES:
        if value is not None:  # None is how scripts written for ClearML take back a pinned commit
            action[OVERRIDES[key]] = value
    elif key == "tags":
        action["tags"] += words(value, field=f"{field} tags")
    else:
        raise InvalidRequest(
            f"{field}: {key!r} cannot be overridden.",
            hint=f"Parameters are Section/name, such as General/{key}; beside them: {', '.join(OVERRIDES)}, tags.",
        )


def tag_clones(action: dict[str, Any], tag: str) -> None:
    """Give a tag to every task that an action makes."""
    for each in [action] if action["kind"] == "clone" else action.get("steps", ()):
        each["tags"].append(tag)


def tag_for(add_tag: str | bool | None, *, name: str | None) -> str | None:  # noqa: FBT001  ClearML's
    """Return the tag that clones get: the one that was given, or one that means the trigger's name, or None."""
    if isinstance(add_tag, str):
        return add_tag or None
    return as_tag(name) if add_tag and name else None


def acts(options: Options) -> bool:
    """Tell whether the keywords ask for an action, `promote` aside."""
    return any(options.get(key) is not None for key in KINDS)


def _kind(options: Options) -> str:
    given = [key for key in KINDS if options.get(key) is not None]
    if len(given) == 1:
        return given[0]
    if given:
        raise InvalidRequest(f"A trigger does one thing, not {' and '.join(given)}.", hint="Add a trigger for each.")
    raise InvalidRequest("Nothing says what the trigger is to do.", hint=f"Give one of {', '.join(KINDS)}.")


def _clone(options: Options, *, queue: str | None) -> dict[str, Any]:
    action = _new_clone(options["schedule_task_id"], queue=queue, field="schedule_task_id")
    if options.get("target_project") is not None:
        action["project"] = options["target_project"]
    if options.get("reuse_task"):
        action["reuse"] = True
    action["allow_new"] = bool(options.get("allow_new_parameters"))
    for field in ("task_parameters", "task_overrides"):
        for key, value in _mapping(options.get(field), field=field).items():
            override(action, key, value, field=field)
    return action


def _chain(options: Options, *, queue: str | None) -> dict[str, Any]:
    for key in ("task_parameters", "task_overrides", "reuse_task"):
        if options.get(key):
            raise InvalidRequest(f"{key} does not say of which step.", hint="Write it into the steps of chain.")
    steps: list[dict[str, Any]] = []
    for number, given in enumerate(options["chain"] or (), start=1):
        field = f"step {number} of chain"
        found = _checked(given, known=_STEP, field=field, required=("step", "task"))
        step = {**_new_clone(found["task"], queue=found.get("queue") or queue, field=field), "step": found["step"]}
        if options.get("target_project") is not None:
            step["project"] = options["target_project"]
        step["allow_new"] = bool(found.get("allow_new", options.get("allow_new_parameters")))
        step |= {key: found[key] for key in ("name", "project", "priority", "reuse") if key in found}
        step["tags"] = words(found.get("tags"), field=f"{field}: tags")
        for part in ("parameters", "overrides"):
            for key, value in _mapping(found.get(part), field=f"{field}: {part}").items():
                override(step, key, value, field=field)
        if any(step["step"] == earlier["step"] for earlier in steps):
            raise InvalidRequest(
                f"{field} is called {step['step']!r} as an earlier one.", hint="Give each its own name."
            )
        steps.append(step)
    if not steps:
        raise InvalidRequest("The chain has no steps.", hint='Give [{"step": "train", "task": TASK}, …].')
    return {"kind": "chain", "steps": steps}


def _new_clone(task: object, *, queue: str | None, field: str) -> dict[str, Any]:
    reference = id_of(task, field=field)
    return {"kind": "clone", "task": reference, "queue": queue or "default", "parameters": {}, "tags": []}


def _webhook(given: Any) -> dict[str, Any]:  # noqa: ANN401  what a person wrote
    if isinstance(given, str):
        given = {"url": given}
    return {"kind": "webhook", **_checked(given, known=_WEBHOOK, field="webhook", required=("url",))}


def _message(given: Any) -> dict[str, Any]:  # noqa: ANN401  what a person wrote
    if isinstance(given, str):
        given = {"to": given}
    found = _checked(given, known=_MESSAGE, field="message", required=("to",))
    return {"kind": "message", **found, "to": words(found["to"], field="message's to")}


def _mapping(value: Any, *, field: str) -> Mapping[str, Any]:  # noqa: ANN401  what a person wrote
    if value is None:
        return {}
    if not hasattr(value, "keys") or not all(isinstance(key, str) for key in value):
        raise InvalidRequest(f"{field} is no dict of texts: {value!r}.", hint='Give {"General/name": value}.')
    found: Mapping[str, Any] = value
    return found


def _checked(given: Any, *, known: tuple[str, ...], field: str, required: tuple[str, ...]) -> dict[str, Any]:  # noqa: ANN401
    found = dict(_mapping(given, field=field))
    for key in found:
        if key not in known:
            raise InvalidRequest(f"{field} has no part {key!r}.", hint=near(key, known=known))
    for key in required:
        if not found.get(key):
            raise InvalidRequest(f"{field} says no {key}.", hint=f'Give "{key}".')
    return found
