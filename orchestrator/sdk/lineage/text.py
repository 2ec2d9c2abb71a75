"""Texts of a drawing: as they may stand in XML, as people write numbers, and how long they are."""

from __future__ import annotations

import unicodedata
from xml.sax.saxutils import escape

TITLE, SMALL, TAG = 13.0, 11.0, 10.0
"""Sizes of letters in pixels."""
_NO_XML = {0xFFFE: "\N{REPLACEMENT CHARACTER}", 0xFFFF: "\N{REPLACEMENT CHARACTER}"}
_NARROW, _WIDE = "fijlrtIJ.,:;'|!()[]{} ", "mwMW@%"


def escaped(text: str) -> str:
    """Return a text as it may stand in XML, which has no way to write these two."""
    return escape(text.translate(_NO_XML))


def files_text(count: int) -> str:
    """Return a number of files for people."""
    return f"{count:,} {'file' if count == 1 else 'files'}"


def size_text(count: int) -> str:
    """Return a number of bytes in the unit that fits it."""
    amount, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while amount >= 1024 and len(units) > 1:  # noqa: PLR2004  bytes in a KiB
        amount /= 1024
        units.pop(0)
    return f"{amount:.0f} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def length_of(text: str, *, size: float, bold: bool = False) -> float:
    """Return about how long a text is in a usual sans serif, in pixels; rather too long than too short."""
    total = 0.0
    for letter in text:
        if unicodedata.east_asian_width(letter) in {"W", "F"}:
            total += 1.05
        elif letter in _NARROW:
            total += 0.39
        elif letter in _WIDE:
            total += 0.98
        else:
            total += 0.7 if letter.isupper() else 0.63
    return total * size * (1.08 if bold else 1.0)


def cut(text: str, *, width: float, size: float = SMALL, bold: bool = False) -> str:
    """Return a text, or what of it fits."""
    if length_of(text, size=size, bold=bold) <= width:
        return text
    room = width - length_of("…", size=size, bold=bold)
    kept = ""
    for letter in text:
        if length_of(kept + letter, size=size, bold=bold) > room:
            break
        kept += letter
    return f"{kept.rstrip()}…"
