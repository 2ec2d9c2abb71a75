"""`retrain trigger backfill`: have a trigger act on what happened before it was there."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import trigger_path
from orchestrator.cli.output import json_option, print_json
from orchestrator.cli.progress import LINE_SECONDS
from orchestrator.cli.table import print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from orchestrator.sdk.client import Client

    Item = dict[str, Any]
    Show = Callable[[int, int], None]

_SHOWN = 20
"""Results that are listed; --json prints all."""


def _moment(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError:
        raise click.BadParameter(f"{text!r} is no moment; write 2026-01-31 or 2026-01-31T08:00.") from None


@click.command()
@click.argument("name", metavar="TRIGGER")
@click.option(
    "--since", metavar="MOMENT", callback=_moment, help="From this on, such as 2026-01-01; else from the first."
)
@click.option("--until", metavar="MOMENT", callback=_moment, help="And before this.")
@click.option("--plan", is_flag=True, help="Say what would fire, and change nothing.")
@json_option
def backfill(*, name: str, since: str | None, until: str | None, plan: bool, as_json: bool) -> None:
    """Have a trigger act on events of the past. What it acted on before it does not act on again."""
    results: list[Item] = []
    looked_at = 0
    with connected() as client, _progress() as show:
        path, newest = f"{trigger_path(client, name)}/backfill", _newest_event(client)
        after: int | None = None
        while True:
            body = {"since": since, "until": until, "after": after, "plan": plan}
            stretch = client.post(path, body, repeatable=True)
            results += stretch["results"]
            looked_at += stretch["looked_at"]
            after = stretch["next"]
            if after is None:
                break
            show(min(after, newest), newest)
    if as_json:
        print_json({"results": results, "looked_at": looked_at, "next": None})
        return
    _print_results(results, looked_at=looked_at, plan=plan)


def _print_results(results: Sequence[Item], *, looked_at: int, plan: bool) -> None:
    rows = [(item["event"], item["outcome"], item["task_id"], item["reason"]) for item in results[:_SHOWN]]
    if rows:
        print_table(("EVENT", "OUTCOME", "TASK", "REASON"), rows=rows)
    if len(results) > _SHOWN:
        click.echo(f"… and {len(results) - _SHOWN} more: --json shows all.")
    counts = Counter(item["outcome"] for item in results)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    would = "would match" if plan else "matched"
    click.echo(f"{looked_at} events looked at, {len(results)} {would}{': ' + told if told else ''}.")


def _newest_event(client: Client) -> int:
    items = client.get("/events/recent", limit=1)["items"]
    return int(items[0]["id"]) if items else 0


@contextlib.contextmanager
def _progress() -> Iterator[Show]:
    """Yield what shows how far in the log the work is: a bar on a terminal, plain lines elsewhere, on stderr."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console  # noqa: PLC0415  only where it is seen
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("events", total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _lines() -> Show:
    said_at = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= LINE_SECONDS:
            said_at = time.monotonic()
            click.echo(f"events: {done:,} of {total:,}", err=True)

    return show
