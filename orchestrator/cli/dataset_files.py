"""`retrain dataset add`, `remove` and `get`: what moves files."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import find_dataset, next_version_hint
from orchestrator.cli.progress import progress
from orchestrator.errors import AlreadyExists, Conflict, InvalidPath, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.cli.progress import Progress
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.dataset import Dataset


@click.command()
@click.argument("name", metavar="DATASET")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--wildcard", metavar="PATTERN", help="Files of a directory whose name matches, such as '*.csv'.")
@click.option("--into", "folder", metavar="FOLDER", help="Where in the dataset; its root where it is not given.")
def add(*, name: str, paths: tuple[Path, ...], wildcard: str | None, folder: str | None) -> None:
    """Add files to a draft: what is new or changed is sent and nothing else.

    Of a directory its content is added, with all folders below it.
    """
    with connected() as client:
        found = _find_draft(client, name)
    with _opened(found["id"]) as dataset:
        with progress("reading") as show:
            count = sum(_add(dataset, path, wildcard=wildcard, folder=folder, show=show) for path in paths)
        with progress("sending") as show:
            dataset.upload(progress=show)
    click.echo(f"{found['id']}  {found['project']}/{found['name']}@{found['version']}  {count} new or changed")


@click.command()
@click.argument("name", metavar="DATASET")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
def remove(*, name: str, paths: tuple[str, ...]) -> None:
    """Take files out of a draft. PATH is a file's in the dataset, or a pattern such as 'old/*'."""
    with connected() as client:
        found = _find_draft(client, name)
    with _opened(found["id"]) as dataset:
        counts = {path: dataset.remove_files(dataset_path=path) for path in paths}
        for path, count in counts.items():
            if not count:
                raise NotFound(f"{name} has no file {path!r}.", hint=f"See: retrain dataset show {name} --files.")
        dataset.upload()
    click.echo(f"{found['id']}  {found['project']}/{found['name']}@{found['version']}  {sum(counts.values())} removed")


@click.command()
@click.argument("name", metavar="DATASET")
@click.option("--to", "target", type=click.Path(path_type=Path), help="Copy the files into this new directory.")
def get(*, name: str, target: Path | None) -> None:
    """Fetch a version's files and print where they are.

    Without --to that is a read-only copy that all users of the version on this machine share.
    """
    with connected() as client:
        found = find_dataset(client, name)
    if target is not None and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AlreadyExists(f"{target} is there already.", hint="Name a new directory.")
    with _opened(found["id"]) as dataset, progress("fetching") as show:
        shared = dataset.get_local_copy(progress=show)
    if target is None:
        click.echo(shared)
        return
    # Contents alone: the shared copy is read-only, and what a person asks for is theirs to change.
    shutil.copytree(shared, target, copy_function=shutil.copyfile, dirs_exist_ok=True)
    click.echo(target)


def _find_draft(client: Client, name: str) -> dict[str, Any]:
    found = find_dataset(client, name, states=["open"])
    if found["state"] != "open":
        raise Conflict(
            f"{found['project']}/{found['name']}@{found['version']} is {found['state']} and never changes again.",
            hint=next_version_hint(found),
        )
    return found


def _add(dataset: Dataset, path: Path, *, wildcard: str | None, folder: str | None, show: Progress) -> int:
    """Add what is at a path, and return how much of it is new or changed.

    Raises:
        NotFound: it is a folder with no such file.
        InvalidPath: as `Dataset.add_files`; the message names the folder, too.
    """
    from orchestrator.sdk.scan import scan  # noqa: PLC0415  only commands that move files need it

    where = click.format_filename(path)
    try:
        count = dataset.add_files(path, wildcard=wildcard, dataset_path=folder, progress=show)
        wildcards = [] if wildcard is None else [wildcard]
        # Nothing new is no mistake, nothing there is one; only then are the folders gone through again.
        if not count and not scan(path, wildcards=wildcards, base=None, prefix=folder or "", recursive=True):
            what = "no files" if wildcard is None else f"no file that matches {wildcard!r}"
            raise NotFound(f"There is {what} in {where} and the folders below it.", hint="Nothing was added.")
    except InvalidPath as error:
        if str(path) in error.message:
            raise
        raise InvalidPath(f"In {where}: {error.message}", hint=error.hint) from error
    return count


@contextlib.contextmanager
def _opened(version_id: str) -> Iterator[Dataset]:
    from orchestrator.sdk.dataset import Dataset  # noqa: PLC0415  only commands that move files need it
    from orchestrator.sdk.session import session  # noqa: PLC0415  likewise

    try:
        yield Dataset.get(dataset_id=version_id)
    finally:
        session.close()
