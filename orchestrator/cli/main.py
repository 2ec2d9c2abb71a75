"""The command `retrain`: which commands there are and how each ends. Their modules are imported when they are used."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
from typing import TYPE_CHECKING, Any, NoReturn

import click

from orchestrator.errors import InvalidRequest, OrchestratorError, ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FAILED, WRONG_USE, NO_CONNECTION, INTERRUPTED = 1, 2, 3, 130
"""Exit codes; 130 is what shells give to a program that Ctrl-C ended."""

LONG_LINE = 200
"""Characters of an error from which on its hint stands on a line of its own."""

COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("orchestrator.cli.demo:demo", "The whole loop on sensor data, in about a minute, from nothing."),
    "up": ("orchestrator.cli.up:up", "Server, scheduler, Redis and one agent on this machine."),
    "login": ("orchestrator.cli.login:login", "Remember a server and a token for this user."),
    "task": ("orchestrator.cli.task:task", "List, show, clone, enqueue and stop tasks; their console and metrics."),
    "dataset": ("orchestrator.cli.dataset:dataset", "Make, fill, compare, check and fetch dataset versions."),
    "model": ("orchestrator.cli.model:model", "Versions of models: find, fetch and promote them, and go back."),
    "storage": ("orchestrator.cli.storage:storage", "Where the bytes of datasets lie: directories, S3, GCS, Azure."),
    "trigger": ("orchestrator.cli.trigger:trigger", "What is to happen when data or models change, and why not."),
    "queue": ("orchestrator.cli.queue:queue", "The lines in which tasks wait for agents."),
    "agents": ("orchestrator.cli.agents:agents", "The agents that take tasks."),
    "token": ("orchestrator.cli.token:token", "Make, list and revoke tokens."),
    "server": ("orchestrator.cli.server:server", "Serve the API."),
    "scheduler": ("orchestrator.cli.scheduler:scheduler", "Serve triggers."),
    "agent": ("orchestrator.cli.agent:agent", "Take tasks from queues and run them on this machine."),
}
"""Name to where the command is and what it does, in the order in which help shows them."""


class Retrain(click.Group):
    """A group that knows its commands by name and turns errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the signature is click's
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  likewise
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  likewise
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  what a command returns
        """Run the command; an error that is known becomes one line on stderr."""
        with _ending(ctx):
            return super().invoke(ctx)


@contextlib.contextmanager
def _ending(context: click.Context) -> Iterator[None]:
    try:
        yield
    except OrchestratorError as error:
        _end(context, error)
    except KeyboardInterrupt:
        context.exit(INTERRUPTED)
    except OSError as error:
        if error.errno == errno.EPIPE:  # nobody reads on, such as after `| head`: click ends quietly
            raise
        _end(context, InvalidRequest(_explained(error), hint="RETRAIN_TRACEBACK=1 shows where."))


def _explained(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{os.fsdecode(error.filename)}: {reason}." if isinstance(error.filename, (str, bytes)) else f"{reason}."


def _end(context: click.Context, error: OrchestratorError) -> NoReturn:
    if os.environ.get("RETRAIN_TRACEBACK"):
        raise error
    text = f"error: {error}"
    if error.hint and len(text) > LONG_LINE:
        text = f"{text.removesuffix(error.hint).rstrip()}\n{error.hint}"
    click.echo(text, err=True)
    if isinstance(error, ServerUnreachable):
        context.exit(NO_CONNECTION)
    context.exit(WRONG_USE if isinstance(error, InvalidRequest) else FAILED)


@click.group(cls=Retrain, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="retrain-orchestrator", prog_name="retrain")
def main() -> None:
    """Retrain models when their data changes; say afterwards what ran, on what, and run it again.

    Commands find the server by RETRAIN_URL and RETRAIN_TOKEN, else where `retrain login` or `retrain up` wrote it.
    Exit codes: 0 done, 1 the task or check failed, 2 wrong use, 3 no connection.
    """


if __name__ == "__main__":
    main()
