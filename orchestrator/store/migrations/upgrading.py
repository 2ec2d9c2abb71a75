"""Upgrades with Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config

if TYPE_CHECKING:
    from sqlalchemy import Connection

_HERE = Path(__file__).parent


def run(connection: Connection, *, target: str, versions: Path = _HERE / "versions") -> None:
    """Run every revision that the database lacks, in the connection's transaction.

    Args:
        connection: in a transaction.
        target: the revision to end with.
        versions: directory of the revisions.
    """
    config = Config()
    config.set_main_option("path_separator", "newline")
    # Interpolation would take a percent sign in a path for its own.
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("version_locations", str(versions).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, target)
