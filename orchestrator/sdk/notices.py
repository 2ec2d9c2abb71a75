"""Lines to the person who watches a script."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print one line to the standard error output, where there is one."""
    if sys.stderr is not None:
        sys.stderr.write(f"retrain: {text}\n")
        sys.stderr.flush()
