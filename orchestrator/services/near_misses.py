"""What somebody may have meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 3


def did_you_mean(name: str, *, known: Iterable[str]) -> str:
    """Return a hint with the known names that are like this one, or all of them where none is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=_SHOWN, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"There are: {', '.join(names)}." if names else "There are none."
