"""`retrain trigger`: what is to happen when something happens; most commands stand beside this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import trigger_path
from orchestrator.cli.output import json_option, print_fields, print_json
from orchestrator.cli.table import limit_option, print_list
from orchestrator.cli.trigger_add import add, tell
from orchestrator.cli.trigger_apply import apply
from orchestrator.cli.trigger_backfill import backfill
from orchestrator.cli.trigger_log import firings, replay, why
from orchestrator.cli.trigger_show import show
from orchestrator.cli.trigger_words import deed, occasion, subject

if TYPE_CHECKING:
    Item = dict[str, Any]


@click.group()
def trigger() -> None:
    """Say what is to happen when data, tasks or models change, or by the clock; and see why it did or did not.

    TRIGGER is a trigger's name or id.
    """


for command in (add, apply, backfill, firings, replay, show, why):
    trigger.add_command(command)


@trigger.command("list")
@limit_option
@json_option
def list_triggers(*, limit: int | None, as_json: bool) -> None:
    """List triggers."""
    with connected() as client:
        print_list(
            client.pages("/triggers"),
            as_json=as_json,
            headings=("ID", "TRIGGER", "STATE", "REVISION", "ON", "WHEN", "DOES"),
            row=lambda item: (
                item["id"],
                item["name"],
                item["state"],
                item["revision"],
                subject(item["condition"]),
                occasion(item["condition"]),
                deed(item["action"]),
            ),
            expendable=("REVISION", "DOES", "ON"),
            limit=limit,
        )


@trigger.command()
@click.argument("name", metavar="TRIGGER")
@click.option(
    "--event", type=click.IntRange(min=1), help="Id of an event; the newest that matches where it is not given."
)
@json_option
def test(*, name: str, event: int | None, as_json: bool) -> None:
    """Say what a trigger would do; nothing is made. Exit code 1 when it would do nothing."""
    with connected() as client:
        answer = client.post(f"{trigger_path(client, name)}/test", {"event": event}, repeatable=True)
    if as_json:
        print_json(answer)
    else:
        said = "fires" if answer["acts"] else "matches" if answer["matches"] else "does not fire"
        click.echo(f"{said}: {answer['reason']}")
        if answer["matches"]:
            fields = [(key, answer[key]) for key in ("event", "would", "queue")]
            print_fields([*fields, ("clone", answer["name"]), *answer["parameters"].items()])
    if not answer["acts"]:
        raise click.exceptions.Exit(1)


@trigger.command()
@click.argument("name", metavar="TRIGGER")
@json_option
def pause(*, name: str, as_json: bool) -> None:
    """Have a trigger skip its events, and record that it does."""
    _act(name, verb="pause", as_json=as_json)


@trigger.command()
@click.argument("name", metavar="TRIGGER")
@json_option
def resume(*, name: str, as_json: bool) -> None:
    """Have a paused trigger act again."""
    _act(name, verb="resume", as_json=as_json)


@trigger.command()
@click.argument("name", metavar="TRIGGER")
def remove(*, name: str) -> None:
    """Remove a trigger; its firings stay."""
    with connected() as client:
        client.delete(trigger_path(client, name))
    click.echo(f"{name}  removed")


def _act(name: str, *, verb: str, as_json: bool) -> None:
    with connected() as client:
        tell(client.post(f"{trigger_path(client, name)}/{verb}"), as_json=as_json)
