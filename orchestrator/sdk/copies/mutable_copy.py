"""Copies of datasets that may be written to."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import AlreadyExists, InvalidPath
from orchestrator.sdk.copies.local_copy import disk_errors
from orchestrator.sdk.copies.raw_files import copy_contents, remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN, _EXECUTABLE = 0o644, 0o755


def mutable_copy(copy: Path, *, target: Path, overwrite: bool = False) -> Path:
    """Copy a read-only folder to one whose files may be changed, and return that.

    It is made beside its place and put there when it is whole; after a failure everything is as it was before. Where
    the file system can, files share their bytes until one of them is written to.

    Args:
        copy: what `local_copy` returned.
        target: the folder to be; made where it is absent.
        overwrite: whether what is in it may be replaced; else it must be empty.

    Raises:
        AlreadyExists: there is something in it.
        InvalidPath: it is no folder, or cannot be written to.
        NoSpace: the disk is full.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100  a link in it leads to where the person wants it
    if target.is_symlink():
        target = target.resolve()
    if target == copy or copy in target.parents or target in copy.parents:
        raise InvalidPath(f"{target} is in the cache, or around it.", hint="Name another folder.")
    with disk_errors(target):
        _require_free(target, overwrite=overwrite)
        target.parent.mkdir(parents=True, exist_ok=True)
        # What something is mounted at, or this process stands in, keeps its place: its content is exchanged.
        here = Path.cwd()
        stays = target.is_dir() and (target.is_mount() or target in {here, *here.parents})
        draft = (target if stays else target.parent) / f".retrain-{os.urandom(8).hex()}"
        try:
            _copy_tree(copy, draft)
            if stays:
                _exchange_content(target, draft)
            else:
                _exchange(target, draft)
        finally:
            remove_tree(draft)
    return target


def _require_free(target: Path, *, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise InvalidPath(f"{target} is no folder.", hint="Name another one.")
    if not overwrite and next(target.iterdir(), None) is not None:
        raise AlreadyExists(f"There are files in {target}.", hint="Name another folder, or ask to overwrite it.")


def _copy_tree(source: Path, target: Path) -> None:
    pending = [(str(source), str(target))]
    while pending:
        folder, place = pending.pop()
        os.mkdir(place, 0o755)  # noqa: PTH102  there may be many
        with os.scandir(folder) as listing:
            for each in listing:
                if each.is_dir(follow_symlinks=False):
                    pending.append((each.path, f"{place}/{each.name}"))
                    continue
                executable = each.stat(follow_symlinks=False).st_mode & stat.S_IXUSR
                copy_contents(each.path, f"{place}/{each.name}", mode=_EXECUTABLE if executable else _PLAIN)


def _exchange(target: Path, draft: Path) -> None:
    """Put the folder in the place of another, which is removed."""
    if not target.exists() or not any(target.iterdir()):
        draft.rename(target)
        return
    with _set_aside(target, beside=draft):
        draft.rename(target)


def _exchange_content(target: Path, draft: Path) -> None:
    """Put what is in a folder that lies in another in the place of what is in that one."""
    old = [each for each in target.iterdir() if each != draft]
    with contextlib.ExitStack() as stack:
        for each in old:
            stack.enter_context(_set_aside(each, beside=draft))
        moved: list[Path] = []
        try:
            for each in draft.iterdir():
                place = target / each.name
                each.rename(place)
                moved.append(place)
        except BaseException:
            for place in moved:
                place.rename(draft / place.name)
            raise


@contextlib.contextmanager
def _set_aside(path: Path, *, beside: Path) -> Iterator[None]:
    """Rename a file or folder away; it is removed in the end, or gets its name back where the block fails."""
    aside = beside.with_name(f"{beside.name}.{os.urandom(6).hex()}")
    path.rename(aside)
    try:
        yield
    except BaseException:
        aside.rename(path)
        raise
    if aside.is_dir() and not aside.is_symlink():
        remove_tree(aside)
    else:
        aside.unlink()
