"""Texts that came from anywhere, made fit for the server's records."""

from __future__ import annotations


def cut(text: str, *, characters: int) -> str:
    """Return a text that every database keeps, no longer than so many characters; what was longer ends in `…`."""
    kept = text if len(text) <= characters else f"{text[: characters - 1]}…"
    return kept.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
