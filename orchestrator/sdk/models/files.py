"""The files of a model on this machine: found, checked, and copied so that they may change afterwards."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidPath, InvalidRequest
from orchestrator.records.paths import check_path
from orchestrator.sdk.copies.raw_files import copy_contents

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_FILES = 10_000
"""A model version has no more."""


def find_files(path: Path) -> dict[str, Path]:
    """Return the files that are to be registered: their path in the model, with `/`, to where they are; sorted.

    Links are followed as long as they stay in the folder. Folders with nothing in them are left out.

    Args:
        path: a file or a folder.

    Raises:
        FileNotFoundError: there is nothing.
        InvalidPath: it, or something in it, is neither file nor folder, or a link that leads out of the folder, to
            nothing or around in a circle, or has a name that cannot be kept; the message names it.
        InvalidRequest: there are no files in it, or too many.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}, looked for from {Path.cwd()}")
    if not path.is_dir():
        _require_file(path)
        return {check_path(path.name): path}
    found: dict[str, Path] = {}
    for name, file in _walk(path, root=path.resolve(), prefix="", above=(path.resolve(),)):
        found[check_path(name)] = file
        if len(found) > MOST_FILES:
            raise InvalidRequest(
                f"{path} has more than {MOST_FILES:,} files.", hint="Pack it: shutil.make_archive. Or make a Dataset."
            )
    if not found:
        raise InvalidRequest(f"There are no files in {path}.", hint="Register it after the model was saved.")
    return dict(sorted(found.items()))


def copy_files(files: dict[str, Path], *, directory: Path) -> dict[str, str]:
    """Copy files into a new folder, under names of its own; return their path in the model to where the copies are.

    Args:
        files: what `find_files` returned.
        directory: is made.

    Raises:
        OSError: a file cannot be read, or the disk is full; nothing is left then.
    """
    directory.mkdir(mode=0o700, parents=True)
    copies: dict[str, str] = {}
    try:
        for number, (name, file) in enumerate(files.items()):
            copy = directory / str(number)
            copy_contents(file, copy, mode=0o600)
            copies[name] = str(copy)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return copies


def _walk(folder: Path, *, root: Path, prefix: str, above: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    """Yield what is in a folder, in order.

    Args:
        folder: which.
        root: the resolved folder that nothing may lead out of.
        prefix: path of the folder in the model, with a `/` at its end unless it is empty.
        above: the resolved folders that it is in, itself the last.
    """
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        path = folder / entry.name
        if entry.is_symlink():
            _require_inside(path, root=root)
        if entry.is_dir():
            real = path.resolve()
            if real in above:
                raise InvalidPath(f"{path} is a link around in a circle.", hint="Remove the link.")
            yield from _walk(path, root=root, prefix=f"{prefix}{entry.name}/", above=(*above, real))
        else:
            _require_file(path)
            yield f"{prefix}{entry.name}", path


def _require_inside(path: Path, *, root: Path) -> None:
    target = path.resolve()
    if not target.exists():
        raise InvalidPath(f"{path} is a link to nothing: {os.readlink(path)!r}.", hint="Remove the link.")  # noqa: PTH115  its text, whatever it is
    if not target.is_relative_to(root):
        raise InvalidPath(
            f"{path} is a link out of the folder, to {target}.",
            hint="Register a copy in which links are files: shutil.copytree(path, copy).",
        )


def _require_file(path: Path) -> None:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise InvalidPath(f"{path} is neither a file nor a folder.", hint="Remove it, or leave it out of the folder.")
