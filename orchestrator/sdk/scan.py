"""Which files of a folder go into a dataset, and what is in them."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidPath
from orchestrator.records.paths import check_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_EXECUTABLE, _PLAIN = 0o755, 0o644


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file on this machine and its name in the dataset.

    Attributes:
        file: where it is, links followed.
        name: relative to the dataset's root, parts joined by `/`.
        size_bytes: when it was found.
        mode: 0o755 where its owner may execute it, else 0o644.
    """

    file: Path
    name: str
    size_bytes: int
    mode: int


def scan(path: Path, *, wildcards: Sequence[str], base: Path | None, prefix: str, recursive: bool) -> list[Found]:
    """Return the files at a path, sorted by name.

    A symbolic link is followed where it stays inside the folder.

    Args:
        path: a file or a folder.
        wildcards: of a file's name or its path below the folder; empty for every file.
        base: names are relative to this folder; to the folder itself, or the file's, where it is None.
        prefix: is put before every name; empty for none.
        recursive: whether folders inside are gone through.

    Raises:
        InvalidPath: nothing is there, or something that is no file, cannot be read, leaves the folder or has no usable
            name; the message names it.
    """
    try:
        root = path.resolve(strict=True)
    except OSError as error:
        raise _unusable(path, error) from None
    if not root.is_dir():
        start = base.resolve() if base is not None else path.absolute().parent
        name = path.absolute().name if base is None else _below(path.absolute(), start)
        return [_found(path, name=_named(prefix, name), inside=None)]
    start = base.resolve() if base is not None else root
    found = []
    for file in _walk(root, recursive=recursive, inside=root, above=(root,)):
        relative = file.relative_to(root).as_posix()
        if not wildcards or any(fnmatchcase(file.name, each) or fnmatchcase(relative, each) for each in wildcards):
            found.append(_found(file, name=_named(prefix, _below(file, start)), inside=root))
    return sorted(found, key=lambda each: each.name)


def read_steadily(found: Found, *, read: Callable[[Path], str]) -> tuple[str, int]:
    """Return what `read` makes of a file, its digest, and the file's size in bytes, when it held still meanwhile.

    Args:
        found: the file.
        read: reads the file to its end.

    Raises:
        InvalidPath: it changed while it was read, twice; or it vanished, or cannot be read.
    """
    for _ in range(2):
        try:
            before = found.file.stat()
            digest = read(found.file)
            after = found.file.stat()
        except OSError as error:
            raise _unusable(found.file, error) from None
        if _identity(before) == _identity(after):
            return digest, after.st_size
    raise InvalidPath(f"{found.file} changed while it was read.", hint="Add it when nothing writes to it.")


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _walk(folder: Path, *, recursive: bool, inside: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise _unusable(folder, error) from None
    for entry in entries:
        path = folder / entry.name
        if entry.is_symlink():
            target = _target(path, inside=inside)
            if target in above:
                raise InvalidPath(f"{path} is a link to a folder around it.", hint="Remove the link.")
        else:
            target = path
        if not target.is_dir():
            yield path
        elif recursive:
            yield from _walk(path, recursive=True, inside=inside, above=(*above, target))


def _target(link: Path, *, inside: Path) -> Path:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        raise InvalidPath(f"{link} is a link to nothing.", hint="Remove it or what it should point to.") from None
    if not target.is_relative_to(inside):
        raise InvalidPath(
            f"{link} is a link out of the folder, to {target}.", hint="Add that folder or file itself, or copy it here."
        )
    return target


def _found(file: Path, *, name: str, inside: Path | None) -> Found:
    try:
        status = file.stat()
    except OSError as error:
        raise _unusable(file, error) from None
    if not stat.S_ISREG(status.st_mode):
        raise InvalidPath(f"{file} is no file.", hint="Sockets, pipes and devices cannot be stored.")
    target = file if inside is None else file.resolve()
    mode = _EXECUTABLE if status.st_mode & stat.S_IXUSR else _PLAIN
    return Found(file=target, name=name, size_bytes=status.st_size, mode=mode)


def _below(file: Path, base: Path) -> str:
    try:
        return file.relative_to(base).as_posix()
    except ValueError:
        raise InvalidPath(f"{file} is not below {base}.", hint="Give a local_base_folder above it.") from None


def _named(prefix: str, name: str) -> str:
    return check_path(str(PurePosixPath(prefix, name)) if prefix else name)


def _unusable(path: Path, error: OSError) -> InvalidPath:
    if isinstance(error, FileNotFoundError):
        return InvalidPath(f"{path} is not there.")
    return InvalidPath(f"{path} cannot be read: {error.strerror or error}.")
