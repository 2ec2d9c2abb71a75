"""`retrain task clone`, `enqueue`, `dequeue`, `stop`, `publish`, `archive`, `unarchive` and `reset`."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import find_task
from orchestrator.cli.options import set_option
from orchestrator.cli.output import json_option, print_json

task_argument = click.argument("name", metavar="TASK")


@click.command()
@task_argument
@set_option("A parameter of the clone; may be given several times.")
@click.option("--enqueue", "queue", metavar="QUEUE", help="Enqueue the clone there.")
@click.option("--priority", type=int, default=0, show_default=True, help="In that queue; larger goes first.")
@click.option("--name", "new_name", help="Of the clone.")
@click.option("--project", help="Of the clone.")
@click.option("--allow-new", is_flag=True, help="Add parameters that the task does not have instead of refusing them.")
@click.option("--commit", help="Run this commit of the same repository, named in full, without uncommitted changes.")
@click.option("--branch", help="Run what this branch of the same repository points to when the attempt starts.")
@click.option("--image", help="Container image instead of the task's.")
@json_option
def clone(
    *,
    name: str,
    assignments: tuple[tuple[str, str], ...],
    new_name: str | None,
    as_json: bool,
    **fields: object,
) -> None:
    """Make a new task of the same code and environment, with other parameters."""
    with connected() as client:
        body = {"name": new_name, "parameters": dict(assignments)} | fields
        made = client.post(f"/tasks/{find_task(client, name)['id']}/clone", body)
    _tell(made, as_json=as_json)


@click.command()
@task_argument
@click.option("--queue", default="default", show_default=True)
@click.option("--priority", type=int, default=0, show_default=True, help="Larger goes first.")
@json_option
def enqueue(*, name: str, queue: str, priority: int, as_json: bool) -> None:
    """Put a task into a queue."""
    with connected() as client:
        found = find_task(client, name)
        changed = client.post(f"/tasks/{found['id']}/enqueue", {"queue": queue, "priority": priority})
    _tell(changed, as_json=as_json)


@click.command()
@task_argument
@json_option
def dequeue(*, name: str, as_json: bool) -> None:
    """Take a task out of its queue."""
    _act(name, verb="dequeue", as_json=as_json)


@click.command()
@task_argument
@json_option
def stop(*, name: str, as_json: bool) -> None:
    """Stop a task: at once where it waits, else as soon as its attempt has ended itself."""
    _act(name, verb="stop", as_json=as_json)


@click.command()
@task_argument
@json_option
def publish(*, name: str, as_json: bool) -> None:
    """Mark a completed task as one that others may rely on; it never changes again."""
    _act(name, verb="publish", as_json=as_json)


@click.command()
@task_argument
@json_option
def archive(*, name: str, as_json: bool) -> None:
    """Leave a task out of lists; its id finds it as before."""
    _act(name, verb="archive", as_json=as_json)


@click.command()
@task_argument
@json_option
def unarchive(*, name: str, as_json: bool) -> None:
    """Take a task into lists again. A name means the newest archived task that is called so."""
    _act(name, verb="unarchive", archived=True, as_json=as_json)


@click.command()
@task_argument
@json_option
def reset(*, name: str, as_json: bool) -> None:
    """Make a task that ended `created` again, to be edited and run once more; what it reported stays."""
    _act(name, verb="reset", as_json=as_json)


VERBS = (clone, enqueue, dequeue, stop, publish, archive, unarchive, reset)


def _act(name: str, *, verb: str, as_json: bool, archived: bool = False) -> None:
    with connected() as client:
        changed = client.post(f"/tasks/{find_task(client, name, archived=archived)['id']}/{verb}")
    _tell(changed, as_json=as_json)


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    """Say what became of a task: its id first, so that scripts can read it."""
    if as_json:
        print_json(found)
        return
    status = found["status"]
    if status == "in_progress" and found["stop_requested_at"]:
        status = "in_progress, told to stop"
    where = f" in queue {found['queue']}" if found["status"] == "queued" else ""
    archived = ", archived" if found["archived_at"] else ""
    click.echo(f"{found['id']}  {found['project']}/{found['name']}  {status}{archived}{where}")
