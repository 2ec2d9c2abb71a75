"""`retrain agents`: who takes tasks."""

from __future__ import annotations

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.output import ago, json_option, print_list


@click.group()
def agents() -> None:
    """List the agents that take tasks."""


@agents.command("list")
@json_option
def list_agents(*, as_json: bool) -> None:
    """List agents and the queues that they serve."""
    with connected() as client:
        print_list(
            client.pages("/agents"),
            as_json=as_json,
            headings=("AGENT", "HOST", "EXECUTOR", "SLOTS", "VERSION", "SEEN"),
            row=lambda item: (
                item["name"],
                item["hostname"],
                item["executor"],
                "; ".join(f"{slot['name']}: {', '.join(slot['queues'])}" for slot in item["slots"]),
                item["version"],
                ago(item["seen_at"]),
            ),
        )
