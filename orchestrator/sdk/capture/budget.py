"""How much may travel with a task, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.errors import CaptureError

_NAMED = 5
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(slots=True)
class Budget:
    """The sizes of the files that have to travel, of a repository and all that lie in it."""

    limit_bytes: int
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes by path."""

    def take(self, path: str, *, size_bytes: int) -> None:
        """Note that a file has to travel."""
        self.sizes[path] = size_bytes

    def check(self) -> None:
        """Make sure that what was noted so far is within the limit.

        Raises:
            CaptureError: it is not; the message names the largest files.
        """
        total = sum(self.sizes.values())
        if total <= self.limit_bytes:
            return
        largest = sorted(self.sizes.items(), key=lambda item: item[1], reverse=True)[:_NAMED]
        named = ", ".join(f"{path} ({readable(size)})" for path, size in largest)
        raise CaptureError(
            f"{readable(total)} of files that no commit has would have to travel, and the limit is "
            f"{readable(self.limit_bytes)}. The largest: {named}.",
            hint="Keep data in a dataset and list it in .gitignore, or raise the limit.",
        )


def readable(size_bytes: int) -> str:
    """Return a size as people read it: `1.5 GiB`."""
    size = float(size_bytes)
    for unit in _UNITS[:-1]:
        if size < 1024:  # noqa: PLR2004  the step between two units
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {_UNITS[-1]}"
