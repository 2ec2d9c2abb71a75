"""`retrain dataset add`, `remove` and `get`: what moves files."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import find_dataset
from orchestrator.cli.progress import progress
from orchestrator.errors import AlreadyExists, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        found = find_dataset(client, name, states=["open"])
    with _opened(found["id"]) as dataset:
        with progress("reading") as show:
            count = sum(
                dataset.add_files(path, wildcard=wildcard, dataset_path=folder, progress=show) for path in paths
            )
        with progress("sending") as show:
            dataset.upload(progress=show)
    click.echo(f"{found['id']}  {found['project']}/{found['name']}@{found['version']}  {count} new or changed")


@click.command()
@click.argument("name", metavar="DATASET")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
def remove(*, name: str, paths: tuple[str, ...]) -> None:
    """Take files out of a draft. PATH is a file's in the dataset, or a pattern such as 'old/*'."""
    with connected() as client:
        found = find_dataset(client, name, states=["open"])
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


@contextlib.contextmanager
def _opened(version_id: str) -> Iterator[Dataset]:
    from orchestrator.sdk.dataset import Dataset  # noqa: PLC0415  only commands that move files need it
    from orchestrator.sdk.session import session  # noqa: PLC0415  likewise

    try:
        yield Dataset.get(dataset_id=version_id)
    finally:
        session.close()
