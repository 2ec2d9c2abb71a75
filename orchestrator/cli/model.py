"""`retrain model`: versions of models, and the aliases by which they are found."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import find_model, find_model_name
from orchestrator.cli.output import ago, json_option, print_fields, print_json, size, when
from orchestrator.cli.progress import progress
from orchestrator.cli.table import limit_option, print_list
from orchestrator.errors import AlreadyExists, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    Item = dict[str, Any]

FILES_SHOWN = 20

alias_option = click.option("--alias", default="production", show_default=True, help="The name that is to move.")
reason_option = click.option("--reason", default="", help="Why, for the history.")


@click.group()
def model() -> None:
    """Find, fetch and promote versions of models.

    MODEL is an id, a beginning of one that no other version has, PROJECT/NAME@VERSION, PROJECT/NAME@ALIAS, or
    PROJECT/NAME for the newest version.
    """


@model.command("list")
@click.option("--project", help="This project and all below it.")
@click.option("--name", help="Models of exactly this name.")
@click.option("--tag", help="Versions that have this tag.")
@click.option("--alias", help="Versions that have this alias.")
@click.option("--task", metavar="ID", help="Versions that this task made.")
@click.option("--archived", is_flag=True, help="Those that were archived, too.")
@limit_option
@json_option
def list_models(
    *,
    project: str | None,
    name: str | None,
    tag: str | None,
    alias: str | None,
    task: str | None,
    archived: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """List model versions, newest first."""
    with connected() as client:
        print_list(
            client.pages(
                "/models",
                project=project,
                name=name,
                tag=tag,
                alias=alias,
                task=task,
                archived=archived or None,
                limit=100,
            ),
            as_json=as_json,
            headings=("ID", "MODEL", "STATE", "ALIASES", "FRAMEWORK", "SIZE", "TAGS", "CREATED"),
            row=lambda item: (
                item["id"],
                label(item),
                "archived" if item["archived_at"] else item["state"],
                item["aliases"],
                item["framework"],
                size(item["size_bytes"]),
                item["tags"],
                ago(item["created_at"]),
            ),
            expendable=("FRAMEWORK", "SIZE", "CREATED", "TAGS"),
            limit=limit,
        )


@model.command()
@click.argument("name", metavar="MODEL")
@click.option("--files", "all_files", is_flag=True, help=f"List all files, not the first {FILES_SHOWN} alone.")
@json_option
def show(*, name: str, all_files: bool, as_json: bool) -> None:
    """Show a version: what it consists of, and which task made it of which data."""
    with connected() as client:
        found = find_model(client, name)
    if as_json:
        print_json(found)
        return
    print_fields(_fields(found))
    files = found["model"]["files"]
    shown = list(files if all_files else itertools.islice(files, FILES_SHOWN))
    click.secho("\nfiles", bold=True)
    print_fields((f"  {file['path']}", size(file["size_bytes"])) for file in shown)
    if len(files) > len(shown):
        click.echo(f"  … and {len(files) - len(shown)} more: --files")


@model.command()
@click.argument("name", metavar="MODEL")
@click.option("--to", "target", type=click.Path(path_type=Path), help="Copy it there: a new file or directory.")
def get(*, name: str, target: Path | None) -> None:
    """Fetch a version and print where it is: a file where one was registered, else a directory.

    Without --to that is a read-only copy that all users of the version on this machine share.
    """
    from orchestrator.sdk.models.model import Model  # noqa: PLC0415  only commands that move files need it
    from orchestrator.sdk.session import session  # noqa: PLC0415  likewise

    with connected() as client:
        found = find_model(client, name)["model"]
    try:
        with progress("fetching") as show_progress:
            copy = Model.get(model_id=found["id"]).get_local_copy(progress=show_progress)
    finally:
        session.close()
    click.echo(copy if target is None else _copy(copy, target=target))


@model.command()
@click.argument("name", metavar="MODEL")
@alias_option
@reason_option
@json_option
def promote(*, name: str, alias: str, reason: str, as_json: bool) -> None:
    """Have an alias stand for a version from now on; triggers may act on it."""
    with connected() as client:
        found = find_model(client, name)["model"]
        _tell(client.post(f"/models/{found['id']}/promote", {"alias": alias, "reason": reason}), as_json=as_json)


@model.command()
@click.argument("name", metavar="PROJECT/NAME")
@alias_option
@reason_option
@json_option
def rollback(*, name: str, alias: str, reason: str, as_json: bool) -> None:
    """Have an alias stand for what it stood for before. Done again it goes one step further back."""
    with connected() as client:
        project, last = find_model_name(client, name)
        body = {"project": project, "name": last, "alias": alias, "reason": reason}
        _tell(client.post("/models/rollback", body), as_json=as_json)


@model.command()
@click.argument("name", metavar="MODEL")
@json_option
def publish(*, name: str, as_json: bool) -> None:
    """Mark a version as one that others may rely on."""
    with connected() as client:
        found = find_model(client, name)["model"]
        _tell(client.post(f"/models/{found['id']}/publish"), as_json=as_json)


@model.command()
@click.argument("name", metavar="MODEL")
@click.option("--undo", is_flag=True, help="Take it into lists again.")
@json_option
def archive(*, name: str, undo: bool, as_json: bool) -> None:
    """Leave a version out of lists; it is not promoted, and whoever names it can use it as before."""
    with connected() as client:
        found = find_model(client, name)["model"]
        _tell(client.post(f"/models/{found['id']}/{'unarchive' if undo else 'archive'}"), as_json=as_json)


@model.command()
@click.argument("name", metavar="MODEL")
@click.option("--add", "added", multiple=True, metavar="TAG", help="May be given several times: one event in all.")
@click.option("--remove", "removed", multiple=True, metavar="TAG")
@json_option
def tag(*, name: str, added: tuple[str, ...], removed: tuple[str, ...], as_json: bool) -> None:
    """Put tags on a version, or take them off; triggers may act on it."""
    if not added and not removed:
        raise InvalidRequest("Nothing is to be tagged.", hint="Say which: --add TAG or --remove TAG.")
    with connected() as client:
        found = find_model(client, name)["model"]
        body = {"add": added, "remove": removed}
        _tell(client.post(f"/models/{found['id']}/tags", body), as_json=as_json)


@model.command()
@click.argument("name", metavar="PROJECT/NAME")
@click.option("--alias", help="This one alone.")
@limit_option
@json_option
def history(*, name: str, alias: str | None, limit: int | None, as_json: bool) -> None:
    """List how a model's aliases moved, newest first: when, from which version to which, who moved it and why."""
    with connected() as client:
        project, last = find_model_name(client, name)
        print_list(
            client.pages("/models/history", project=project, name=last, alias=alias),
            as_json=as_json,
            headings=("WHEN", "ALIAS", "FROM", "TO", "WHO", "WHY", "FIRING"),
            row=lambda item: (
                when(item["at"]),
                item["alias"],
                item["from_version"],
                item["to_version"],
                item["actor_name"] or item["actor"],
                item["reason"],
                item["firing"],
            ),
            expendable=("FIRING",),
            limit=limit,
        )


