"""How text is encoded."""

from __future__ import annotations

import codecs

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""With what a UTF-16 text begins."""


def decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    """Tell whether bytes are text for a decoder that is strict; it remembers a character that was cut."""
    try:
        decoder.decode(chunk, final=final)
    except UnicodeDecodeError:
        return False
    return True


__all__ = ["UTF_16", "decodes"]
