"""From the options of `retrain trigger add` to what scripts would declare."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from orchestrator.cli.lookup import find_dataset, find_task
from triggers.durations import seconds_of
from triggers.sdk.task_scheduler import TaskScheduler
from triggers.sdk.trigger_scheduler import TriggerScheduler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.sdk.client import Client
    from triggers.sdk.declaring import Declaring

    Given = Mapping[str, Any]

_VERSIONED = ("dataset", "task", "model")
_KINDS_OF = {
    "pattern": (*_VERSIONED, "firing"),
    **dict.fromkeys(("on_tags", "on_publish", "on_archive", "required_tags", "any_tags", "excluded_tags"), _VERSIONED),
    **dict.fromkeys(("debounce", "debounce_max", "cooldown"), (*_VERSIONED, "firing")),
    **dict.fromkeys(("on_finalize", "gates"), ("dataset",)),
    **dict.fromkeys(("on_register", "on_aliases"), ("model",)),
    **dict.fromkeys(("on_status", "metric", "above", "below", "made_by", "not_by_hand"), ("task",)),
    "outcomes": ("firing",),
    **dict.fromkeys(
        ("cron", "every", "rule", "moments", "timezone", "starts_at", "immediately", "once", "catch_up"), ("schedule",)
    ),
}
"""Options that are not for every kind, and for which they are."""
_OF_CLONES = (
    *("queue", "target_project", "clone_name", "clone_tags", "assignments", "allow_new"),
    *("priority", "commit", "branch", "image"),
)
_WAYS_OF = {
    **dict.fromkeys(_OF_CLONES, ("--task", "--step")),
    "reuse": ("--task",),
    "secret": ("--webhook",),
    **dict.fromkeys(("subject", "text"), ("--message",)),
    **dict.fromkeys(("by", "better", "margin", "alias", "evaluation"), ("--promote",)),
}
"""Options that are not for every action, and for which they are."""
_TELLING = ("dataset", "model", "task", "firing", "schedule")
"""In this order an option that is for one kind alone tells which is meant."""


def declared(client: Client, name: str, given: Given) -> Declaring:
    """Return what a script would declare, for one trigger and the promotion that may belong to it.

    Args:
        client: finds tasks and dataset versions by name.
        name: of the trigger.
        given: the options.

    Raises:
        click.UsageError: options contradict each other.
        InvalidRequest: likewise.
        NotFound: there is no such task or version.
    """
    kind = _kind(given)
    action = {**_action(client, given), **_limits(given), "name": name, "add_tag": None}
    if kind == "schedule":
        clock = TaskScheduler()
        clock.add_task(**_times(given), **action, queue=given["queue"], trigger_project=given["project"])
        return clock
    events = TriggerScheduler()
    windows = {key: given[key] for key in ("debounce", "debounce_max", "cooldown")}
    common = {**action, **windows, "trigger_project": given["project"], "trigger_name": given["pattern"]}
    common |= {"schedule_queue": given["queue"], "promote": _promotion(given)}
    if kind == "firing":
        events.add_firing_trigger(**common, **({"on": given["outcomes"]} if given["outcomes"] else {}))
        return events
    common |= {f"trigger_{key}": given[key] for key in ("on_tags", "on_publish", "on_archive", "required_tags")}
    common |= {f"trigger_{key}": given[key] for key in ("any_tags", "excluded_tags")}
    if kind == "model":
        own = {f"trigger_{key}": given[key] for key in ("on_register", "on_aliases")}
        events.add_model_trigger(**common, **own)
    elif kind == "task":
        events.add_task_trigger(**common, **_task_conditions(given))
    else:
        finalize = given["on_finalize"]
        events.add_dataset_trigger(**common, trigger_on_finalize=finalize, require=_gates(client, given["gates"]))
    return events


def _kind(given: Given) -> str:
    """Return what the trigger waits for.

    Raises:
        click.UsageError: an option is for another kind.
    """
    present = {key: kinds for key, kinds in _KINDS_OF.items() if _is_typed(key)}
    alone = [kinds[0] for kinds in present.values() if len(kinds) == 1]
    kind = given["kind"] or next((kind for kind in reversed(_TELLING) if kind in alone), "dataset")
    for key, kinds in present.items():
        if kind not in kinds:
            raise click.UsageError(f"{_option(key)} is for --on {' or '.join(kinds)}, and this waits for a {kind}.")
    return str(kind)


def _is_typed(key: str) -> bool:
    return click.get_current_context().get_parameter_source(key) is ParameterSource.COMMANDLINE


def _option(key: str) -> str:
    """Return an option as it is typed."""
    return next(each.opts[0] for each in click.get_current_context().command.params if each.name == key)


def _action(client: Client, given: Given) -> dict[str, Any]:
    ways = {
        "--task": given["reference"],
        "--step": given["steps"],
        "--webhook": given["webhook"],
        "--message": given["recipients"],
    }
    chosen = [way for way, value in ways.items() if value]
    if len(chosen) > 1:
        raise click.UsageError(f"A trigger does one thing, not {' and '.join(chosen)}; add one for each.")
    if not chosen and not given["model"]:
        raise click.UsageError("Nothing says what it does: give --task, --step, --webhook, --message or --promote.")
    if given["model"]:
        chosen.append("--promote")
    for key, ways_of in _WAYS_OF.items():
        if _is_typed(key) and not set(ways_of) & set(chosen):
            raise click.UsageError(f"{_option(key)} is for {' or '.join(ways_of)}, which is not given.")
    if given["webhook"]:
        return {"webhook": {"url": given["webhook"], **({"secret": given["secret"]} if given["secret"] else {})}}
    if given["recipients"]:
        texts = {key: given[key] for key in ("subject", "text") if given[key]}
        return {"message": {"to": list(given["recipients"]), **texts}}
    found: dict[str, Any] = {"target_project": given["target_project"], "allow_new_parameters": given["allow_new"]}
    if given["steps"]:
        return found | {"chain": _chain(client, given)}
    if not given["reference"]:
        return {}
    found["schedule_task_id"] = find_task(client, given["reference"])["id"]
    return found | {"reuse_task": given["reuse"], "task_overrides": {**_edits(given), **given["assignments"]}}


def _chain(client: Client, given: Given) -> list[dict[str, Any]]:
    steps: dict[str, dict[str, Any]] = {}
    for text in given["steps"]:
        name, equals, task = text.partition("=")
        if not equals or not task or name in steps:
            raise click.UsageError(f"--step {text!r}: write NAME=TASK, each name once.")
        reference = find_task(client, task)["id"]
        steps[name] = {"step": name, "task": reference, "overrides": _edits(given), "parameters": {}}
    for key, value in given["assignments"].items():
        name, _, parameter = key.partition(":")
        if name not in steps:
            raise click.UsageError(f"--set {key}: write STEP:SECTION/NAME=VALUE; steps are {', '.join(steps)}.")
        steps[name]["parameters"][parameter] = value
    return list(steps.values())


def _edits(given: Given) -> dict[str, Any]:
    edits = {
        "priority": given["priority"],
        "name": given["clone_name"],
        "script.commit": given["commit"],
        "script.branch": given["branch"],
        "container.image": given["image"],
        "tags": list(given["clone_tags"]),
    }
    return {key: value for key, value in edits.items() if value is not None}


def _promotion(given: Given) -> dict[str, Any] | None:
    if not given["model"]:
        return None
    if not given["by"]:
        raise click.UsageError("--promote compares models: give --by TITLE/SERIES.")
    parts = {"model": given["model"], "metric": given["by"], "alias": given["alias"], "sign": given["better"]}
    return parts | {"margin": given["margin"]} | ({"evaluation": given["evaluation"]} if given["evaluation"] else {})


def _limits(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = {key: given[key] for key in ("max_active", "when_busy", "dry_run")}
    if given["limit_execution"]:
        found["limit_execution_time"] = seconds_of(given["limit_execution"], field="--limit-execution") / 3600
    return found


def _task_conditions(given: Given) -> dict[str, Any]:
    bounds = [(side, given[side]) for side in ("above", "below") if given[side] is not None]
    found = {
        "trigger_on_status": given["on_status"],
        "trigger_made_by": given["made_by"],
        "trigger_exclude_dev_tasks": given["not_by_hand"],
    }
    if not given["metric"] and not bounds:
        return found
    title, slash, series = (given["metric"] or "").rpartition("/")
    if not slash or len(bounds) != 1:
        raise click.UsageError("A bound is --metric TITLE/SERIES with --above NUMBER or --below NUMBER.")
    ((side, threshold),) = bounds
    bound = {"trigger_on_metric": title, "trigger_on_variant": series, "trigger_on_threshold": threshold}
    return found | bound | {"trigger_on_sign": side}


def _times(given: Given) -> dict[str, Any]:
    return {
        "cron": given["cron"],
        "every": given["every"],
        "rule": given["rule"],
        "at": [_moment(text, option="--at") for text in given["moments"]] or None,
        "timezone": given["timezone"],
        "starts_at": None if given["starts_at"] is None else _moment(given["starts_at"], option="--starts-at"),
        "execute_immediately": given["immediately"],
        "recurring": not given["once"],
        "catch_up": given["catch_up"],
    }


def _moment(text: str, *, option: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{option} {text!r}: write 2026-01-31T08:00, with +02:00 or in --timezone.") from None


def _gates(client: Client, texts: Sequence[str]) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name == "reference":
            found[name] = value if value == "parent" else find_dataset(client, value)["id"]
        elif name.startswith("columns.") and name.count(".") > 1:
            column, _, bound = name.removeprefix("columns.").rpartition(".")
            found.setdefault("columns", {}).setdefault(column, {})[bound] = _number(value, option=text)
        else:
            found[name] = _number(value, option=text) if equals else True
    return found or None


def _number(value: str, *, option: str) -> float | int | bool:
    if value in {"true", "false"}:
        return value == "true"
    try:
        return int(value) if value.lstrip("+-").isdigit() else float(value)
    except ValueError:
        raise click.UsageError(f"--require {option}: {value!r} is no number.") from None
