"""`retrain task logs`: what a task printed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import find_task
from orchestrator.errors import NotFound

if TYPE_CHECKING:
    from orchestrator.sdk.client import Client

POLL_SECONDS = 0.5
ENDED = frozenset({"completed", "failed", "stopped", "published"})


@click.command()
@click.argument("name", metavar="TASK")
@click.option("-f", "--follow", is_flag=True, help="Go on until the task has ended; exit code 1 when it failed.")
@click.option(
    "--attempt", type=click.IntRange(min=1), help="The newest that has printed something where it is not given."
)
def logs(*, name: str, follow: bool, attempt: int | None) -> None:
    """Print a task's console."""
    with connected() as client:
        task_id = find_task(client, name)["id"]
        attempt, offset = _print_text(client, task_id, attempt=attempt, offset=0)
        if not follow:
            return
        while True:
            task = client.get(f"/tasks/{task_id}")["task"]
            attempt, offset = _print_on(client, task_id, attempt=attempt, offset=offset, newest=task["attempt"])
            if task["status"] in ENDED:
                break
            time.sleep(POLL_SECONDS)
        message = f": {task['status_message']}" if task["status_message"] else ""
        click.echo(f"task {task['status']}{message}", err=True)
    if task["status"] == "failed":
        raise click.exceptions.Exit(1)


def _print_on(client: Client, task_id: str, *, attempt: int | None, offset: int, newest: int) -> tuple[int | None, int]:
    """Print what there is from an offset on, then every newer attempt, also one that is over already."""
    attempt, offset = _print_text(client, task_id, attempt=attempt, offset=offset)
    if attempt is None:
        return None, 0
    for number in range(attempt + 1, newest + 1):
        if _text(client, task_id, attempt=number, offset=0) is not None:
            click.echo(f"--- attempt {number} ---", err=True)
            attempt, offset = _print_text(client, task_id, attempt=number, offset=0)
    return attempt, offset


def _print_text(client: Client, task_id: str, *, attempt: int | None, offset: int) -> tuple[int | None, int]:
    """Print what there is from an offset on, and return the attempt and the offset to go on with."""
    while (answer := _text(client, task_id, attempt=attempt, offset=offset)) is not None:
        attempt = answer["attempt"]
        if answer["next"] == offset:
            break
        click.echo(answer["text"], nl=False)
        offset = answer["next"]
    return attempt, offset


def _text(client: Client, task_id: str, *, attempt: int | None, offset: int) -> dict[str, Any] | None:
    """Return a stretch of the console, None where nothing was printed yet."""
    try:
        return dict(client.get(f"/tasks/{task_id}/console", attempt=attempt, after=offset))
    except NotFound:
        return None
