"""`retrain agent`: take tasks from queues and run them on this machine."""

from __future__ import annotations

import click

from orchestrator.cli.connection import chosen_server
from orchestrator.cli.daemon_log import log_to_stderr
from orchestrator.cli.home import make_home
from orchestrator.errors import InvalidRequest
from orchestrator.settings import home_directory, link_prefixes


@click.command()
@click.option(
    "--queue", "queues", multiple=True, help="To take from, in order of preference; default where none is given."
)
@click.option("--docker", "image", metavar="IMAGE", help="Run attempts in containers of this image, not as processes.")
@click.option("--name", default="", help="Of this agent; made from host and home directory where it is not given.")
@click.option("--redis", "redis_url", metavar="URL", envvar="REDIS_URL", help="REDIS_URL where it is not given.")
@click.option(
    "--link-prefix",
    "prefixes",
    multiple=True,
    metavar="URL",
    help="Follow datasets' links that begin so, as s3://bucket/, with this machine's network and credentials; "
    "beside those of RETRAIN_LINK_PREFIXES (by commas). Else only https:// on the public internet is followed.",
)
@click.option(
    "--stop-runs", is_flag=True, help="End the runs with the agent; else the next agent here takes them over."
)
def agent(
    *,
    queues: tuple[str, ...],
    image: str | None,
    name: str,
    redis_url: str | None,
    prefixes: tuple[str, ...],
    stop_runs: bool,
) -> None:
    """Take tasks and run them until it is ended; a lane for the queue `services` is beside the slot."""
    server = chosen_server()
    if not redis_url:
        raise InvalidRequest("An agent needs to know where Redis is.", hint="Set REDIS_URL as it is for the server.")
    allowed = link_prefixes(given=prefixes)
    home = make_home(home_directory())
    from agent.daemon import run_agent  # noqa: PLC0415  RQ, pydantic and Docker cost half a second
    from agent.settings import AgentSettings, slots_for  # noqa: PLC0415  likewise

    log_to_stderr()
    run_agent(
        AgentSettings(
            home=home,
            url=server.url,
            token=server.token,
            redis_url=redis_url,
            slots=slots_for(queues or ("default",)),
            name=name,
            executor="docker" if image else "process",
            image=image,
            link_prefixes=allowed,
            stop_runs=stop_runs,
        )
    )
