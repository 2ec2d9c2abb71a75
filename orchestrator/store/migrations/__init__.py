"""The database's schema over the releases.

Revisions are numbered, so that older and newer are told apart without Alembic, which is imported only where an old
database has to be upgraded: a server that starts on a database of its own release does not carry it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import insert, inspect, select

from orchestrator.errors import DatabaseTooNew
from orchestrator.store.sql.tables import metadata, schema_version

if TYPE_CHECKING:
    from sqlalchemy import Connection

logger = logging.getLogger(__name__)

HEAD = "0003"
"""The newest revision in `versions`; `tables` describes the schema that it leads to."""


def upgrade(connection: Connection) -> None:
    """Bring a database to this release's schema; an empty one is made at once.

    Args:
        connection: in a transaction that no other process upgrades in.

    Raises:
        DatabaseTooNew: a later release wrote it.
    """
    if not inspect(connection).has_table(schema_version.name):
        metadata.create_all(connection)
        schema_version.create(connection)
        connection.execute(insert(schema_version).values(version_num=HEAD))
        return
    revision = connection.execute(select(schema_version.c.version_num)).scalar()
    if revision == HEAD:
        return
    if revision is not None and revision > HEAD:
        raise DatabaseTooNew(
            f"The database has schema {revision}; this release knows schemas up to {HEAD}.",
            hint="Install the release that wrote it, or a later one: pip install --upgrade retrain-orchestrator.",
        )
    from orchestrator.store.migrations.upgrading import run  # noqa: PLC0415  imports Alembic

    logger.info("upgrading the database", extra={"action": "database_upgrade", "from": revision, "to": HEAD})
    run(connection, target=HEAD)
