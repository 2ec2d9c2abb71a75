"""`retrain server`: serve the API."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from orchestrator.cli.daemon_log import log_to_stderr
from orchestrator.cli.home import make_home
from orchestrator.settings import Settings


@click.command()
@click.option("--host", help="Address to listen at; 127.0.0.1 where it is not given.")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--database", "database_url", metavar="URL", help="Such as postgresql://…; a SQLite file where it is not given."
)
@click.option("--redis", "redis_url", metavar="URL", help="REDIS_URL where it is not given.")
@click.option("--home", type=click.Path(path_type=Path), help="Where state lives; RETRAIN_HOME or ~/.retrain.")
def server(
    *, host: str | None, port: int | None, database_url: str | None, redis_url: str | None, home: Path | None
) -> None:
    """Serve the API until it is ended. Every RETRAIN_ variable of the settings holds here, too."""
    settings = Settings.from_environ(
        host=host, port=port, database_url=database_url, redis_url=redis_url, home=home and home.absolute()
    )
    make_home(settings.home)
    from orchestrator.api.serve import serve  # noqa: PLC0415  FastAPI and SQLAlchemy cost a second

    log_to_stderr()
    serve(settings, ready=lambda url: click.echo(f"ready: {for_others(url)}"))


def for_others(url: str) -> str:
    """Return the URL of a server as other machines write it: one that listens on all addresses has the host's name."""
    for anywhere in ("//0.0.0.0:", "//[::]:"):
        if anywhere in url:
            return f"{url.replace(anywhere, f'//{socket.gethostname()}:')} (on all addresses of this machine)"
    return url
