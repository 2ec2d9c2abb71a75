"""Where bytes lie in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "blake3:"


class Span(NamedTuple):
    """Where a blob lies: an object, a piece of one, or a folder of parts.

    Parts are the objects `00000`, `00001` … in the folder, each `part_bytes` long but the last.
    """

    path: str
    offset: int
    size_bytes: int
    part_bytes: int = 0
    """0: one object."""

    def pieces(self) -> Iterator[tuple[str, int, int]]:
        """Yield object, offset and size in bytes of what it consists of, in order."""
        if not self.part_bytes:
            yield self.path, self.offset, self.size_bytes
            return
        start, end = self.offset, self.offset + self.size_bytes
        while start < end:
            number, inside = divmod(start, self.part_bytes)
            size_bytes = min(self.part_bytes - inside, end - start)
            yield part_path(self.path, number), inside, size_bytes
            start += size_bytes


class Stored(NamedTuple):
    """What was stored."""

    digest: str
    size_bytes: int
    sha256: str | None
    path: str
    """One object, from its first byte to its last."""


def object_path(digest: str) -> str:
    """Return the place of a blob that is one object."""
    hexadecimal = digest.removeprefix(PREFIX)
    return f"blake3/{hexadecimal[:2]}/{hexadecimal[2:]}"


def parts_path(digest: str) -> str:
    """Return the folder of a blob that is stored in parts."""
    hexadecimal = digest.removeprefix(PREFIX)
    return f"parts/{hexadecimal[:2]}/{hexadecimal[2:]}"


def part_path(folder: str, number: int) -> str:
    """Return the object of a part."""
    return f"{folder}/{number:05}"
