"""Upgrades with Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config

if TYPE_CHECKING:
    from sqlalchemy import Connection

_HERE = Path(__file__).parent

VERSIONS = [_HERE / "versions"]
"""Where revisions are."""


def run(connection: Connection, *, target: str) -> None:
    """Run every revision that the database lacks, in the connection's transaction.

    Args:
        connection: in a transaction.
        target: the revision to end with.
    """
    config = Config(attributes={"connection": connection})
    config.set_main_option("path_separator", "newline")
    for option, paths in (("script_location", [_HERE]), ("version_locations", VERSIONS)):
        # A percent sign in a path would be taken for an interpolation.
        config.set_main_option(option, "\n".join(map(str, paths)).replace("%", "%%"))
    command.upgrade(config, target)
