"""`retrain up`: everything on this machine."""

from __future__ import annotations

import shlex
import signal
import threading
from pathlib import Path

import click

from orchestrator.cli.home import make_home
from orchestrator.cli.stack import Stack, choose_image
from orchestrator.settings import home_directory


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="Where all state lives; RETRAIN_HOME or ~/.retrain.")
@click.option("--port", type=click.IntRange(0, 65535), help="Of the server, on the loopback interface.")
@click.option("--docker", "image", metavar="IMAGE", help="Run attempts in containers of this image, not as processes.")
def up(*, home: Path | None, port: int | None, image: str | None) -> None:
    """Start server, scheduler, Redis and one agent; Ctrl-C ends them all."""
    image, how = choose_image("docker" if image else "process", image=image)
    root = make_home(home.absolute() if home else home_directory())
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    stack = Stack(root, port=port, image=image)
    with stack.running(say=click.echo) as server:
        click.echo(f"{how}; state in {root}")
        click.echo(f"ready: {server.url}; {in_other_terminals(root)}")
        while not ended.wait(1):
            stack.watch(say=click.echo)
        click.echo("ending")


def in_other_terminals(root: Path) -> str:
    """Say how commands find this stack where RETRAIN_HOME is not set."""
    if root == home_directory({}):
        return "other terminals find it by themselves: retrain task list"
    return f"in other terminals: export RETRAIN_HOME={shlex.quote(str(root))}"
