"""The source of a task, rebuilt to the captured tree and proved on the bytes that lie on disk."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from agent.asked_source import format_of, settle, submodules_of
from agent.mirrors import Mirror
from agent.remotes import RemoteAccess
from orchestrator.errors import NoSpace, RebuildError, SourceMismatch
from orchestrator.sdk.capture.git import EMPTY_TREE, GitError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.records.source import Source


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What lies on disk."""

    commit: str | None
    """The commit that it was rebuilt from; None where there is none."""
    left_empty: tuple[str, ...] = ()
    """Folders of submodules that nobody captured."""


def checkout(
    source: Source,
    *,
    into: Path,
    mirrors: Path,
    fetch_blob: Callable[[str, Path], None],
    access: RemoteAccess | None = None,
) -> Rebuilt:
    """Rebuild a captured source tree, submodules and all; or a commit that is asked for, whose submodules stay empty.

    A tree that was rebuilt on this node before comes from the mirror alone: neither remote nor server is asked.

    Args:
        source: what was captured, or what is asked for.
        into: an empty folder, or one that does not exist yet. Nothing is written outside it but into `mirrors`.
        mirrors: the node's cache of remotes; several processes may share it.
        fetch_blob: writes the blob of a digest to a path, and checks it.
        access: credentials and patience for remotes.

    Raises:
        SourceMismatch: what was rebuilt is not what was captured.
        Unavailable: a remote does not answer and its commit was never fetched here.
        NoSpace: the disk is full.
        RebuildError: the source cannot be rebuilt for another reason; the message says which.
    """
    if into.exists() and any(into.iterdir()):
        raise RebuildError(f"{into} is not empty, and source is rebuilt into empty folders only.")
    into.mkdir(parents=True, exist_ok=True)
    access = access or RemoteAccess()
    is_captured = source.tree is not None
    source, tree = _settled(source, mirrors=mirrors, access=access)
    mirror = Mirror(mirrors, url=source.repository if source.commit else None, object_format=format_of(tree))
    rebuild = _Rebuild(source, tree=tree, mirror=mirror, fetch_blob=fetch_blob, access=access)
    try:
        with tempfile.TemporaryDirectory(prefix="checkout-", dir=mirrors) as scratch:
            rebuild.write(into.resolve(), scratch=Path(scratch))
        left_empty = () if is_captured else submodules_of(mirror, tree=tree)
    except GitError as error:
        raise _explained(error, hint=f"If this does not pass, delete {mirror.directory}; it is made anew.") from error
    for submodule in source.submodules:
        checkout(
            submodule.source,
            into=_inside(into, submodule.path),
            mirrors=mirrors,
            fetch_blob=fetch_blob,
            access=access,
        )
    return Rebuilt(commit=source.commit, left_empty=left_empty)


def _settled(source: Source, *, mirrors: Path, access: RemoteAccess) -> tuple[Source, str]:
    """Return the source as a capture makes it, and its tree."""
    if source.tree is None:
        try:
            source = settle(source, mirrors=mirrors, access=access)
        except GitError as error:
            raise _explained(error, hint=f"If this does not pass, delete {mirrors}; it is made anew.") from error
    return source, source.tree or ""


def _explained(error: GitError, *, hint: str) -> RebuildError | NoSpace:
    if "No space left" in error.complaint:
        return NoSpace(f"The source does not fit on the disk: {error}.")
    return RebuildError(f"The source cannot be rebuilt: {error}.", hint=hint)


class _Rebuild:
    """One tree on its way from the mirror to the disk."""

    def __init__(
        self,
        source: Source,
        *,
        tree: str,
        mirror: Mirror,
        fetch_blob: Callable[[str, Path], None],
        access: RemoteAccess,
    ) -> None:
        self.source = source
        self.tree = tree
        self.mirror = mirror
        self.fetch_blob = fetch_blob
        self.access = access

    def write(self, into: Path, *, scratch: Path) -> None:
        """Write the tree, from the mirror if it has it, else after bringing it there."""
        try:
            self._write_out(into, index=scratch / "warm")
        except GitError:
            _empty(into)
        else:
            return
        self._bring_commit(scratch)
        self._make_tree(scratch)
        try:
            self._write_out(into, index=scratch / "cold")
        except GitError as error:
            if error.command != "update-index":
                raise
            raise SourceMismatch(f"The files on disk are not those of the captured tree: {error.complaint}") from error

    def _write_out(self, into: Path, *, index: Path) -> None:
        """Write the files of the tree, then hash them again from disk.

        The index gets no sizes and times when files are written without `-u`, so the refresh has to read every file.
        """
        self.mirror.run("read-tree", self.tree, index=index)
        self.mirror.run("checkout-index", "--all", index=index, work_tree=into)
        self.mirror.run("update-index", "--refresh", index=index, work_tree=into)

    def _bring_commit(self, scratch: Path) -> None:
        """Have the commit in the mirror: from the bundle, else from the remote, else from both."""
        source, commit = self.source, self.source.commit
        if commit is None or self.mirror.has(commit):
            return
        bundle = self._blob(source.bundle, scratch / "commits.bundle")
        with self.mirror.locked():
            if self.mirror.has(commit) or (bundle and self._unbundled(bundle, commit=commit)):
                return
            self.mirror.fetch(commit, access=self.access)
            if self.mirror.has(commit):
                return
            if bundle:
                self.mirror.unbundle(bundle, commit=commit)
        if not self.mirror.has(commit):
            raise RebuildError(
                f"Commit {commit} is not on {source.repository} any more.",
                hint="It may have been replaced by a forced push. Push it again, or run the script anew.",
            )

    def _unbundled(self, bundle: Path, *, commit: str) -> bool:
        try:
            self.mirror.unbundle(bundle, commit=commit)
        except GitError:
            if self.source.repository is None:
                raise
            return False  # it builds on commits that the remote has and the mirror has not
        return True

    def _make_tree(self, scratch: Path) -> None:
        """Apply the patch to the commit, and hold the result against the captured tree."""
        source, index = self.source, scratch / "patched"
        base = source.commit or EMPTY_TREE[format_of(self.tree)]
        self.mirror.run("read-tree", base, index=index)
        if patch := self._blob(source.patch, scratch / "source.patch"):
            self.mirror.run("apply", "--cached", "--binary", "--whitespace=nowarn", str(patch), index=index)
        tree = self.mirror.run("write-tree", index=index).decode().strip()
        if tree != self.tree:
            raise SourceMismatch(f"The rebuilt source tree is {tree}, and the captured one was {self.tree}.")

    def _blob(self, digest: str | None, path: Path) -> Path | None:
        if digest is None:
            return None
        self.fetch_blob(digest, path)
        return path


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _inside(root: Path, path: str) -> Path:
    """Return where a submodule goes, made sure that it is reached through folders of the tree alone.

    Raises:
        RebuildError: the path leaves the tree, or a file or link stands in its way.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or any(part == ".." or part.lower() == ".git" for part in parts):
        raise RebuildError(f"A submodule's path must lie inside the source tree, and {path!r} does not.")
    folder = root
    for part in parts:
        folder = folder / part
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise RebuildError(f"The submodule {path!r} cannot be rebuilt: {folder.name!r} is not a folder.")
    return folder
