"""Files that cannot be added, named together: a person wants to mend them at once."""

from __future__ import annotations

from orchestrator.errors import InvalidPath

MOST = 20
"""After so many it is not worth looking for more."""


class Refused:
    """Collects what is wrong with files."""

    def __init__(self) -> None:
        self._errors: list[InvalidPath] = []

    def __bool__(self) -> bool:
        return bool(self._errors)

    def add(self, error: InvalidPath) -> None:
        """Remember one.

        Raises:
            InvalidPath: these are many; the message names all.
        """
        self._errors.append(error)
        if len(self._errors) >= MOST:
            raise self._all(f"{MOST} files cannot be added, and maybe more:")

    def check(self) -> None:
        """Go on where there is nothing.

        Raises:
            InvalidPath: there is something; the message names all of it.
        """
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise self._all(f"{len(self._errors)} files cannot be added:")

    def _all(self, headline: str) -> InvalidPath:
        lines = [f"  {error}" for error in self._errors]
        return InvalidPath("\n".join((headline, *lines)), hint="Nothing was added.")
