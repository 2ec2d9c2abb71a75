"""What was found out once and need not be found out again: small files by name."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Memory:
    """Named bytes in a directory, each written whole or not at all."""

    def __init__(self, directory: Path) -> None:
        """Keep them in `directory`, which is made when missing."""
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def recall(self, name: str) -> bytes | None:
        """Return what is kept under a name, or None."""
        try:
            return (self._directory / name).read_bytes()
        except FileNotFoundError:
            return None

    def keep(self, name: str, *, content: bytes) -> None:
        """Keep bytes under a name, in place of what was there."""
        descriptor, temporary = tempfile.mkstemp(dir=self._directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._directory / name)  # noqa: PTH105  mkstemp gives a string
        except BaseException:
            os.unlink(temporary)  # noqa: PTH108  as above
            raise
