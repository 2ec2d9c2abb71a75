"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Protocol

import click

from orchestrator.cli.output import size

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE_SECONDS = 5.0
"""Between two plain lines."""


class Progress(Protocol):
    """Hears how far the work has come."""

    def __call__(self, done_bytes: int, total_bytes: int, done_files: int, /) -> None:
        """Show it; `total_bytes` is 0 while it is not known."""


@contextlib.contextmanager
def progress(doing: str) -> Iterator[Progress]:
    """Yield what shows progress on stderr for as long as the block lasts.

    Args:
        doing: what is done, as a word for people: "uploading".
    """
    if sys.stderr.isatty():
        with _bar(doing) as show:
            yield show
    else:
        yield _lines(doing)


@contextlib.contextmanager
def _bar(doing: str) -> Iterator[Progress]:
    from rich.console import Console  # noqa: PLC0415  only where it is seen
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bars  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[files]}"),
        TimeRemainingColumn(),
    )
    began = time.monotonic()
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(doing, total=None, files="")

        def show(done_bytes: int, total_bytes: int, done_files: int) -> None:
            files = f"{done_files:,} files, {_rate(done_files, since=began):,.0f}/s" if done_files else ""
            bars.update(bar, completed=done_bytes, total=total_bytes or None, files=files)

        yield show


def _lines(doing: str) -> Progress:
    began = said_at = time.monotonic()

    def show(done_bytes: int, total_bytes: int, done_files: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= LINE_SECONDS:
            said_at = time.monotonic()
            of = f" of {size(total_bytes)}" if total_bytes else ""
            speed = f" ({size(round(_rate(done_bytes, since=began)))}/s)"
            files = f", {done_files:,} files ({_rate(done_files, since=began):,.0f}/s)" if done_files else ""
            click.echo(f"{doing}: {size(done_bytes)}{of}{speed}{files}", err=True)

    return show


def _rate(count: int, *, since: float) -> float:
    """Return how many a second there were."""
    return count / max(time.monotonic() - since, 1e-3)
