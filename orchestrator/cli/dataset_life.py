"""`retrain dataset publish`, `archive`, `delete`, `rename`, `squash`: what becomes of versions."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.dataset_common import confirm, label, opened, tell
from orchestrator.cli.lookup import find_dataset
from orchestrator.cli.output import json_option, print_json, size
from orchestrator.sdk.lasting import ANSWER_SECONDS

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command()
@click.argument("name", metavar="DATASET")
@json_option
def publish(*, name: str, as_json: bool) -> None:
    """Mark a final version as one that others may rely on; it is not deleted without --force."""
    with connected() as client:
        found = find_dataset(client, name)
        tell(client.post(f"/datasets/{found['id']}/publish"), as_json=as_json)


@click.command()
@click.argument("name", metavar="DATASET")
@click.option("--undo", is_flag=True, help="Take it into lists again.")
@json_option
def archive(*, name: str, undo: bool, as_json: bool) -> None:
    """Leave a version out of lists; whoever names it can use it as before."""
    with connected() as client:
        found = find_dataset(client, name)
        tell(client.patch(f"/datasets/{found['id']}", {"archived": not undo}), as_json=as_json)


@click.command()
@click.argument("name", metavar="DATASET")
@click.option("--force", is_flag=True, help="Also when it is published.")
@click.option("--dry-run", is_flag=True, help="Only say what would be freed.")
@yes_option
@json_option
def delete(*, name: str, force: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete a version's files. Those that other versions have, too, stay there; its record stays for the graph.

    What nobody holds any more is given back by `retrain dataset gc`.
    """
    with connected() as client:
        found = find_dataset(client, name)
        path = f"/datasets/{found['id']}"
        freed = client.delete(
            f"{path}?dry_run=true&force={'true' if force else 'false'}", timeout_seconds=ANSWER_SECONDS
        )
        if not dry_run:
            confirm(f"Delete {label(found)}, which frees {_amount(freed)}?", yes=yes)
            freed = client.delete(f"{path}?force={'true' if force else 'false'}", timeout_seconds=ANSWER_SECONDS)
    if as_json:
        print_json(freed)
    else:
        verb = "would free" if dry_run else "deleted; retrain dataset gc gives back"
        click.echo(f"{found['id']}  {label(found)}  {verb} {_amount(freed)}")


@click.command()
@click.argument("project")
@click.argument("name")
@click.option("--name", "new_name", metavar="NAME", help="Its new name.")
@click.option("--project", "new_project", metavar="PROJECT", help="Its new project.")
@json_option
def rename(*, project: str, name: str, new_name: str | None, new_project: str | None, as_json: bool) -> None:
    """Give all versions of a dataset another name, another project, or both."""
    if new_name is None and new_project is None:
        raise click.UsageError("Say what changes: --name NAME, --project PROJECT or both.")
    body = {"project": project, "name": name, "new_project": new_project, "new_name": new_name}
    with connected() as client:
        renamed = client.post("/datasets/rename", body)
    if as_json:
        print_json(renamed)
    else:
        click.echo(f"{new_project or project}/{new_name or name}  {renamed['versions']} versions")


@click.command()
@click.argument("project")
@click.argument("name")
@click.argument("datasets", metavar="DATASET...", nargs=-1, required=True)
@click.option("--version", help="Such as 1.2.0; counts up from the newest where it is not given.")
@json_option
def squash(*, project: str, name: str, datasets: tuple[str, ...], version: str | None, as_json: bool) -> None:
    """Make one final version PROJECT/NAME, without parents, of the files of several; no bytes are stored again.

    Of two files with one path that of the later DATASET stays.
    """
    with connected() as client:
        ids = [find_dataset(client, each)["id"] for each in datasets]
    with opened(ids[0]) as first:
        made = first.squash(name, ids, dataset_project=project, dataset_version=version)
    with connected() as client:
        tell(client.get(f"/datasets/{made.id}"), as_json=as_json)


def _amount(freed: dict[str, Any]) -> str:
    return f"{freed['files']} files, {size(freed['size_bytes'])}"
