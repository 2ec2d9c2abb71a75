"""Which files of a folder go into a dataset.

There may be millions: a walk is a generator, and per file it does next to nothing.
"""

from __future__ import annotations

import os
import re
import stat
from fnmatch import translate
from functools import partial
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import InvalidPath
from orchestrator.records.paths import NAME_MAX_BYTES, PATH_MAX_BYTES, check_path
from orchestrator.sdk.ingest.refused import Refused
from orchestrator.sdk.notices import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Matches = Callable[[str], object]

_NAME = attrgetter("name")
_SHORT_CHARACTERS = (PATH_MAX_BYTES - NAME_MAX_BYTES) // 4
"""Of a folder's path in the dataset: with four bytes for each, no file in it has a path that is too long."""


class Found(NamedTuple):
    """A file on this machine, or a folder with nothing in it.

    Attributes:
        relative: below the folder that is walked, parts joined by `/`.
        file: where it is, a link at its end followed.
        status: when it was found; of a folder with nothing in it, that folder's.
    """

    relative: str
    file: str
    status: os.stat_result


_new_found: Callable[[tuple[object, ...]], Found] = partial(tuple.__new__, Found)
"""Twice as fast as the class itself, which goes through a function of Python's."""


class Selection:
    """What of a file or folder goes into a dataset, and under which names.

    A symbolic link is followed where it stays inside the folder.

    Args:
        path: a file or a folder.
        wildcards: of a file's name or its path below the folder; empty for every file.
        base: names are relative to this folder; to the folder itself, or the file's, where it is None.
        prefix: is put before every name; empty for none.
        recursive: whether folders inside are gone through.

    Attributes:
        root: the folder, or the file, without links.
        head: what names begin with, before the path below the folder; with a `/` at its end, or empty.
        is_folder: whether it is one.
        alone: the name of a file that is selected by itself, in the dataset; empty for a folder.
        whole: whether all that the folder holds is selected.

    Raises:
        InvalidPath: nothing is there, or the names would leave the dataset.
    """

    def __init__(
        self,
        path: Path,
        *,
        wildcards: Sequence[str] = (),
        base: Path | None = None,
        prefix: str = "",
        recursive: bool = True,
    ) -> None:
        try:
            root = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise unusable(str(path), error) from None
        self.root = str(root)
        self.is_folder = root.is_dir()
        self.recursive = recursive
        self.matches = matcher(wildcards)
        self.whole = recursive and self.matches is None
        self._path = path
        if self.is_folder:
            self.alone = ""
            self.head = _joined(prefix, _below(root, base.resolve()) if base is not None else "")
        else:
            lexical = path.absolute()
            name = lexical.name if base is None else _below(lexical, base.resolve())
            folder, _, self._relative = name.rpartition("/")
            self.head = _joined(prefix, folder)
            self.alone = check_path(self.head + self._relative)

    def files(self, refused: Refused) -> Iterator[Found]:
        """Yield the files in the order of manifests, and folders with nothing in them where everything is selected.

        Args:
            refused: is told of what cannot be read, leaves the folder, is no file or has no usable name.

        Raises:
            InvalidPath: that is too much.
        """
        if self.is_folder:
            return _Walk(self, refused).files()
        return self._one(refused)

    def selects(self, relative: str) -> bool:
        """Tell whether a file of this path below the folder is selected if it is there."""
        if not self.is_folder:
            return relative == self._relative
        if not self.recursive and "/" in relative:
            return False
        return self.matches is None or bool(self.matches(relative.rpartition("/")[2]) or self.matches(relative))

    def _one(self, refused: Refused) -> Iterator[Found]:
        try:
            status = os.stat(self.root)  # noqa: PTH116  as everywhere here: millions of paths would be slow to make
        except OSError as error:
            refused.add(unusable(str(self._path), error))
            return
        if stat.S_ISREG(status.st_mode):
            yield Found(self._relative, self.root, status)
        else:
            refused.add(_no_file(str(self._path)))


def scan(
    path: Path, *, wildcards: Sequence[str] = (), base: Path | None = None, prefix: str = "", recursive: bool = True
) -> Iterator[tuple[str, Found]]:
    """Yield names in the dataset and the files that bear them; see `Selection`.

    Raises:
        InvalidPath: something cannot be added; the message names all that.
    """
    selection = Selection(path, wildcards=wildcards, base=base, prefix=prefix, recursive=recursive)
    refused = Refused()
    for found in selection.files(refused):
        yield selection.head + found.relative, found
    refused.check()


def matcher(wildcards: Sequence[str]) -> Matches | None:
    """Return what tells whether a text matches one of several wildcards; None where there is none."""
    if not wildcards:
        return None
    return re.compile("|".join(map(translate, wildcards))).match


class _Frame(NamedTuple):
    """A folder that is being gone through: what is left of it, its path with a `/`, and the folders around it."""

    listing: Iterator[os.DirEntry[str]]
    below: str
    above: tuple[str, ...]


