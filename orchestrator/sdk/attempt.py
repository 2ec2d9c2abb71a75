"""Where an agent's attempt finds what its supervisor gave it."""

from __future__ import annotations

import os
from pathlib import Path

TASK_FILE = "RETRAIN_TASK_FILE"
"""Set by a supervisor for the attempt beneath it: a file with the attempt's task, parameters and number."""


def attempt_directory() -> Path | None:
    """Return the folder that this process's attempt shares with its supervisor, or None by hand."""
    file = os.environ.get(TASK_FILE)
    return Path(file).parent if file else None


def scratch_directory() -> Path:
    """Return where an attempt's processes may write: beside its other files, on a disk rather than in memory."""
    attempt = attempt_directory()
    if attempt is not None and os.access(attempt, os.W_OK):
        return attempt
    from tempfile import gettempdir  # noqa: PLC0415  seldom needed, slow to import

    return Path(gettempdir())
