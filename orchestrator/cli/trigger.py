"""`retrain trigger`: what is to happen when a dataset version becomes final or is tagged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import find_task, trigger_path
from orchestrator.cli.options import set_option
from orchestrator.cli.output import (
    ago,
    json_option,
    print_fields,
    print_json,
    when,
)
from orchestrator.cli.table import limit_option, print_list, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    Item = dict[str, Any]

FIRING_HEADINGS = ("EVENT", "STATUS", "TASK", "REASON", "TRIES", "WHEN")


@click.group()
def trigger() -> None:
    """Clone and enqueue a task whenever a dataset version becomes final or is tagged.

    TRIGGER is a trigger's name or id.
    """


@trigger.command()
@click.argument("name")
@click.option("--task", "reference", required=True, metavar="TASK", help="The task to clone.")
@click.option("--queue", default="default", show_default=True, help="Where the clones wait.")
@click.option("--project", default="", help="Datasets of this project and all below it; of all where it is not given.")
@click.option("--dataset", "pattern", metavar="PATTERN", help="Datasets whose whole name matches, such as 'sensors-*'.")
@click.option("--on-tag", "on_tags", multiple=True, metavar="TAG", help="Act when a version gets this tag.")
@click.option(
    "--required-tag", "required_tags", multiple=True, metavar="TAG", help="The version must have this tag, too."
)
@set_option("A parameter of the clone; text such as ${dataset.id} is filled in. May be given several times.")
@click.option("--allow-new", is_flag=True, help="Add parameters that the task does not have instead of refusing them.")
@click.option("--target-project", metavar="PROJECT", help="Of the clones; the task's where it is not given.")
@click.option("--name-clone", "clone_name", metavar="NAME", help="Of the clones; may hold ${dataset.version} and such.")
@click.option("--tag-clone", "clone_tags", multiple=True, metavar="TAG", help="A tag for the clones.")
@click.option("--max-active", type=click.IntRange(min=1), help="Skip events while so many of its tasks wait or run.")
@json_option
def add(
    *,
    name: str,
    reference: str,
    queue: str,
    project: str,
    pattern: str | None,
    on_tags: tuple[str, ...],
    required_tags: tuple[str, ...],
    assignments: tuple[tuple[str, str], ...],
    allow_new: bool,
    target_project: str | None,
    clone_name: str | None,
    clone_tags: tuple[str, ...],
    max_active: int | None,
    as_json: bool,
) -> None:
    """Register a trigger; of a name that exists, change it.

    Without --on-tag a version that becomes final sets it off.
    """
    with connected() as client:
        body = {
            "name": name,
            "condition": {"project": project, "name": pattern, "on_tags": on_tags, "required_tags": required_tags},
            "action": {
                "task": find_task(client, reference)["id"],
                "queue": queue,
                "name": clone_name,
                "project": target_project,
                "parameters": dict(assignments),
                "allow_new": allow_new,
                "tags": clone_tags,
            },
            "max_active": max_active,
        }
        made = client.put("/triggers", body)
    _tell(made, as_json=as_json)


@trigger.command("list")
@limit_option
@json_option
def list_triggers(*, limit: int | None, as_json: bool) -> None:
    """List triggers."""
    with connected() as client:
        print_list(
            client.pages("/triggers"),
            as_json=as_json,
            headings=("ID", "TRIGGER", "STATE", "REVISION", "DATASETS", "WHEN", "TASK", "QUEUE"),
            row=lambda item: (
                item["id"],
                item["name"],
                item["state"],
                item["revision"],
                _datasets(item["condition"]),
                _occasion(item["condition"]),
                item["action"]["task"],
                item["action"]["queue"],
            ),
            expendable=("REVISION", "QUEUE", "TASK", "DATASETS"),
            limit=limit,
        )


@trigger.command()
@click.argument("name", metavar="TRIGGER")
@json_option
def show(*, name: str, as_json: bool) -> None:
    """Show a trigger and its newest firings."""
    with connected() as client:
        detail = client.get(trigger_path(client, name))
    found = detail.pop("trigger")
    if as_json:
        print_json(found | detail)
        return
    action = found["action"]
    limit = f" of at most {found['max_active']}" if found["max_active"] else ""
    print_fields(
        (
            ("trigger", found["name"]),
            ("id", found["id"]),
            ("state", found["state"]),
            ("revision", found["revision"]),
            ("datasets", _datasets(found["condition"])),
            ("when", _occasion(found["condition"])),
            ("clones task", action["task"]),
            ("into queue", action["queue"]),
            ("project", action["project"]),
            ("name", action["name"]),
            ("tags", action["tags"]),
            ("active tasks", f"{detail['active']}{limit}"),
            ("changed", when(found["changed_at"])),
        )
    )
    if action["parameters"]:
        click.secho("\nparameters", bold=True)
        print_fields((f"  {key}", value) for key, value in action["parameters"].items())
    if detail["firings"]:
        click.secho("\nfirings", bold=True)
        print_table(FIRING_HEADINGS, rows=[_firing_row(item) for item in detail["firings"]])


@trigger.command()
@click.argument("name", metavar="TRIGGER")
@limit_option
@json_option
def firings(*, name: str, limit: int | None, as_json: bool) -> None:
    """List what a trigger did, newest first, and why not where it did nothing."""
    with connected() as client:
        trigger_id = client.get(trigger_path(client, name))["trigger"]["id"]
        print_list(
            client.pages("/firings", trigger=trigger_id),
            as_json=as_json,
            headings=FIRING_HEADINGS,
            row=_firing_row,
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
        click.echo(f"{'fires' if answer['matches'] else 'does not fire'}: {answer['reason']}")
        if answer["matches"]:
            fields = [("event", answer["event"]), ("clone", answer["name"]), ("queue", answer["queue"])]
            print_fields([*fields, *answer["parameters"].items()])
    if not answer["matches"]:
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
        _tell(client.post(f"{trigger_path(client, name)}/{verb}"), as_json=as_json)


def _tell(found: Item, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        click.echo(f"{found['id']}  {found['name']}  {found['state']}, revision {found['revision']}")


def _datasets(condition: Item) -> str:
    return f"{condition['project'] or 'any project'}/{condition['name'] or '*'}"


def _occasion(condition: Item) -> str:
    occasion = f"tagged {', '.join(condition['on_tags'])}" if condition["on_tags"] else "final"
    required = f", with {', '.join(condition['required_tags'])}" if condition["required_tags"] else ""
    return occasion + required


def _firing_row(item: Item) -> Sequence[object]:
    return (item["event_key"], item["status"], item["task_id"], item["reason"], item["tries"], ago(item["changed_at"]))
