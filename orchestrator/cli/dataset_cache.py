"""`retrain dataset cache`: what this machine keeps of versions that were fetched."""

from __future__ import annotations

import time

import click

from orchestrator.cli.output import json_option, print_json, size, span
from orchestrator.cli.table import print_list


@click.group()
def cache() -> None:
    """See and empty this machine's cache of fetched versions.

    It empties itself, least recently used first and never what is in use, when it grows over RETRAIN_CACHE_BYTES.
    """


@cache.command("list")
@json_option
def list_trees(*, as_json: bool) -> None:
    """List the copies of versions, the one first that was not used for longest."""
    from orchestrator.sdk.copies.cache import Cache  # noqa: PLC0415  only where it is used
    from orchestrator.sdk.session import cache_directory  # noqa: PLC0415  likewise

    kept = Cache(cache_directory())
    trees = [
        {
            "name": tree.name,
            "path": str(tree.path),
            "dataset": tree.summary.title if tree.summary is not None else "",
            "files": tree.summary.files if tree.summary is not None else None,
            "size_bytes": tree.summary.size_bytes if tree.summary is not None else None,
            "used_at": tree.used_at,
            "in_use": tree.in_use,
        }
        for tree in kept.trees()
    ]
    now = time.time()
    print_list(
        trees,
        as_json=as_json,
        headings=("COPY", "DATASET", "FILES", "SIZE", "USED"),
        row=lambda tree: (
            tree["name"],
            tree["dataset"],
            tree["files"],
            "" if tree["size_bytes"] is None else size(tree["size_bytes"]),
            "now" if tree["in_use"] else f"{span(max(0.0, now - tree['used_at']))} ago",
        ),
        expendable=("FILES",),
    )
    if not as_json:
        click.echo(f"{size(kept.usage())} of at most {size(kept.limit_bytes)} in {kept.root}", err=True)


@cache.command()
@click.option("--to", "to_bytes", type=click.IntRange(min=0), default=0, metavar="BYTES", help="Leave so much.")
@json_option
def prune(*, to_bytes: int, as_json: bool) -> None:
    """Remove copies that nobody uses, those first that were not used for longest, until so many bytes are left."""
    from orchestrator.sdk.copies.cache import Cache  # noqa: PLC0415  only where it is used
    from orchestrator.sdk.session import cache_directory  # noqa: PLC0415  likewise

    evicted = Cache(cache_directory()).evict(to_bytes)
    if as_json:
        print_json(evicted._asdict())
    else:
        click.echo(
            f"{len(evicted.names)} copies removed, {size(evicted.freed_bytes)} freed, {size(evicted.left_bytes)} left"
        )