def label(found: Item) -> str:
    """Return what people call a version: its project, name and number."""
    return f"{found['project']}/{found['name']}@{found['version']}"


def _tell(detail: Item, *, as_json: bool) -> None:
    """Print a version in a line, or as it is."""
    if as_json:
        print_json(detail)
        return
    found = detail["model"]
    aliases = ", ".join(each["alias"] for each in detail["aliases"])
    notes = [f"aliases: {aliases}" if aliases else "", f"tags: {', '.join(found['tags'])}" if found["tags"] else ""]
    state = f"{found['state']}, archived" if found["archived_at"] else found["state"]
    click.echo("  ".join([found["id"], label(found), state, *filter(None, notes)]))


def _fields(detail: Item) -> Sequence[tuple[str, object]]:
    found = detail["model"]
    return (
        ("model", f"{found['project']}/{found['name']}"),
        ("version", found["version"]),
        ("id", found["id"]),
        ("state", found["state"]),
        ("aliases", [each["alias"] for each in detail["aliases"]]),
        ("tags", found["tags"]),
        ("framework", found["framework"]),
        ("comment", found["comment"]),
        ("metadata", json.dumps(found["metadata"], ensure_ascii=False) if found["metadata"] else None),
        ("made by task", found["task_id"]),
        ("attempt", found["attempt"]),
        ("of datasets", found["datasets"]),
        ("size", f"{len(found['files'])} files, {size(found['size_bytes'])}"),
        ("created", when(found["created_at"])),
        ("published", when(found["published_at"])),
        ("archived", when(found["archived_at"])),
    )


def _copy(copy: Path, *, target: Path) -> Path:
    """Copy a file or folder to where a person wants it, where nothing is yet."""
    from orchestrator.sdk.copies.local_copy import disk_errors  # noqa: PLC0415  only where it is used
    from orchestrator.sdk.copies.mutable_copy import mutable_copy  # noqa: PLC0415  likewise
    from orchestrator.sdk.copies.raw_files import copy_contents  # noqa: PLC0415  likewise

    if copy.is_dir():
        return mutable_copy(copy, target=target)
    place = target / copy.name if target.is_dir() else target
    if place.exists():
        raise AlreadyExists(f"{place} is there already.", hint="Name another file.")
    with disk_errors(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".retrain-{os.urandom(8).hex()}")
        try:
            copy_contents(copy, draft)
            draft.rename(place)
        finally:
            draft.unlink(missing_ok=True)
    return place
