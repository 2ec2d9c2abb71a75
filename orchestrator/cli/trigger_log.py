"""`retrain trigger firings | why | replay`: what triggers did, and why not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import ID_DIGITS, ambiguous, trigger_path
from orchestrator.cli.output import json_option, print_json, when
from orchestrator.cli.table import limit_option, print_list
from orchestrator.cli.trigger_words import EXPENDABLE, FIRING_HEADINGS, firing_row
from orchestrator.errors import NotFound

if TYPE_CHECKING:
    from orchestrator.sdk.client import Client

    Item = dict[str, Any]

STATUSES = ("collecting", "due", "gating", "launched", "blocked", "skipped", "failed")
_BEGINNING = re.compile(r"^[0-9a-f]{4,32}$")


@click.command()
@click.argument("name", metavar="[TRIGGER]", required=False)
@click.option("--status", type=click.Choice(STATUSES), help="Only those.")
@limit_option
@json_option
def firings(*, name: str | None, status: str | None, limit: int | None, as_json: bool) -> None:
    """List what a trigger, or all of them, did, newest first, and why not where it did nothing."""
    with connected() as client:
        trigger = None if name is None else client.get(trigger_path(client, name))["trigger"]["id"]
        whose = {} if name is not None or as_json else _names(client)
        print_list(
            client.pages("/firings", limit=min(limit or 500, 500), trigger=trigger, status=status),
            as_json=as_json,
            headings=FIRING_HEADINGS if name is not None else ("TRIGGER", *FIRING_HEADINGS),
            row=lambda item: (
                firing_row(item)
                if name is not None
                else (whose.get(item["trigger_id"], item["trigger_id"]), *firing_row(item))
            ),
            limit=limit,
            expendable=EXPENDABLE,
        )


@click.command()
@click.argument("event", type=click.IntRange(min=1))
@click.option("--all", "every", is_flag=True, help="Triggers, too, that wait for other kinds of events.")
@limit_option
@json_option
def why(*, event: int, every: bool, limit: int | None, as_json: bool) -> None:
    """Say of every trigger whether it fired on an event, and the one reason why or why not."""
    with connected() as client:
        verdicts = client.pages(f"/events/{event}/why", all=every)
        first = next(verdicts, None)
        if first is None and not as_json:
            click.echo(f"No trigger waits for events such as {event}." + ("" if every else " --all shows the others."))
            return
        if first is not None and not as_json:
            click.echo(f"event {event}: {first['type']} of {first['subject']} at {when(first['at'])}")
        print_list(
            [] if first is None else _chained(first, verdicts),
            as_json=as_json,
            headings=("TRIGGER", "FIRED", "STATUS", "REASON", "TASK"),
            row=lambda item: (
                item["trigger"],
                "yes" if item["fired"] else "no",
                item["status"],
                item["reason"],
                item["task_id"],
            ),
            limit=limit,
            expendable=("TASK",),
        )


@click.command()
@click.argument("firing")
@json_option
def replay(*, firing: str, as_json: bool) -> None:
    """Have a trigger act on the events of a firing once more. FIRING is an id, or a beginning that no other has."""
    with connected() as client:
        made = client.post(f"/firings/{_firing_id(client, firing)}/replay")
    if as_json:
        print_json(made)
        return
    reason = f"  {made['reason']}" if made["reason"] else ""
    click.echo(f"{made['id']}  {made['status']}{reason}" + (f"  task {made['task_id']}" if made["task_id"] else ""))


def _names(client: Client) -> dict[str, str]:
    """Return the names of triggers by id; those that were removed are called by their ids."""
    return {item["id"]: item["name"] for item in client.pages("/triggers")}


def _firing_id(client: Client, name: str) -> str:
    """Return the id of the firing that a person means.

    Raises:
        NotFound: there is none.
        InvalidRequest: several ids begin so.
    """
    if not _BEGINNING.match(name):
        raise NotFound(f"There is no firing {name!r}.", hint="Ids are shown by: retrain trigger firings.")
    if len(name) == ID_DIGITS:
        return name
    found = []
    for item in client.pages("/firings", limit=100, after=name.ljust(ID_DIGITS, "f")):  # from larger ids to smaller
        if not item["id"].startswith(name):
            break
        found.append(item)
    if len(found) > 1:
        raise ambiguous(name, noun="firings", named=[f"{item['id']}  {item['status']}" for item in found])
    if not found:
        raise NotFound(f"There is no firing whose id begins with {name!r}.", hint="See: retrain trigger firings.")
    return str(found[0]["id"])


def _chained(first: Item, others: Any) -> Any:  # noqa: ANN401  iterators of records
    yield first
    yield from others
