"""`retrain dataset diff` and `graph`: how versions differ and descend from each other."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.dataset_common import label
from orchestrator.cli.lookup import find_dataset
from orchestrator.cli.output import cell, json_option, print_json, size
from orchestrator.errors import AlreadyExists

if TYPE_CHECKING:
    from collections.abc import Iterable

    Item = dict[str, Any]

_MARKS = {"added": ("+", "green"), "modified": ("~", "yellow"), "removed": ("-", "red")}
_SHOWN = 200


@click.command()
@click.argument("name", metavar="DATASET")
@click.argument("against", metavar="[DATASET]", required=False)
@click.option("--all", "everything", is_flag=True, help=f"All differences, not the first {_SHOWN} alone.")
@json_option
def diff(*, name: str, against: str | None, everything: bool, as_json: bool) -> None:
    """Show what was added (+), modified (~) and removed (-) against another version, by default the first parent."""
    from orchestrator.sdk.datasets.reading import kind_of_change  # noqa: PLC0415  only where it is used

    with connected() as client:
        found = find_dataset(client, name)
        other = find_dataset(client, against)["id"] if against is not None else None
        changes: Iterable[Item] = client.pages(f"/datasets/{found['id']}/diff", against=other, limit=1000)
        if as_json:
            print_json(list(changes))
            return
        shown = list(changes if everything else itertools.islice(changes, _SHOWN + 1))
    for change in shown if everything else shown[:_SHOWN]:
        mark, colour = _MARKS[kind_of_change(change)]
        click.echo(click.style(f"{mark} {cell(change['path'])}", fg=colour) + f"  {_sizes(change)}")
    if not shown:
        click.echo("the files are the same")
    elif not everything and len(shown) > _SHOWN:
        click.echo("… and more: --all", err=True)


@click.command()
@click.argument("name", metavar="DATASET")
@click.option("--svg", "svg", type=click.Path(path_type=Path), help="Write the picture into this file.")
@click.option("--mermaid", is_flag=True, help="Print it as Mermaid, for Markdown pages.")
@json_option
def graph(*, name: str, svg: Path | None, mermaid: bool, as_json: bool) -> None:
    """Show what a version descends from and what descends from it: as a tree, as SVG or as Mermaid."""
    from orchestrator.sdk.lineage.pictures import as_mermaid, as_svg, as_tree  # noqa: PLC0415  only where it is used

    with connected() as client:
        found = find_dataset(client, name)
        lineage = client.get(f"/datasets/{found['id']}/lineage")
    if as_json:
        print_json(lineage)
    elif mermaid:
        click.echo(as_mermaid(lineage, focus=found["id"]))
    elif svg is not None:
        if svg.exists():
            raise AlreadyExists(f"{svg} is there already.", hint="Name a new file.")
        svg.write_text(as_svg(lineage, focus=found["id"]), encoding="utf-8")
        click.echo(f"{svg}  descent of {label(found)}, {len(lineage['nodes'])} versions")
    else:
        for line in as_tree(lineage, focus=found["id"]):
            click.echo(line)


def _sizes(change: Item) -> str:
    sizes = [size(entry["size_bytes"]) for entry in (change["before"], change["after"]) if entry is not None]
    return " → ".join(dict.fromkeys(sizes))
