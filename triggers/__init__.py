"""Conditions on events and what they set off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triggers.sdk import TriggerScheduler

__all__ = ["TriggerScheduler"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  what a module holds
    """Import `TriggerScheduler` when it is asked for: the server imports this package for its pure parts."""
    if name == "TriggerScheduler":
        from triggers.sdk import TriggerScheduler  # noqa: PLC0415

        return TriggerScheduler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
