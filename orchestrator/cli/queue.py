"""`retrain queue`: the lines in which tasks wait."""

from __future__ import annotations

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.output import json_option, print_json
from orchestrator.cli.table import print_list


@click.group()
def queue() -> None:
    """List and make queues."""


@queue.command("list")
@json_option
def list_queues(*, as_json: bool) -> None:
    """List queues, what stands in them and who serves them."""
    with connected() as client:
        print_list(
            client.pages("/queues"),
            as_json=as_json,
            headings=("QUEUE", "WAITING", "RUNNING", "AGENTS", "DESCRIPTION"),
            row=lambda item: (
                item["name"],
                item["waiting"],
                item["running"],
                item["agents"] or "none",
                item["description"],
            ),
            expendable=("DESCRIPTION",),
        )


@queue.command()
@click.argument("name")
@click.option("--description", default="")
@json_option
def create(*, name: str, description: str, as_json: bool) -> None:
    """Make a queue."""
    with connected() as client:
        made = client.post("/queues", {"name": name, "description": description})
    if as_json:
        print_json(made)
    else:
        click.echo(f"{name}  made; to serve it: retrain agent --queue {name}")
