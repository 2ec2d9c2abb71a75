"""What the commands of `retrain dataset` share."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.output import print_json
from orchestrator.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.sdk.datasets.dataset import Dataset

    Item = dict[str, Any]


@contextlib.contextmanager
def opened(version_id: str) -> Iterator[Dataset]:
    """Yield the version as scripts see it, and close its connection afterwards."""
    from orchestrator.sdk.datasets.dataset import Dataset  # noqa: PLC0415  only commands that move files need it
    from orchestrator.sdk.session import session  # noqa: PLC0415  likewise

    try:
        yield Dataset.get(dataset_id=version_id)
    finally:
        session.close()


def label(found: Item) -> str:
    """Return what people call a version: its project, name and number."""
    return f"{found['project']}/{found['name']}@{found['version']}"


def tell(found: Item, *, as_json: bool) -> None:
    """Print a version in a line, or as it is."""
    if as_json:
        print_json(found)
        return
    tags = f"  {', '.join(found['tags'])}" if found["tags"] else ""
    click.echo(f"{found['id']}  {label(found)}  {found['state']}{tags}")


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person before something that cannot be undone; without a terminal `--yes` has to be given.

    Raises:
        Conflict: the answer is no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Conflict(f"{question} Nobody is there to say yes.", hint="Give --yes.")
    if not click.confirm(question):
        raise Conflict("Nothing was done.")
