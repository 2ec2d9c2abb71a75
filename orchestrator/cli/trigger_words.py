"""Triggers, conditions and actions in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.cli.output import ago, cell, when
from triggers.durations import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Item = dict[str, Any]

FIRING_HEADINGS = ("ID", "EVENT", "STATUS", "TASK", "REASON", "TRIES", "WHEN")
EXPENDABLE = ("TRIES",)
_SHORT_ID = 13
"""Digits of an id: its millisecond."""
_NOTHING_NAMED = {"dataset": "final", "task": "completed", "model": "registered"}
_ALTERNATIVES = {
    "on_finalize": "final",
    "on_register": "registered",
    "on_publish": "published",
    "on_archive": "archived",
}


def subject(condition: Item) -> str:
    """Return what a trigger looks at: the kind, the project and the pattern of names."""
    kind = condition["kind"]
    if kind == "schedule":
        return "schedule" + (f" of {condition['project']}" if condition["project"] else "")
    name = condition["trigger"] if kind == "firing" else condition["name"]
    return f"{kind} {condition['project'] or 'any project'}/{name or '*'}"


def occasion(condition: Item) -> str:
    """Return what sets a trigger off."""
    kind = condition["kind"]
    if kind == "schedule":
        return _times(condition)
    if kind == "firing":
        return " or ".join(condition["on"])
    ways = [word for key, word in _ALTERNATIVES.items() if condition.get(key)]
    if condition["on_tags"]:
        ways.append(f"tagged {', '.join(condition['on_tags'])}")
    ways += condition.get("on_status", ())
    if condition.get("on_aliases"):
        ways.append(f"made {' or '.join(condition['on_aliases'])}")
    bound = condition.get("metric")
    crossing = "" if bound is None else f"{bound['title']}/{bound['series']} {bound['sign']} {bound['threshold']:g}"
    if crossing and not ways:
        ways, crossing = [crossing], ""
    besides = _besides(condition) + ([crossing] if crossing else [])
    return ", ".join([" or ".join(ways or [_NOTHING_NAMED[kind]]), *besides])


def deed(action: Item, *, names: Mapping[str, str] | None = None) -> str:
    """Return what a trigger does, in a few words.

    Args:
        action: what its record says.
        names: what people call tasks, by id; of others the beginning of the id is shown.
    """

    def named(task: str) -> str:
        return (names or {}).get(task, task[:_SHORT_ID])

    kind = action["kind"]
    if kind == "clone":
        return f"{'run' if action.get('reuse') else 'clone'} {named(action['task'])} into {action['queue']}"
    if kind == "chain":
        return " then ".join(f"{step['step']} ({named(step['task'])})" for step in action["steps"])
    if kind == "function":
        return f"call {action['function']}"
    if kind == "webhook":
        return f"POST to {action['url']}"
    if kind == "message":
        return f"tell {', '.join(action['to'])}"
    better = f"{action['sign']} {action['title']}/{action['series']}"
    return f"promote {action['model']} to {action['alias']} by {better}"


def limits(trigger: Item) -> list[tuple[str, str]]:
    """Return names and values of how much, how often and under which conditions a trigger acts."""
    lengths = {
        "debounce": trigger["debounce_seconds"],
        "at most": trigger["debounce_max_seconds"],
        "cooldown": trigger["cooldown_seconds"],
        "stopped after": trigger["limit_execution_seconds"],
    }
    found = [(name, in_words(seconds)) for name, seconds in lengths.items() if seconds]
    gates = {key: value for key, value in (trigger["gates"] or {}).items() if value not in (None, False, {}, "parent")}
    if gates:
        columns = gates.pop("columns", {})
        bounds = [f"{key} {value}" for key, value in gates.items()]
        bounds += [f"{key} of {name} {value}" for name, part in columns.items() for key, value in part.items() if value]
        found.append(("requires", ", ".join(bounds).replace(" True", "")))
    if trigger["dry_run"]:
        found.append(("dry run", "it does nothing"))
    if trigger["group"]:
        found.append(("group", trigger["group"]))
    return found


def firing_row(item: Item) -> Sequence[object]:
    """Return the cells of a firing, under `FIRING_HEADINGS`."""
    key = item["event_key"]
    event = item["step"] or (key if not key.startswith("schedule:") else when(item["occurrence_at"]))
    status, reason = item["status"], item["reason"]
    if status == "collecting" and item["due_at"]:
        reason = f"{len(item['events'])} collected; until {when(item['due_at'])}"
    elif status == "failed" and item["next_try_at"]:
        reason = f"{reason} Next try {when(item['next_try_at'])}."
    return (item["id"], event, status, item["task_id"], reason, item["tries"], ago(item["changed_at"]))


def checks(report: Item | None) -> list[str]:
    """Return what gates said, a line each, with the numbers."""
    if report is None:
        return []
    return [f"{'passed' if check['passed'] else 'closed'}  {cell(check['reason'])}" for check in report["checks"]]


def _besides(condition: Item) -> list[str]:
    found = []
    if condition["required_tags"]:
        found.append(f"with {', '.join(condition['required_tags'])}")
    if condition["any_tags"]:
        found.append(f"with {' or '.join(condition['any_tags'])}")
    if condition["excluded_tags"]:
        found.append(f"without {', '.join(condition['excluded_tags'])}")
    if condition.get("trigger"):
        found.append(f"made by {condition['trigger']}")
    if condition.get("exclude_by_hand"):
        found.append("run by an agent")
    return found


def _times(condition: Item) -> str:
    zone = "" if condition["timezone"] == "UTC" else f" ({condition['timezone']})"
    once = ", once" if condition["once"] else ""
    if condition["every_seconds"]:
        return f"every {in_words(condition['every_seconds'])}{once}"
    if condition["at"]:
        more = f" and {len(condition['at']) - 1} more" if len(condition["at"]) > 1 else ""
        return f"at {when(condition['at'][0])}{more}{once}"
    return f"{condition['cron'] or condition['rule']}{zone}{once}"
