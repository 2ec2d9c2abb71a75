"""`retrain dataset verify`, `repair` and `gc`: whether stored bytes are whole, and which are needed no more."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.dataset_common import label, opened
from orchestrator.cli.lookup import find_dataset
from orchestrator.cli.main import FAILED
from orchestrator.cli.output import cell, json_option, print_json, size
from orchestrator.cli.progress import progress

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


@click.command()
@click.argument("name", metavar="DATASET")
@click.option("--sample", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Share of the files to read.")
@json_option
@click.pass_context
def verify(context: click.Context, *, name: str, sample: float, as_json: bool) -> None:
    """Have the server read a version's stored bytes and say which files are damaged. Exit code 1 where some are."""
    with connected() as client:
        found = find_dataset(client, name)
    with opened(found["id"]) as dataset, progress("verifying") as show:
        damaged = dataset.verify(sample=sample, progress=show)
    if as_json:
        print_json(damaged)
    else:
        for each in damaged:
            click.echo(f"{cell(each['path'])}  {each['reason']}")
        hint = f"; to mend them: retrain dataset repair {found['id']} --from PLACE" if damaged else ""
        click.echo(f"{found['id']}  {label(found)}  {len(damaged)} damaged files{hint}")
    if damaged:
        context.exit(FAILED)


@click.command()
@click.argument("name", metavar="DATASET")
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="PLACE",
    help="A folder or URL of another storage, a file that `export` wrote, or any folder of files.",
)
@json_option
@click.pass_context
def repair(context: click.Context, *, name: str, sources: tuple[str, ...], as_json: bool) -> None:
    """Store damaged and missing bytes again, from other places that have them; this machine's cache is one of them.

    Exit code 1 where files stay damaged.
    """
    with connected() as client:
        found = find_dataset(client, name)
    with opened(found["id"]) as dataset, progress("verifying") as show:
        repaired = dataset.repair(sources, progress=show)
    if as_json:
        print_json({"mended": repaired.mended, "still_damaged": [each._asdict() for each in repaired.still_damaged]})
    else:
        for path in repaired.mended:
            click.echo(f"{cell(path)}  mended")
        for each in repaired.still_damaged:
            click.echo(f"{cell(each.path)}  still damaged: {each.reason}")
        click.echo(
            f"{found['id']}  {label(found)}  {len(repaired.mended)} mended, {len(repaired.still_damaged)} still damaged"
        )
    if repaired.still_damaged:
        context.exit(FAILED)


@click.command()
@click.option(
    "--grace", default="1d", show_default=True, help="Delete what was found unused so long ago: 30min, 6h, 2d."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
def gc(*, grace: str, dry_run: bool, as_json: bool) -> None:
    """Give back bytes that no version, draft or task holds.

    That takes two runs: the first condemns them, and one after the grace period deletes them; whoever stores or uses
    them meanwhile revives them.
    """
    body = {"grace_seconds": _duration(grace), "dry_run": dry_run}
    with connected() as client:
        collected: dict[str, Any] = client.post("/blobs/collect", body, timeout_seconds=3600)
    if as_json:
        print_json(collected)
        return
    verb = "would free" if dry_run else "freed"
    click.echo(f"{verb} {size(collected['freed_bytes'])} of {collected['deleted_blobs']} files")
    waiting = f"{collected['condemned_blobs']} files, {size(collected['condemned_bytes'])}"
    click.echo(f"unused, waiting for the grace period of {grace} to end: {waiting}")
    if collected["unreachable"]:
        names = ", ".join(map(cell, collected["unreachable"]))
        click.echo(f"not looked at, for they do not answer or are another server's: storages {names}", err=True)


def _duration(text: str) -> float:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :] or "s"
    try:
        return float(number) * _SECONDS[unit]
    except (ValueError, KeyError):
        raise click.BadParameter(f"{text!r} is no length of time.", param_hint="--grace") from None
