"""Conditions on events and what they set off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triggers.sdk import TaskScheduler, TriggerScheduler

__all__ = ["TaskScheduler", "TriggerScheduler"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  what a module holds
    """Import what scripts declare triggers with when it is asked for: the server imports this package, too."""
    if name in __all__:
        import triggers.sdk  # noqa: PLC0415

        return getattr(triggers.sdk, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
