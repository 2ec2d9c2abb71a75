"""What somebody may have meant. The standard library alone."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def near(word: object, *, known: Iterable[str]) -> str:
    """Return a hint with the known words that are like this one, or all of them where none is."""
    names = list(dict.fromkeys(known))
    found = difflib.get_close_matches(str(word), names, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(found)}?" if found else f"There are: {', '.join(names)}."
