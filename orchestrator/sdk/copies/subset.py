"""Which files of a version a copy has."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import translate
from hashlib import blake2b
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidRequest
from orchestrator.records.manifest import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.records.manifest import Entry
    from orchestrator.sdk.datasets.version_files import VersionFiles

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, kw_only=True)
class Subset:
    """A part of a version's files; without arguments all of them.

    Files are chosen by pattern first; those that are chosen are dealt to the parts like cards, one after the other in
    the order of the manifest, so that parts differ by one file at most. Directories with nothing in them go to part 0.

    Attributes:
        part: which one, from 0.
        parts: how many there are.
        patterns: wildcards of whole paths, paths, and folders; a file that one of them names is chosen.

    Raises:
        InvalidRequest: there is no such part.
    """

    part: int | None = None
    parts: int | None = None
    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.part is None) != (self.parts is None):
            raise InvalidRequest("A part needs two numbers.", hint="Say which part, and of how many.")
        if self.part is not None and self.parts is not None and not 0 <= self.part < self.parts:
            raise InvalidRequest(
                f"There is no part {self.part} of {self.parts}.", hint="Parts are counted from 0: the first of 4 is 0."
            )
        object.__setattr__(self, "patterns", tuple(sorted({each.rstrip("/") for each in self.patterns})))

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self.parts in {None, 1} and not self.patterns

    def tree_name(self, version_id: str) -> str:
        """Return the name of the tree that has these files of a version."""
        if self.is_all:
            return version_id
        told = json.dumps([self.part, self.parts, self.patterns])
        return f"{version_id}.{blake2b(told.encode(), digest_size=8).hexdigest()}"

    def __str__(self) -> str:
        chosen = " ".join(self.patterns)
        return chosen if self.parts is None else f"{chosen} part {self.part} of {self.parts}".strip()

    def entries(self, files: VersionFiles) -> Iterator[Entry]:
        """Yield the entries of a version that are chosen, in order."""
        if len(self.patterns) == 1 and not _WILD.search(self.patterns[0]):
            chosen: Iterable[Entry] = files.entries(below=self.patterns[0])
        else:
            chosen = self._matching(files.entries())
        yield from self._dealt(chosen)

    def _matching(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        if not self.patterns:
            yield from entries
            return
        within = [f"{re.escape(each)}(?:/.*)?\\Z" for each in self.patterns]
        chosen = re.compile("|".join([*within, *map(translate, self.patterns)]), re.DOTALL)
        for entry in entries:
            if chosen.match(entry.path):
                yield entry

    def _dealt(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        if self.parts is None:
            yield from entries
            return
        turn = 0
        for entry in entries:
            if entry.kind == Kind.DIRECTORY:
                if self.part == 0:
                    yield entry
                continue
            if turn == self.part:
                yield entry
            turn = (turn + 1) % self.parts
