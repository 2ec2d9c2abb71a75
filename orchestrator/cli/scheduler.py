"""`retrain scheduler`: serve triggers."""

from __future__ import annotations

import click

from orchestrator.cli.connection import chosen_server
from orchestrator.cli.daemon_log import log_to_stderr


@click.command()
@click.option(
    "--polling-minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How often to look for events where the server cannot say at once that there are some.",
)
def scheduler(*, polling_minutes: float) -> None:
    """Match events with triggers and fire, until it is ended. Several at once are safe.

    Webhooks and messages are sent from here, with what this environment holds: secrets by name in RETRAIN_SECRET_NAME
    or in files below RETRAIN_HOME/secrets, the mail server in RETRAIN_SMTP_URL and RETRAIN_SMTP_FROM, and in
    RETRAIN_WEBHOOK_PREFIXES the addresses, by commas, that webhooks may go to beside https:// on the public internet.
    """
    server = chosen_server()
    from triggers.scheduler import run_scheduler  # noqa: PLC0415  pydantic and APScheduler cost 0.3 s

    log_to_stderr()
    run_scheduler(server.url, server.token or None, polling_seconds=60 * polling_minutes)
