"""`retrain dataset add`, `sync`, `link`, `remove` and `get`: what moves files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.dataset_common import label, opened
from orchestrator.cli.lookup import find_dataset, next_version_hint
from orchestrator.cli.progress import progress
from orchestrator.errors import AlreadyExists, Conflict, InvalidPath, NotFound

if TYPE_CHECKING:
    from orchestrator.cli.progress import Progress
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.datasets.dataset import Dataset

wildcard_option = click.option(
    "--wildcard",
    "wildcards",
    multiple=True,
    metavar="PATTERN",
    help="Files whose name or path below the directory matches, such as '*.csv'.",
)
into_option = click.option("--into", "folder", metavar="FOLDER", help="Where in the dataset; its root if not given.")
flat_option = click.option("--flat", is_flag=True, help="Without the folders inside.")


@click.command()
@click.argument("name", metavar="DATASET")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@wildcard_option
@into_option
@flat_option
def add(*, name: str, paths: tuple[Path, ...], wildcards: tuple[str, ...], folder: str | None, flat: bool) -> None:
    """Add files to a draft: what is new or changed is stored and nothing else.

    Of a directory its content is added, with all folders below it.
    """
    with connected() as client:
        found = _find_draft(client, name)
    with opened(found["id"]) as dataset:
        with progress("storing") as show:
            count = sum(_add(dataset, path, wildcards, folder=folder, flat=flat, show=show) for path in paths)
        with progress("sending the list") as show:
            dataset.upload(progress=show)
    click.echo(f"{found['id']}  {label(found)}  {count} new or changed")


@click.command()
@click.argument("name", metavar="DATASET")
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
@wildcard_option
@into_option
def sync(*, name: str, path: Path, wildcards: tuple[str, ...], folder: str | None) -> None:
    """Make a draft hold what a directory holds: files are added, changed and removed."""
    with connected() as client:
        found = _find_draft(client, name)
    with opened(found["id"]) as dataset:
        with progress("storing") as show:
            removed, added, modified = dataset.sync_folder(path, folder, wildcard=wildcards, progress=show)
        with progress("sending the list") as show:
            dataset.upload(progress=show)
    click.echo(f"{found['id']}  {label(found)}  {added} added, {modified} modified, {removed} removed")


@click.command()
@click.argument("name", metavar="DATASET")
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@wildcard_option
@into_option
@flat_option
def link(*, name: str, urls: tuple[str, ...], wildcards: tuple[str, ...], folder: str | None, flat: bool) -> None:
    """Add links to files that stay where they are: s3://, gs://, az:// or https://.

    Size and etag are recorded, and checked when a file is fetched.
    """
    with connected() as client:
        found = _find_draft(client, name)
    with opened(found["id"]) as dataset:
        count = dataset.add_external_files(urls, wildcards, folder, recursive=not flat)
        dataset.upload()
    click.echo(f"{found['id']}  {label(found)}  {count} new or changed links")


@click.command()
@click.argument("name", metavar="DATASET")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
def remove(*, name: str, paths: tuple[str, ...]) -> None:
    """Take files out of a draft. PATH is a file's in the dataset, or a pattern such as 'old/*'."""
    with connected() as client:
        found = _find_draft(client, name)
    with opened(found["id"]) as dataset:
        counts = {path: dataset.remove_files(dataset_path=path) for path in paths}
        for path, count in counts.items():
            if not count:
                raise NotFound(f"{name} has no file {path!r}.", hint=f"See: retrain dataset show {name} --files.")
        dataset.upload()
    click.echo(f"{found['id']}  {found['project']}/{found['name']}@{found['version']}  {sum(counts.values())} removed")


class Part(click.ParamType[tuple[int, int]]):
    """`i/n`: part i, from 0, of n."""

    name = "I/N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Read it."""
        first, slash, second = str(value).partition("/")
        if not slash or not first.isdecimal() or not second.isdecimal() or int(first) >= int(second):
            self.fail(f"{value!r} is no part: write 0/4 for the first of four, up to 3/4.", param, ctx)
        return int(first), int(second)


@click.command()
@click.argument("name", metavar="DATASET")
@click.option("--to", "target", type=click.Path(path_type=Path), help="Copy the files into this new directory.")
@click.option("--part", type=Part(), help="Every N-th file from the I-th on: 0/4 to 3/4 are together the whole.")
@click.option("--files", "patterns", multiple=True, metavar="PATTERN", help="Files that match, or lie in this folder.")
def get(*, name: str, target: Path | None, part: tuple[int, int] | None, patterns: tuple[str, ...]) -> None:
    """Fetch a version's files and print where they are.

    Without --to that is a read-only copy that all users of the version on this machine share.
    """
    with connected() as client:
        found = find_dataset(client, name)
    if target is not None and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AlreadyExists(f"{target} is there already.", hint="Name a new directory.")
    number, parts = part or (None, None)
    with opened(found["id"]) as dataset, progress("fetching") as show:
        if target is None:
            target = dataset.get_local_copy(number, parts, files=patterns, progress=show)
        else:
            dataset.get_mutable_local_copy(target, part=number, num_parts=parts, files=patterns, progress=show)
    click.echo(target)


def _find_draft(client: Client, name: str) -> dict[str, Any]:
    found = find_dataset(client, name, states=["open"])
    if found["state"] != "open":
        raise Conflict(
            f"{found['project']}/{found['name']}@{found['version']} is {found['state']} and never changes again.",
            hint=next_version_hint(found),
        )
    return found


def _add(
    dataset: Dataset,
    path: Path,
    wildcards: tuple[str, ...],
    *,
    folder: str | None,
    flat: bool,
    show: Progress,
) -> int:
    """Add what is at a path, and return how much of it is new or changed.

    Raises:
        NotFound: it is a folder with no such file.
        InvalidPath: as `Dataset.add_files`; the message names the folder, too.
    """
    from orchestrator.sdk.ingest.scan import scan  # noqa: PLC0415  only commands that move files need it

    where = click.format_filename(path)
    try:
        count = dataset.add_files(path, wildcards, dataset_path=folder, recursive=not flat, progress=show)
        # Nothing new is no mistake, nothing there is one; only then are the folders gone through again.
        if not count and next(scan(path, wildcards=wildcards, recursive=not flat), None) is None:
            what = "no file that matches " + " or ".join(map(repr, wildcards)) if wildcards else "no files"
            raise NotFound(f"There is {what} in {where} and the folders below it.", hint="Nothing was added.")
    except InvalidPath as error:
        if str(path) in error.message:
            raise
        raise InvalidPath(f"In {where}: {error.message}", hint=error.hint) from error
    return count
