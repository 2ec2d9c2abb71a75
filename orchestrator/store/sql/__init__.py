"""The store in an SQL database."""

from __future__ import annotations

from orchestrator.store.sql.opening import open_store
from orchestrator.store.sql.store import SqlStore

__all__ = ["SqlStore", "open_store"]
