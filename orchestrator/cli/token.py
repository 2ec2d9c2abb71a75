"""`retrain token`: who may do what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.lookup import ambiguous
from orchestrator.cli.output import ago, expiry, json_option, print_json
from orchestrator.cli.table import print_list
from orchestrator.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from orchestrator.sdk.client import Client

ROLES = ("viewer", "operator", "editor", "admin", "agent", "scheduler")


@click.group()
def token() -> None:
    """Make, list and revoke tokens."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True)
@click.option("--project", default="", help="It holds in this project and below; everywhere where it is not given.")
@click.option(
    "--queue", "queues", multiple=True, help="For agents: a queue that it may take from; all where none is given."
)
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), help="It expires after this; never where it is not given."
)
@json_option
def create(*, name: str, role: str, project: str, queues: tuple[str, ...], days: float | None, as_json: bool) -> None:
    """Make a token. It is shown this once; only its hash is stored."""
    body: dict[str, object] = {"name": name, "role": role, "project": project, "queues": queues}
    if days is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    with connected() as client:
        made = client.post("/tokens", body)
    if as_json:
        print_json(made)
        return
    click.echo(made["token"])
    click.echo("Keep it: it is not shown again. It is used by RETRAIN_TOKEN or retrain login.", err=True)


@token.command("list")
@json_option
def list_tokens(*, as_json: bool) -> None:
    """List whoever has a token; the tokens themselves are known to nobody."""
    with connected() as client:
        print_list(
            client.pages("/tokens"),
            as_json=as_json,
            headings=("ID", "NAME", "ROLE", "PROJECT", "QUEUES", "MADE", "EXPIRES", "REVOKED"),
            row=lambda item: (
                item["id"],
                item["name"],
                item["role"],
                item["project"] or "all",
                item["queues"],
                ago(item["created_at"]),
                expiry(item["expires_at"]),
                ago(item["revoked_at"]),
            ),
            expendable=("MADE", "QUEUES", "EXPIRES", "PROJECT"),
        )


@token.command()
@click.argument("name", metavar="TOKEN")
@json_option
def revoke(*, name: str, as_json: bool) -> None:
    """End a token at once. TOKEN is an id, a beginning of one, or the name that it was given."""
    with connected() as client:
        revoked = client.delete(f"/tokens/{_find(client, name)}")
    if as_json:
        print_json(revoked)
    else:
        click.echo(f"{revoked['id']}  {revoked['name']}  revoked")


def _find(client: Client, name: str) -> str:
    living = [item for item in client.pages("/tokens") if item["revoked_at"] is None]
    found = [item for item in living if name in {item["name"], item["id"]}]
    if not found:
        found = [item for item in living if item["id"].startswith(name)]
    if not found:
        raise NotFound(f"There is no token {name!r} that is not revoked.", hint="See: retrain token list.")
    if len(found) == 1:
        return str(found[0]["id"])
    named = [f"{item['id']}  {item['name']}" for item in found]
    if name not in {item["name"] for item in found}:
        raise ambiguous(name, noun="tokens", named=named)
    listed = "".join(f"\n  {line}" for line in named)
    raise InvalidRequest(f"{len(found)} tokens are called {name!r}; write the id of one:{listed}")