class _Walk:
    """One walk through a folder."""

    def __init__(self, selection: Selection, refused: Refused) -> None:
        self._selection = selection
        self._refused = refused
        self._said = False

    def files(self) -> Iterator[Found]:
        matches, head = self._selection.matches, self._selection.head
        root = self._selection.root
        frames = [_Frame(iter(self._listing(root) or ()), "", (root,))]
        while frames:
            listing, below, above = frames[-1]
            deep = len(head) + len(below) > _SHORT_CHARACTERS
            for entry in listing:
                name = entry.name
                if (deep or not name.isascii()) and not self._is_usable(head + below + name):
                    continue
                try:
                    if not entry.is_file(follow_symlinks=False):
                        found = self._other(entry, below, above)
                    elif matches is None or matches(name) or matches(below + name):
                        found = _new_found((below + name, entry.path, entry.stat(follow_symlinks=False)))
                    else:
                        continue
                except OSError as error:
                    self._refused.add(unusable(entry.path, error))
                    continue
                if isinstance(found, _Frame):
                    frames.append(found)
                    break
                if found is not None:
                    yield found
            else:
                frames.pop()

    def _other(self, entry: os.DirEntry[str], below: str, above: tuple[str, ...]) -> Found | _Frame | None:
        """Return what a link leads to, a folder to go through, or nothing."""
        target = self._target(entry, above=above) if entry.is_symlink() else entry.path
        if target is None:
            return None
        status = os.stat(target)  # noqa: PTH116  see above
        matches, relative = self._selection.matches, below + entry.name
        if stat.S_ISDIR(status.st_mode):
            inside = self._listing(target) if self._selection.recursive else None
            if inside:
                return _Frame(iter(inside), f"{relative}/", (*above, target))
            return Found(relative, target, status) if inside is not None and matches is None else None
        if matches is None or matches(entry.name) or matches(relative):
            if stat.S_ISREG(status.st_mode):
                return Found(relative, target, status)
            self._refused.add(_no_file(entry.path))
        return None

    def _listing(self, folder: str) -> list[os.DirEntry[str]] | None:
        """Return what is in a folder, sorted; None where it cannot be read."""
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=_NAME)
        except OSError as error:
            self._refused.add(unusable(folder, error))
            return None
        if not self._said and len({entry.name.casefold() for entry in entries}) < len(entries):
            self._said = True
            _say_alike(folder, [entry.name for entry in entries])
        return entries

    def _is_usable(self, path: str) -> bool:
        """Refuse a path that is too long or no UTF-8; all else that `check_path` looks for no folder can hold."""
        try:
            check_path(path)
        except InvalidPath as error:
            self._refused.add(error)
            return False
        return True

    def _target(self, entry: os.DirEntry[str], *, above: tuple[str, ...]) -> str | None:
        """Return where a link leads to; None where it may not lead there."""
        root = self._selection.root
        try:
            target = str(Path(entry.path).resolve(strict=True))
        except (OSError, RuntimeError):
            self._refused.add(
                InvalidPath(f"{entry.path} is a link to nothing.", hint="Remove it or what it should point to.")
            )
            return None
        if target != root and not target.startswith(f"{root.rstrip('/')}/"):
            self._refused.add(
                InvalidPath(
                    f"{entry.path} is a link out of the folder, to {target}.",
                    hint="Add that folder or file itself, or copy it here.",
                )
            )
            return None
        if target in above:
            self._refused.add(InvalidPath(f"{entry.path} is a link to a folder around it.", hint="Remove the link."))
            return None
        return target


def unusable(path: str, error: OSError | RuntimeError) -> InvalidPath:
    """Return the error of a file or folder that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return InvalidPath(f"{path} is not there.", hint="Look at how it is written; or it was removed meanwhile.")
    reason = getattr(error, "strerror", None) or error
    return InvalidPath(f"{path} cannot be read: {reason}.", hint="Look at its rights: you must be able to read it.")


def _no_file(path: str) -> InvalidPath:
    return InvalidPath(f"{path} is no file.", hint="Sockets, pipes and devices cannot be stored.")


def _say_alike(folder: str, names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            say(f"{other!r} and {name!r} in {folder} differ in case only: on some machines they are one file")
            return


def _below(file: Path, base: Path) -> str:
    try:
        below = file.relative_to(base).as_posix()
    except ValueError:
        raise InvalidPath(f"{file} is not below {base}.", hint="Give a local_base_folder above it.") from None
    return "" if below == "." else below


def _joined(prefix: str, folder: str) -> str:
    """Return what names begin with, and check it."""
    if prefix.startswith("/") or ".." in prefix.split("/"):
        check_path(prefix)
    head = PurePosixPath(prefix, folder).as_posix()
    if head == ".":
        return ""
    return f"{check_path(head)}/"
