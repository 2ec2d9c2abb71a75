"""`retrain task`: list and show; the verbs, `logs` and `metrics` stand beside this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import find_task
from orchestrator.cli.output import (
    ago,
    json_option,
    print_fields,
    print_json,
    size,
    when,
)
from orchestrator.cli.table import limit_option, print_list
from orchestrator.cli.task_logs import logs
from orchestrator.cli.task_metrics import metrics
from orchestrator.cli.task_verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Sequence

    Item = dict[str, Any]

STATUSES = ("created", "queued", "in_progress", "completed", "failed", "stopped", "published")

VALUE_SHOWN = 200
"""Characters of a parameter that `show` prints; --json prints all."""
TREE_DIGITS = 12


@click.group()
def task() -> None:
    """List, show, clone, enqueue, stop, publish, archive and reset tasks.

    TASK is an id, a beginning of one that no other task has, or PROJECT/NAME for the newest of that name.
    """


task.add_command(logs)
task.add_command(metrics)
for verb in VERBS:
    task.add_command(verb)


@task.command("list")
@click.option("--project", help="This project and all below it.")
@click.option("--name", help="Exactly this name.")
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--type", "kind", help="Such as training or service.")
@click.option("--tag", help="Tasks that have this tag.")
@click.option("--queue", help="Tasks that wait in this queue, or did.")
@click.option("--parent", metavar="TASK", help="Clones of this task.")
@click.option("--archived", is_flag=True, help="Those that were archived, too.")
@limit_option
@json_option
def list_tasks(
    *, parent: str | None, kind: str | None, archived: bool, limit: int | None, as_json: bool, **filters: str | None
) -> None:
    """List tasks, newest first."""
    with connected() as client:
        origin = None if parent is None else find_task(client, parent)["id"]
        print_list(
            client.pages(
                "/tasks",
                limit=min(limit or 500, 500),
                type=kind,
                parent=origin,
                archived="true" if archived else None,
                **filters,
            ),
            as_json=as_json,
            headings=("ID", "TASK", "TYPE", "STATUS", "QUEUE", "ATTEMPT", "TAGS", "CREATED"),
            row=_row,
            expendable=("TYPE", "ATTEMPT", "TAGS", "QUEUE", "CREATED"),
            limit=limit,
        )


@task.command()
@click.argument("name", metavar="TASK")
@json_option
def show(*, name: str, as_json: bool) -> None:
    """Show a task: its status, parameters, attempts and artifacts."""
    with connected() as client:
        detail = client.get(f"/tasks/{find_task(client, name)['id']}")
    found = detail.pop("task")
    if as_json:
        print_json(found | detail)
        return
    print_fields(_fields(found))
    if found["status"] == "queued" and detail["listening_agents"] == 0:
        queue = found["queue"]
        click.secho(f"no agent listens to queue {queue}; start one: retrain agent --queue {queue}", fg="yellow")
    _section("parameters", [(item["name"], _parameter(item)) for item in detail["parameters"]])
    _section("attempts", [(str(item["number"]), _attempt(item)) for item in detail["attempts"]])
    _section(
        "artifacts",
        [
            (item["name"], f"{item['kind']}  {size(item['size_bytes'])}  {item['digest']}")
            for item in detail["artifacts"]
        ],
    )


def _row(item: Item) -> Sequence[object]:
    return (
        item["id"],
        f"{item['project']}/{item['name']}",
        item["type"],
        item["status"],
        item["queue"],
        item["attempt"],
        item["tags"],
        ago(item["created_at"]),
    )


def _fields(found: Item) -> Sequence[tuple[str, object]]:
    source, packages, reason = found["source"] or {}, found["packages"] or {}, found["status_reason"]
    return (
        ("task", f"{found['project']}/{found['name']}"),
        ("id", found["id"]),
        ("type", found["type"]),
        ("status", found["status"]),
        ("reason", found["status_message"] or (reason if reason != found["status"] else None)),
        ("queue", found["queue"]),
        ("attempt", found["attempt"] or None),
        ("tags", found["tags"]),
        ("parent", found["parent"]),
        ("comment", found["comment"]),
        ("script", _script(found["script"])),
        ("repository", source.get("repository")),
        ("branch", source.get("branch") if source.get("tree") is None else None),
        ("commit", source.get("commit")),
        ("source", _captured(source)),
        ("edits", "uncommitted, captured" if source.get("patch") and source.get("commit") else None),
        ("left out", source.get("left_out")),
        ("packages", _packages(packages)),
        ("image", (found["container"] or {}).get("image")),
        ("created", when(found["created_at"])),
        ("started", when(found["started_at"])),
        ("ended", when(found["ended_at"])),
        ("archived", when(found["archived_at"])),
    )


def _script(script: Item | None) -> str | None:
    return None if script is None else " ".join([script["entry_point"], *script["arguments"]])


def _captured(source: Item) -> str | None:
    tree = source.get("tree")
    return f"captured, tree {tree[:TREE_DIGITS]}…" if tree is not None and source["commit"] is None else None


def _packages(packages: Item) -> str | None:
    return f"Python {packages['python']}, {len(packages['distributions'])} distributions" if packages else None


def _attempt(item: Item) -> str:
    end = item["exit_reason"] or "running"
    code = "" if item["exit_code"] is None else f"exit code {item['exit_code']}"
    built = {None: "", True: "environment reused", False: "environment built"}[item["environment_reused"]]
    parts = (
        end,
        code,
        item["executor"] or _runner(item["agent_id"]),
        built,
        f"commit {item['commit'][:TREE_DIGITS]}…" if item["commit"] is not None else "",
        when(item["started_at"]),
        item["message"] or "",
    )
    return "  ".join(part for part in parts if part)


def _runner(agent_id: str | None) -> str:
    return "by hand" if agent_id is None else f"agent {agent_id}"


def _parameter(item: Item) -> str:
    """Return a value as one can tell it from another: the empty text and None are shown, long texts shortened."""
    value = str(item["value"])
    if not value:
        return "None" if item["type"] == "none" else '""'
    return value if len(value) <= VALUE_SHOWN else f"{value[:VALUE_SHOWN]}… ({len(value):,} characters)"


def _section(title: str, fields: Sequence[tuple[str, object]]) -> None:
    if fields:
        click.secho(f"\n{title}", bold=True)
        print_fields((f"  {name}", value) for name, value in fields)
