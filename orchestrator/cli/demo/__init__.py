"""`retrain demo`: the whole loop on sensor data, from nothing, in about a minute."""

from __future__ import annotations

import os
import shlex
import signal
import tempfile
import time
from pathlib import Path
from typing import Self

import click

from orchestrator.cli.demo.days import FIRST, collect_days
from orchestrator.cli.demo.loop import (
    PROJECT,
    TAG,
    TRIGGER,
    Row,
    publish,
    register_trigger,
    result_of,
    run_by_hand,
    wait_for_training,
)
from orchestrator.cli.demo.repository import make_environment, make_repository
from orchestrator.cli.home import make_home
from orchestrator.cli.stack import Stack, choose_image
from orchestrator.errors import InvalidRequest
from orchestrator.sdk.client import Client
from orchestrator.sdk.copies.local_copy import remove_tree

_SHOWN_DIGITS = 13
"""Of a task's id: enough to be unique, and the commands take a unique beginning."""
_TABLE_COLUMNS = 102


class Story:
    """Says what happens, with the seconds since the beginning: a line for each thing done, wherever it is read.

    On a terminal a spinner shows what is being done meanwhile; elsewhere a line tells of what takes long.
    """

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415  the command starts faster without it

        self._begun = time.monotonic()
        self._console = Console(highlight=False, soft_wrap=True)
        self._status = self._console.status("beginning")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._status.stop()

    def say(self, text: str) -> None:
        """Print a line about something that is done."""
        self._console.print(f"{time.monotonic() - self._begun:6.1f} s  {text}", markup=False)

    def now(self, text: str, *, takes_long: bool = False) -> None:
        """Show what is being done."""
        self._status.update(text)
        if takes_long and not self._console.is_terminal:
            self.say(f"… {text}")


def _home(chosen: Path | None) -> Path:
    if chosen is None:
        return Path(tempfile.mkdtemp(prefix="retrain-demo-"))
    make_home(chosen.absolute())
    if any(chosen.iterdir()):
        raise InvalidRequest(f"{chosen} is not empty.", hint="The demo begins from nothing: name a new directory.")
    return chosen.resolve()


def _table(rows: list[Row]) -> None:
    from rich.console import Console  # noqa: PLC0415  the command starts faster without it
    from rich.table import Table  # noqa: PLC0415

    table = Table(title="What came of it")
    for heading in (
        "version",
        "files added",
        "task",
        "attempt",
        "executor",
        "environment",
        "tag to first line",
        "accuracy",
    ):
        table.add_column(heading, justify="right" if heading in {"files added", "attempt", "accuracy"} else "left")
    for row in rows:
        table.add_row(
            row.version,
            str(row.added),
            row.task[:_SHOWN_DIGITS],
            str(row.attempt),
            row.executor,
            row.environment,
            "" if row.seconds is None else f"{row.seconds:.2f} s",
            f"{row.accuracy:.4f}",
        )
    console = Console()
    Console(width=max(console.width, _TABLE_COLUMNS)).print(table)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder with a CSV file a day; a simulated room without.")
@click.option("--days", type=click.IntRange(1, 365), default=5, show_default=True, help="Days handed in one by one.")
@click.option("--executor", type=click.Choice(["docker", "process"]), help="Docker where an engine and the image are.")
@click.option("--docker-image", metavar="IMAGE", envvar="RETRAIN_DOCKER_IMAGE", help="Image for the Docker executor.")
@click.option("--home", type=click.Path(path_type=Path), help="New directory for all state; kept.")
@click.option("--keep", is_flag=True, help="Keep the state where --home is not given; that of a failure stays anyway.")
def demo(
    *, data: Path | None, days: int, executor: str | None, docker_image: str | None, home: Path | None, keep: bool
) -> None:
    """Run the whole loop on sensor data: versions, trigger, clones, agent, metrics."""
    handed_in = collect_days(data, following=days)
    image, why = choose_image(executor, image=docker_image)
    root = _home(home)
    kept = keep or home is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with Story() as story:
            rows = _run(story, root=root, days=handed_in, image=image, why=why)
    except Exception:
        kept = True
        click.echo(f"The demo failed; its state stays in {root}, its logs in {root / 'logs'}.", err=True)
        raise
    finally:
        if not kept:
            remove_tree(root)
    _table(rows)
    tell_how_to_go_on(root if kept else None, image=image, task=rows[-1].task)


