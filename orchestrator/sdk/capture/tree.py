"""A working tree written as git objects, and its difference from a commit as one patch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import CaptureError
from orchestrator.sdk.capture.files import GITLINK, LINK, unreadable
from orchestrator.sdk.capture.git import (
    EMPTY_TREE,
    finish_git,
    make_raw_directory,
    quoted,
    raw_environment,
    run_git,
    start_git,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from orchestrator.sdk.capture.files import Changed, WorkingTree
    from orchestrator.sdk.capture.git import ObjectFormat

LARGEST_PATCH_BYTES = 1024 * 1024 * 1024 - 1
"""`git apply` reads no larger patch."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One path in which a tree differs from its commit."""

    path: bytes
    old_mode: bytes
    """Zeros where the commit does not have the path."""
    old_id: bytes
    deleted: bool


class TreeWriter:
    """Writes the tree of a folder into a raw git directory of its own.

    Args:
        directory: where the git directory goes; it must not exist.
        root: the folder.
        object_format: the hash that names objects.
        objects: the objects that the folder's repository has already.
    """

    def __init__(
        self, directory: Path, *, root: Path, object_format: ObjectFormat = "sha1", objects: Path | None = None
    ) -> None:
        make_raw_directory(directory, object_format=object_format, objects=objects)
        self.directory = directory
        self._root = root
        self._empty = EMPTY_TREE[object_format]
        self._environment = raw_environment(directory)

    def write(self, files: WorkingTree, *, gitlinks: Iterable[tuple[bytes, bytes]]) -> str:
        """Write the objects that are missing and the tree of all, and return its id.

        Args:
            files: the files of the folder.
            gitlinks: path and commit of submodules.
        """
        entries = [*files.unchanged, *self._store(files.changed)]
        entries += [(GITLINK, commit, path) for path, commit in gitlinks]
        return self._index(entries)

    def differences(self, tree: str, *, commit: str | None) -> list[Difference]:
        """Return the paths in which a tree differs from a commit, or from nothing."""
        listing = self._run("diff-tree", "-r", "-z", "--raw", "--no-renames", *self._sides(tree, commit=commit))
        fields = listing.split(b"\0")[:-1]
        found = []
        for line, path in zip(fields[::2], fields[1::2], strict=True):
            old_mode, _, old_id, _, status = line.removeprefix(b":").split(b" ")
            found.append(Difference(path=path, old_mode=old_mode, old_id=old_id, deleted=status == b"D"))
        return found

    def revert(self, differences: Iterable[Difference]) -> str:
        """Give these paths the content that the commit has, and return the id of the tree."""
        return self._index((each.old_mode, each.old_id, each.path) for each in differences)

    def write_patch(self, tree: str, *, commit: str | None, into: Path) -> Path | None:
        """Write the difference between a commit, or nothing, and a tree; None where there is none.

        Raises:
            CaptureError: the patch is larger than git applies.
        """
        options = ["-r", "-p", "--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff"]
        with into.open("wb") as file:
            process = start_git(
                ["diff-tree", *options, *self._sides(tree, commit=commit)],
                directory=self.directory,
                environment=self._environment,
                stdout=file,
            )
            finish_git(process)
        size = into.stat().st_size
        if size > LARGEST_PATCH_BYTES:
            raise CaptureError(
                f"The uncommitted changes make a patch of {size:,} bytes; git applies none above 1 GiB.",
                hint="Commit the changes, keep data in a dataset, or list it in .gitignore.",
            )
        if size == 0:
            into.unlink()
            return None
        return into

    def _store(self, changed: Iterable[Changed]) -> list[tuple[bytes, bytes, bytes]]:
        """Write the objects of changed files and return their entries."""
        files = list(changed)
        if not files:
            return []
        links = self.directory / "links"
        links.mkdir(exist_ok=True)
        lines = []
        for number, file in enumerate(files):
            if file.mode == LINK:  # git would read the link's target
                try:
                    target = os.readlink(os.fsencode(self._root) + b"/" + file.path)  # noqa: PTH115  bytes
                except OSError as error:
                    raise unreadable(file.path, error=error) from error
                (links / str(number)).write_bytes(target)
                lines.append(os.fsencode(links / str(number)))
            else:
                lines.append(b"./" + file.path)
        ids = run_git(
            ["hash-object", "-w", "--no-filters", "--stdin-paths"],
            directory=self._root,
            environment=self._environment,
            stdin=b"".join(quoted(line) + b"\n" for line in lines),
        ).split()
        return [(file.mode, object_id, file.path) for file, object_id in zip(files, ids, strict=True)]

    def _index(self, entries: Iterable[tuple[bytes, bytes, bytes]]) -> str:
        lines = b"".join(b"%s %s\t%s\0" % entry for entry in entries)
        self._run("update-index", "-z", "--index-info", stdin=lines)
        # Objects that no difference needs may be missing in a partial clone.
        return self._run("write-tree", "--missing-ok").decode().strip()

    def _sides(self, tree: str, *, commit: str | None) -> tuple[str, str]:
        return (commit or self._empty, tree)

    def _run(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        return run_git(arguments, directory=self.directory, environment=self._environment, stdin=stdin)
