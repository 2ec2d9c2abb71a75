"""`retrain agents`: who takes tasks."""

from __future__ import annotations

import click

from orchestrator.cli.connection import connected
from orchestrator.cli.output import json_option, seconds_since, span
from orchestrator.cli.table import print_list
from orchestrator.settings import Settings


@click.group()
def agents() -> None:
    """List the agents that take tasks."""


@agents.command("list")
@json_option
def list_agents(*, as_json: bool) -> None:
    """List agents and the queues that they serve."""
    silent_after = Settings.from_environ().agent_seen_seconds
    with connected() as client:
        print_list(
            client.pages("/agents"),
            as_json=as_json,
            headings=("AGENT", "HOST", "EXECUTOR", "SLOTS", "VERSION", "STATE"),
            row=lambda item: (
                item["name"],
                item["hostname"],
                item["executor"],
                "; ".join(f"{slot['name']}: {', '.join(slot['queues'])}" for slot in item["slots"]),
                item["version"],
                _state(item["seen_at"], most_seconds=silent_after),
            ),
            expendable=("VERSION", "HOST", "EXECUTOR", "SLOTS"),
        )


def _state(seen_at: str, *, most_seconds: float) -> str:
    silent = seconds_since(seen_at)
    return "listening" if silent <= most_seconds else f"silent for {span(silent)}"