def tell_how_to_go_on(root: Path | None, *, image: str | None, task: str) -> None:
    """Print the commands that go on where the demo ended.

    Args:
        root: the home that was kept; None where it was not.
        image: of the containers that attempts ran in; None for processes.
        task: the last one.
    """
    options = "" if image is None else f" --docker {shlex.quote(image)}"
    click.echo("To go on by hand:\n")
    if root is None:
        click.echo("    retrain demo --keep        # the same, and its state stays; or from nothing:")
        click.echo(f"    retrain up{options}")
        return
    click.echo(f"    export RETRAIN_HOME={shlex.quote(str(root))}    # in both terminals")
    click.echo(f"    retrain up{options}    # in one; in the other:")
    click.echo("    retrain task list")
    click.echo(f"    retrain task clone {task} --set General/TREES=80 --enqueue default")
    click.echo(f"    retrain trigger firings '{TRIGGER}'")
    click.echo(f"    retrain dataset list --project {PROJECT}")


def _interrupt(_number: int, _frame: object) -> None:
    os.write(2, b"\nending\n")  # not through sys.stderr, which may be in the midst of a write
    raise KeyboardInterrupt


def _run(story: Story, *, root: Path, days: dict[str, bytes], image: str | None, why: str) -> list[Row]:
    names = sorted(days)
    stack = Stack(root, port=0, image=image)
    story.say(f"home {root}; {why}")
    story.now("starting Redis, server, scheduler and agent", takes_long=True)
    with stack.running(say=story.say) as server:
        os.environ.update(RETRAIN_URL=server.url, RETRAIN_TOKEN=server.token, RETRAIN_HOME=str(root))
        client = Client(server.url, server.token)
        work = root / "demo"
        story.now("making a git repository")
        make_repository(work / "repository")
        story.say("a git repository with a training script, an uncommitted edit and an untracked module")
        story.now("installing scikit-learn into an environment, as a user would", takes_long=True)
        python = make_environment(
            work / "environment", sdk_root=root / "agent" / "sdk", log=root / "logs" / "environment.log"
        )
        story.say("an environment with scikit-learn, as a user would have")
        story.now("publishing the first days")
        first = publish({name: days[name] for name in names[:FIRST]}, inbox=work / "labelled" / "first")
        story.say(f"dataset {PROJECT} {first.version} from {FIRST} days")
        story.now("running the training script by hand", takes_long=True)
        run_by_hand(
            work / "repository",
            python=python,
            dataset=first,
            variables={"RETRAIN_URL": server.url, "RETRAIN_TOKEN": server.token},
            log=root / "logs" / "by_hand.log",
        )
        (reference,) = client.get("/tasks", project=PROJECT)["items"]
        rows = [result_of(client, client.get(f"/tasks/{reference['id']}"), dataset=first, tagged_at=None)]
        story.say(f"the script, run once by hand: task {reference['id']}, accuracy {rows[0].accuracy:.4f}")
        register_trigger(client, reference=reference["id"])
        story.say(f"trigger '{TRIGGER}': each version tagged {TAG} is trained on")
        for name in names[FIRST:]:
            # The agent builds the environment for the first clone; the next find it.
            story.now(f"training on {name} at the agent", takes_long=name == names[FIRST])
            dataset = publish({name: days[name]}, inbox=work / "labelled" / name)
            tagged_at = time.time()
            dataset.add_tags([TAG])
            stages: list[str] = []

            def reached(stage: str, version: str = dataset.version, stages: list[str] = stages) -> None:
                stages.append(stage)
                story.now(f"version {version}: {' > '.join(stages)}")

            log = root / "logs" / f"{dataset.version}.log"
            detail = wait_for_training(client, dataset=dataset, log=log, say=reached)
            rows.append(result_of(client, detail, dataset=dataset, tagged_at=tagged_at))
            story.say(f"{name} is version {dataset.version}: {' > '.join(stages)}, accuracy {rows[-1].accuracy:.4f}")
    return rows


__all__ = ["demo", "tell_how_to_go_on"]
