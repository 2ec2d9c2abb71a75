"""`retrain login`: remember a server and a token for this user."""

from __future__ import annotations

import sys

import click

from orchestrator.cli.connection import check_token
from orchestrator.cli.home import make_home
from orchestrator.errors import InvalidRequest
from orchestrator.sdk.client import Client
from orchestrator.settings import CREDENTIAL_FILES, Server, home_directory, write_credentials


@click.command()
@click.argument("url")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input instead of asking for it.")
def login(*, url: str, token_stdin: bool) -> None:
    """Check a token at a server and keep both in a file that this user alone can read."""
    if token_stdin or not sys.stdin.isatty():
        token = sys.stdin.readline().strip()
    else:
        token = click.prompt("Token", hide_input=True).strip()
    if not token:
        raise InvalidRequest("There is no token.", hint="Make one where you have access: retrain token create NAME.")
    check_token(token)
    path = make_home(home_directory()) / CREDENTIAL_FILES[0]
    with Client(url, token) as client:
        principal = client.get("/tokens/self")
    write_credentials(path, Server(url=url, token=token))
    where = f" in project {principal['project']}" if principal["project"] else ""
    click.echo(f"Logged in at {url} as {principal['name']} ({principal['role']}{where}); kept in {path}.")
