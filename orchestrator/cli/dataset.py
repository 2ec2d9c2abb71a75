"""`retrain dataset`: versions of data; what moves files, checks and draws them stands beside this file."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.dataset_cache import cache
from orchestrator.cli.dataset_checks import gc, repair, verify
from orchestrator.cli.dataset_common import label, tell
from orchestrator.cli.dataset_files import add, get, link, remove, sync
from orchestrator.cli.dataset_graph import diff, graph
from orchestrator.cli.dataset_life import archive, delete, publish, rename, squash
from orchestrator.cli.dataset_preview import preview
from orchestrator.cli.dataset_transport import export_dataset, import_dataset
from orchestrator.cli.lookup import find_dataset
from orchestrator.cli.output import (
    ago,
    json_option,
    print_fields,
    print_json,
    size,
    when,
)
from orchestrator.cli.table import limit_option, print_list
from orchestrator.errors import InvalidRequest
from orchestrator.sdk.lasting import post_lasting

if TYPE_CHECKING:
    from collections.abc import Sequence

    Item = dict[str, Any]

FILES_SHOWN = 20


@click.group()
def dataset() -> None:
    """Make, fill, tag and fetch dataset versions.

    DATASET is an id, a beginning of one that no other version has, PROJECT/NAME@VERSION, or PROJECT/NAME for the newest
    version: the newest draft where files are added, removed or finalized, else the newest final one.
    """


for command in (
    add,
    sync,
    link,
    remove,
    get,
    publish,
    archive,
    delete,
    rename,
    squash,
    diff,
    graph,
    preview,
    verify,
    repair,
    gc,
    cache,
    export_dataset,
    import_dataset,
):
    dataset.add_command(command)


@dataset.command()
@click.argument("project")
@click.argument("name")
@click.option("--version", help="Such as 1.2.0; counts up from the newest where it is not given.")
@click.option("--parent", "parents", multiple=True, metavar="DATASET", help="Begin with the files of this version.")
@click.option("--tag", "tags", multiple=True)
@click.option("--description", default="")
@click.option("--storage", help="Where new bytes go; wherever the project says where it is not given.")
@json_option
def create(
    *,
    project: str,
    name: str,
    version: str | None,
    parents: tuple[str, ...],
    tags: tuple[str, ...],
    description: str,
    storage: str | None,
    as_json: bool,
) -> None:
    """Make a draft: a version that files can be added to. Without --parent it is empty."""
    with connected() as client:
        body = {
            "project": project,
            "name": name,
            "version": version,
            "parents": [find_dataset(client, parent)["id"] for parent in parents],
            "tags": tags,
            "description": description,
            "storage": storage,
        }
        tell(client.post("/datasets", body), as_json=as_json)


@dataset.command()
@click.argument("name", metavar="DATASET")
@json_option
def finalize(*, name: str, as_json: bool) -> None:
    """Make a draft final: it never changes again, and triggers may act on it."""
    with connected() as client:
        found = find_dataset(client, name, states=["open"])
        tell(post_lasting(client, f"/datasets/{found['id']}/finalize"), as_json=as_json)


@dataset.command()
@click.argument("name", metavar="DATASET")
@click.option("--add", "added", multiple=True, metavar="TAG", help="May be given several times: one event in all.")
@click.option("--remove", "removed", multiple=True, metavar="TAG")
@json_option
def tag(*, name: str, added: tuple[str, ...], removed: tuple[str, ...], as_json: bool) -> None:
    """Put tags on a version, or take them off; triggers may act on it."""
    if not added and not removed:
        raise InvalidRequest("Nothing is to be tagged.", hint="Say which: --add TAG or --remove TAG.")
    with connected() as client:
        found = find_dataset(client, name)
        tell(client.post(f"/datasets/{found['id']}/tags", {"add": added, "remove": removed}), as_json=as_json)


@dataset.command("list")
@click.option("--project", help="This project and all below it.")
@click.option("--name", help="The name contains this.")
@click.option("--tag", "tags", multiple=True, help="Versions that have this tag; all of them where several are given.")
@click.option("--any-tag", "any_tags", multiple=True, help="Versions that have one of these tags.")
@click.option("--no-tag", "no_tags", multiple=True, help="Versions that have none of these tags.")
@click.option("--from", "version_from", metavar="VERSION", help="This version and larger ones.")
@click.option("--before", "version_before", metavar="VERSION", help="Versions smaller than this one.")
@click.option("--state", type=click.Choice(["open", "final", "published"]))
@click.option("--archived", is_flag=True, help="Those that were archived, too.")
@limit_option
@json_option
def list_datasets(
    *,
    project: str | None,
    name: str | None,
    tags: tuple[str, ...],
    any_tags: tuple[str, ...],
    no_tags: tuple[str, ...],
    version_from: str | None,
    version_before: str | None,
    state: str | None,
    archived: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """List dataset versions, newest first."""
    with connected() as client:
        print_list(
            client.pages(
                "/datasets",
                project=project,
                name_part=name,
                tag=tags,
                any_tag=any_tags,
                no_tag=no_tags,
                version_from=version_from,
                version_before=version_before,
                state=state,
                archived="all" if archived else "false",
            ),
            as_json=as_json,
            headings=("ID", "DATASET", "STATE", "FILES", "SIZE", "TAGS", "CREATED"),
            row=lambda item: (
                item["id"],
                label(item),
                item["state"],
                item["file_count"],
                size(item["size_bytes"]),
                item["tags"],
                ago(item["created_at"]),
            ),
            expendable=("FILES", "CREATED", "TAGS", "SIZE"),
            limit=limit,
        )


@dataset.command()
@click.argument("name", metavar="DATASET")
@click.option("--files", "all_files", is_flag=True, help=f"List all files, not the first {FILES_SHOWN} alone.")
@json_option
def show(*, name: str, all_files: bool, as_json: bool) -> None:
    """Show a version: what it holds and where it comes from."""
    with connected() as client:
        found = find_dataset(client, name)
        entries = client.pages(f"/datasets/{found['id']}/entries")
        if as_json:
            print_json(found | ({"entries": list(entries)} if all_files else {}))
            return
        print_fields(_fields(found))
        shown = list(entries if all_files else itertools.islice(entries, FILES_SHOWN))
    if not shown:
        return
    click.secho("\nfiles", bold=True)
    print_fields((f"  {entry['path']}", size(entry["size_bytes"])) for entry in shown)
    if found["file_count"] > len(shown):
        click.echo(f"  … and {found['file_count'] - len(shown)} more: --files")


def _fields(found: Item) -> Sequence[tuple[str, object]]:
    changes = f"{found['added_count']} added, {found['modified_count']} modified, {found['removed_count']} removed"
    return (
        ("dataset", f"{found['project']}/{found['name']}"),
        ("version", found["version"]),
        ("id", found["id"]),
        ("state", found["state"]),
        ("tags", found["tags"]),
        ("description", found["description"]),
        ("parents", found["parents"]),
        ("storage", found["storage"]),
        ("files", f"{found['file_count']}, {size(found['size_bytes'])}; {changes}"),
        ("made by task", found["task"]),
        ("created", when(found["created_at"])),
        ("finalized", when(found["finalized_at"])),
        ("published", when(found["published_at"])),
        ("archived", when(found["archived_at"])),
        ("deleted", when(found["deleted_at"])),
    )
