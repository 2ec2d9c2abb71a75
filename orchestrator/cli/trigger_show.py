"""`retrain trigger show`: a trigger's state, what it saw, what waits, what runs and what came of it."""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import trigger_path
from orchestrator.cli.output import STYLES, ago, coloured, json_option, print_fields, print_json, when
from orchestrator.cli.table import print_table
from orchestrator.cli.task_metrics import BARS
from orchestrator.cli.trigger_words import (
    EXPENDABLE,
    FIRING_HEADINGS,
    checks,
    deed,
    firing_row,
    limits,
    occasion,
    subject,
)
from orchestrator.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator.sdk.client import Client

    Item = dict[str, Any]

DAYS = 30
MOST_FIRINGS = 5000
"""So many firings are counted for the bars, the newest ones."""
_BARRED = ("launched", "blocked", "skipped", "failed")
_GATES_SHOWN = 3


@click.command()
@click.argument("name", metavar="TRIGGER")
@json_option
def show(*, name: str, as_json: bool) -> None:
    """Show a trigger: its state, the last events it saw, what waits and until when, what runs, and its firings."""
    with connected() as client:
        detail = client.get(trigger_path(client, name))
        found = detail.pop("trigger")
        if as_json:
            print_json(found | detail)
            return
        bars = _bars(_recent(client, found["id"]))
        names = _task_names(client, found["action"])
    _print_trigger(found, active=detail["active"], names=names)
    _section("waiting", FIRING_HEADINGS, map(firing_row, detail["waiting"]), expendable=EXPENDABLE)
    _section("running", ("TASK", "NAME", "STATUS", "SINCE"), map(_task_row, detail["running"]))
    _section("last events", ("EVENT", "TYPE", "FIRED", "REASON", "WHEN"), map(_verdict_row, detail["recent"]))
    _section("firings", FIRING_HEADINGS, map(firing_row, detail["firings"]), expendable=EXPENDABLE)
    _print_gates(detail["firings"])
    if bars:
        click.secho(f"\nfirings of the last {DAYS} days", bold=True)
        for status, bar, count in bars:
            click.echo(f"{status.ljust(8)}  {coloured(bar, by=status) if status in STYLES else bar}  {count}")


def _print_trigger(found: Item, *, active: int, names: Mapping[str, str]) -> None:
    action, condition = found["action"], found["condition"]
    most = f" of at most {found['max_active']}, then {found['when_busy']}" if found["max_active"] else ""
    print_fields(
        (
            ("trigger", found["name"]),
            ("id", found["id"]),
            ("state", found["state"]),
            ("revision", found["revision"]),
            ("on", subject(condition)),
            ("when", occasion(condition)),
            ("next", when(found["next_occurrence_at"])),
            ("does", deed(action, names=names)),
            *((key, action.get(key)) for key in ("project", "name", "tags", "commit", "branch", "image")),
            ("text", action.get("text")),
            *limits(found),
            ("active", f"{active}{most}"),
            ("changed", when(found["changed_at"])),
        )
    )
    for step in action.get("steps", [action]):
        if step.get("parameters"):
            click.secho(f"\nparameters{' of ' + step['step'] if 'step' in step else ''}", bold=True)
            print_fields((f"  {key}", value) for key, value in step["parameters"].items())


def _task_names(client: Client, action: Item) -> dict[str, str]:
    """Return what people call the tasks that an action clones, by id; without those that are gone."""
    names = {}
    for step in action.get("steps", [action]):
        with contextlib.suppress(NotFound, Forbidden):
            if "task" in step:
                task = client.get(f"/tasks/{step['task']}")["task"]
                names[task["id"]] = f"{task['project']}/{task['name']} ({task['id']})"
    return names


def _print_gates(firings: Sequence[Item]) -> None:
    """Print what the gates of the newest firings said, with the numbers."""
    for item in [each for each in firings if each["gate"]][:_GATES_SHOWN]:
        click.secho(f"\ngates of {item['id']}, {when(item['gate']['checked_at'])}", bold=True)
        for line in checks(item["gate"]):
            click.echo(f"  {coloured(line, by='launched' if line.startswith('passed') else 'failed')}")


def _section(
    heading: str, headings: Sequence[str], rows: Iterable[Sequence[object]], *, expendable: Sequence[str] = ()
) -> None:
    listed = list(rows)
    if listed:
        click.secho(f"\n{heading}", bold=True)
        print_table(headings, rows=listed, expendable=expendable)


def _task_row(item: Item) -> Sequence[object]:
    return (item["id"], item["name"], item["status"], ago(item["started_at"] or item["queued_at"]))


def _verdict_row(item: Item) -> Sequence[object]:
    return (item["event"], item["type"], "yes" if item["fired"] else "no", item["reason"], ago(item["at"]))


def _recent(client: Client, trigger_id: str) -> Counter[tuple[str, int]]:
    """Count a trigger's firings of the last days by status and by how many days ago they were."""
    now = datetime.now(UTC)
    counts: Counter[tuple[str, int]] = Counter()
    for number, item in enumerate(client.pages("/firings", trigger=trigger_id)):
        age = now - datetime.fromisoformat(item["created_at"])
        if number >= MOST_FIRINGS or age >= timedelta(days=DAYS):
            break
        counts[item["status"], max(age.days, 0)] += 1
    return counts


def _bars(counts: Counter[tuple[str, int]]) -> list[tuple[str, str, int]]:
    """Return status, a line with a bar a day, today at its end, and how many there were; of those that there were."""
    highest = max(counts.values(), default=0)
    found = []
    for status in _BARRED:
        days = [counts[status, age] for age in reversed(range(DAYS))]
        if any(days):
            bar = "".join(BARS[-(-count * len(BARS) // highest) - 1] if count else "·" for count in days)
            found.append((status, bar, sum(days)))
    return found
