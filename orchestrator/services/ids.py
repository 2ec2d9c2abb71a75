"""Where ids come from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import uuid_utils

from orchestrator.records.principal import Principal, Role

if TYPE_CHECKING:
    from orchestrator.records.base import Id

SYSTEM: Final = Principal(id="0" * 32, name="retrain", role=Role.ADMIN, created_at=datetime(2000, 1, 1, tzinfo=UTC))
"""Who acts when nobody asked: the sweep, and the server when it first starts. It has no token."""


def new_id() -> Id:
    """Return a UUIDv7 (RFC 9562) as 32 hexadecimal digits."""
    return uuid_utils.uuid7().hex
