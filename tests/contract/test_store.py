"""Our stores keep the contract that is shipped for those of others."""

from __future__ import annotations

from orchestrator.store.testing import StoreContract


class TestStore(StoreContract):
    """Over each database: the fixture `store` comes from conftest."""
