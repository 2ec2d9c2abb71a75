"""The directory that holds all state of whatever runs on this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path


def make_home(directory: Path) -> Path:
    """Return a directory that exists now and can be written to; made with mode 0700.

    Raises:
        InvalidRequest: it cannot be had; the message says why.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        reason = None if os.access(directory, os.W_OK | os.X_OK) else "it cannot be written to"
    except FileExistsError:
        reason = "it is a file"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    if reason is not None:
        raise InvalidRequest(
            f"{directory} cannot hold the state: {reason}.", hint="Name another directory: --home DIR or RETRAIN_HOME."
        )
    return directory
