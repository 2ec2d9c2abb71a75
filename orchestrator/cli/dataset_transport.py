"""`retrain dataset export` and `import`: a version as one file, for places without a network."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.dataset_common import label, opened, tell
from orchestrator.cli.lookup import find_dataset
from orchestrator.cli.output import json_option, size
from orchestrator.cli.progress import progress


@click.command("export")
@click.argument("name", metavar="DATASET")
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--since", metavar="DATASET", help="Leave out what this version holds: it is there already.")
def export_dataset(*, name: str, target: Path, since: str | None) -> None:
    """Write a version into one file, with its number, tags, metadata and plots."""
    with connected() as client:
        found = find_dataset(client, name)
        known = find_dataset(client, since)["id"] if since is not None else None
    with opened(found["id"]) as dataset, progress("writing") as show:
        dataset.export(target, since=known, progress=show)
    click.echo(f"{target}  {label(found)}, {size(target.stat().st_size)}")


@click.command("import")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--project", help="Where it belongs here; where it belonged there where it is not given.")
@click.option("--name", help="What it is called here; as there where it is not given.")
@json_option
def import_dataset(*, source: Path, project: str | None, name: str | None, as_json: bool) -> None:
    """Make the version that a file holds which `export` wrote; it is final at once."""
    from orchestrator.sdk.bundles.bundle import import_version  # noqa: PLC0415  only where it is used

    with connected() as client, progress("reading") as show:
        tell(import_version(client, source, project=project, name=name, progress=show), as_json=as_json)
