"""`retrain storage`: where the bytes of datasets lie."""

from __future__ import annotations

from urllib.parse import quote

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.output import json_option, print_json, size
from orchestrator.cli.table import print_list, print_table


@click.group()
def storage() -> None:
    """Say where the bytes of datasets lie: directories, S3, GCS, Azure.

    New bytes go to the storage that was chosen for their dataset, else for its project or the nearest one above it,
    else to `default`, the server's own. Credentials are never part of a storage: the server and each machine use their
    own, such as AWS_ACCESS_KEY_ID or AZURE_STORAGE_CONNECTION_STRING.
    """


@storage.command("list")
@json_option
def list_storages(*, as_json: bool) -> None:
    """List storages, what lies in them, and what they were chosen for."""
    with connected() as client:
        storages = list(client.pages("/storages"))
        choices = list(client.pages("/storages/choices"))
    print_list(
        storages,
        as_json=as_json,
        headings=("STORAGE", "URL", "OBJECTS", "SIZE"),
        row=lambda item: (item["name"], item["url"], item["objects"], size(item["size_bytes"])),
    )
    if choices and not as_json:
        click.echo()
        print_table(
            ("PROJECT", "DATASET", "STORAGE"),
            rows=[(each["project"], each["dataset"] or "all", each["storage"]) for each in choices],
        )


@storage.command()
@click.argument("name")
@click.argument("url")
@json_option
def add(*, name: str, url: str, as_json: bool) -> None:
    """Make a storage known: a directory that the server can reach, or s3://, gs://, az:// and a path in it."""
    with connected() as client:
        made = client.put(f"/storages/{quote(name, safe='')}", {"url": url})
    if as_json:
        print_json(made)
    else:
        click.echo(f"{name}  {made['url']}; to use it: retrain storage use PROJECT {name}")


@storage.command()
@click.argument("project")
@click.argument("name", metavar="STORAGE")
@click.option("--dataset", default="", help="Only for this dataset of the project.")
@json_option
def use(*, project: str, name: str, dataset: str, as_json: bool) -> None:
    """Have the new bytes of a project, and of all below it, go to a storage. What is stored already stays."""
    with connected() as client:
        made = client.put("/storages/choices", {"project": project, "dataset": dataset, "storage": name})
    if as_json:
        print_json(made)
    else:
        click.echo(f"{project}{f'/{dataset}' if dataset else ''}  {name}")


@storage.command()
@click.argument("project")
@click.option("--dataset", default="", help="Only for this dataset of the project.")
def unuse(*, project: str, dataset: str) -> None:
    """Take a choice back: new bytes go where the project above says, or to the server's own storage."""
    with connected() as client:
        client.delete(f"/storages/choices?project={quote(project, safe='')}&dataset={quote(dataset, safe='')}")
    click.echo(f"{project}{f'/{dataset}' if dataset else ''}  no storage of its own")
