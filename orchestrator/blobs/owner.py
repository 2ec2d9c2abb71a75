"""Whose a store of bytes is: one database records what lies in it, and collects what nobody needs.

Of two databases neither knows what the other one has recorded: each would delete the bytes of the other.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from orchestrator.blobs.objects import OWNER
from orchestrator.errors import Conflict, OrchestratorError

if TYPE_CHECKING:
    from orchestrator.blobs.objects import Objects


def claim(objects: Objects, *, database: str) -> None:
    """Note in a store that it is a database's, where nothing is noted.

    Args:
        objects: the store.
        database: id of the database.

    Raises:
        Conflict: it is another database's.
    """
    content = objects.put_first(OWNER, json.dumps({"database": database}).encode())
    try:
        owner = str(json.loads(content)["database"])
    except (ValueError, KeyError, TypeError):
        raise OrchestratorError(
            f"{OWNER} in {objects.url} names no database.", hint="Restore it from a backup, or remove it."
        ) from None
    if owner != database:
        raise Conflict(
            f"{objects.url} belongs to another server, with another database: each would delete the other's files.",
            hint=f"Choose another directory or prefix. Where that database is gone for ever, remove {OWNER} there.",
        )
