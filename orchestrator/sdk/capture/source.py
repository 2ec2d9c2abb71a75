"""The exact source tree of a run: commit, uncommitted and untracked files, submodules, unpushed commits.

Nothing is written to the user's repository. Their files become objects of a raw git directory in `scratch`, which
borrows the objects that the repository has; the difference between the commit's tree and the tree of what is on disk
is one patch. `Source` in the records says how it is put together again.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import CaptureError
from orchestrator.sdk.capture.budget import Budget
from orchestrator.sdk.capture.files import WorkingTree, parse_index, read_tracked, read_untracked
from orchestrator.sdk.capture.folder import BYTECODE, CACHES, check_folder_size, without_environments
from orchestrator.sdk.capture.git import GitError, finish_git, run_git, start_git, user_environment
from orchestrator.sdk.capture.history import bundle_unpushed
from orchestrator.sdk.capture.private import is_private
from orchestrator.sdk.capture.remotes import choose_remote, parse_configuration
from orchestrator.sdk.capture.repository import find_repository
from orchestrator.sdk.capture.tree import TreeWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from orchestrator.sdk.capture.repository import Repository

DEFAULT_LIMIT_BYTES = 512 * 1024 * 1024
"""How much may travel with a task that no commit has."""

_QUIET = ("-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false")


@dataclass(frozen=True, slots=True)
class CapturedSubmodule:
    """A repository inside another, known to it as a submodule or not."""

    path: str
    source: CapturedSource


@dataclass(frozen=True, slots=True)
class CapturedSource:
    """What `orchestrator.records.source.Source` records, with patch and bundle still files of this machine."""

    root: Path
    """Top of the tree that was captured."""
    tree: str
    repository: str | None = None
    branch: str | None = None
    commit: str | None = None
    patch: Path | None = None
    bundle: Path | None = None
    submodules: tuple[CapturedSubmodule, ...] = ()
    left_out: tuple[str, ...] = ()


def capture_source(
    path: Path,
    *,
    scratch: Path,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
    with_secrets: bool = False,
    bundles: Path | None = None,
) -> CapturedSource:
    """Capture the tree that a script runs in, exact to the byte.

    In a repository that is all of its working tree but ignored files; elsewhere the script's folder without caches and
    virtual environments.

    Args:
        path: the script, or a folder.
        scratch: an empty folder outside the source; patch and bundle are left in it.
        limit_bytes: how much may travel that no commit has. It is checked before untracked files are read.
        with_secrets: let `.env`, private keys and their like travel too.
        bundles: a folder that keeps bundles of unpushed commits from one capture to the next.

    Raises:
        CaptureError: something cannot be carried; the message names it.
    """
    folder = (path if path.is_dir() else path.parent).resolve()
    script = None if path.is_dir() else folder / path.name
    scratch.mkdir(parents=True, exist_ok=True)
    capture = _Capture(script=script, budget=Budget(limit_bytes), with_secrets=with_secrets, bundles=bundles)
    try:
        return capture.take(folder, scratch=scratch.resolve())
    except GitError as error:
        partial = "unable to read" in error.complaint
        raise CaptureError(
            f"The source at {folder} cannot be captured: {error}.",
            hint="The clone is partial, and git needs files that were never fetched: run `git sparse-checkout disable`."
            if partial
            else "Run `git status` there; if it works and this does not, run the script again.",
        ) from error


@dataclass(frozen=True, slots=True)
class _Capture:
    """One capture, with what a repository and those inside it share."""

    script: Path | None
    budget: Budget
    with_secrets: bool
    bundles: Path | None

    def take(self, folder: Path, *, scratch: Path) -> CapturedSource:
        """Capture the repository that a folder lies in, or the folder alone."""
        repository = find_repository(folder)
        if repository is None:
            return self.take_folder(folder, scratch=scratch)
        return self.take_repository(repository, scratch=scratch)

    def take_repository(self, repository: Repository, *, scratch: Path) -> CapturedSource:
        """Capture a working tree."""
        root, files = repository.root, WorkingTree()
        excluded = [f"--exclude={pattern}" for pattern in BYTECODE]
        commands = (
            [*_QUIET, "ls-files", "-s", "-z"],
            ["config", "--list", "-z"],
            [*_QUIET, "ls-files", "-o", "-z", "--exclude-standard", *excluded],
        )
        tracked, configuration, untracked = (
            start_git(command, directory=root, environment=user_environment()) for command in commands
        )
        with tracked, configuration, untracked:  # the third lists while the files of the first are hashed
            entries = parse_index(finish_git(tracked))
            remote = choose_remote(parse_configuration(finish_git(configuration)), branch=repository.branch, root=root)
            read_tracked(os.fsencode(root), entries=entries, object_format=repository.object_format, tree=files)
            self._read_untracked(root, listing=finish_git(untracked), known=entries, files=files)
        writer = TreeWriter(
            scratch / "git", root=root, object_format=repository.object_format, objects=repository.objects
        )
        tree, patch, submodules, left_out = self._write(
            writer, root=root, files=files, commit=repository.commit, scratch=scratch
        )
        bundle = bundle_unpushed(repository, remote=remote, into=scratch / "commits.bundle", cache=self.bundles)
        return CapturedSource(
            root=root,
            tree=tree,
            repository=remote.url if remote else None,
            branch=repository.branch,
            commit=repository.commit,
            patch=patch,
            bundle=bundle,
            submodules=submodules,
            left_out=left_out,
        )

    def take_folder(self, folder: Path, *, scratch: Path) -> CapturedSource:
        """Capture a folder that is in no repository, as a tree made from nothing."""
        check_folder_size(folder)
        files = WorkingTree()
        writer = TreeWriter(scratch / "git", root=folder)
        listing = run_git(
            ["ls-files", "-o", "-z", "--exclude-standard", *(f"--exclude={pattern}" for pattern in CACHES)],
            directory=folder,
            environment=user_environment() | {"GIT_DIR": str(writer.directory), "GIT_WORK_TREE": str(folder)},
        )
        self._read_untracked(folder, listing=listing, known=(), files=files)
        tree, patch, submodules, left_out = self._write(writer, root=folder, files=files, commit=None, scratch=scratch)
        return CapturedSource(root=folder, tree=tree, patch=patch, submodules=submodules, left_out=left_out)

    def _read_untracked(self, root: Path, *, listing: bytes, known: Iterable[bytes], files: WorkingTree) -> None:
        paths = without_environments(listing.split(b"\0")[:-1])
        if self.script and self.script.is_relative_to(root) and self.script.is_file():
            script = os.fsencode(self.script.relative_to(root))
            if script not in known and script not in paths:  # what runs always travels, ignored or not
                paths.append(script)
        read_untracked(os.fsencode(root), paths=paths, tree=files)
        for each in files.changed:
            self.budget.take(str(root / os.fsdecode(each.path)), size_bytes=each.size_bytes)
        self.budget.check()

    def _write(
        self, writer: TreeWriter, *, root: Path, files: WorkingTree, commit: str | None, scratch: Path
    ) -> tuple[str, Path | None, tuple[CapturedSubmodule, ...], tuple[str, ...]]:
        """Write the tree of the files and what is in it, and the patch that makes it from the commit."""
        submodules: list[CapturedSubmodule] = []
        gitlinks = []
        for path, recorded in files.submodules:
            inner = self._take_inner(root, path=path, scratch=scratch / "submodules" / str(len(submodules)))
            if inner:
                submodules.append(inner)
            gitlinks.append((path, inner.source.commit.encode() if inner and inner.source.commit else recorded))
        for path in files.nested:
            inner = self._take_inner(root, path=path, scratch=scratch / "submodules" / str(len(submodules)))
            if inner:
                submodules.append(inner)
        tree = writer.write(files, gitlinks=gitlinks)
        differences = writer.differences(tree, commit=commit)
        private = [
            each
            for each in differences
            if not (self.with_secrets or each.deleted) and is_private(root / os.fsdecode(each.path))
        ]
        if private:
            tree = writer.revert(private)
        patch = writer.write_patch(tree, commit=commit, into=scratch / "source.patch") if differences else None
        shutil.rmtree(writer.directory)
        left_out = tuple(each.path.decode(errors="backslashreplace") for each in private)
        return tree, patch, tuple(submodules), left_out

    def _take_inner(self, root: Path, *, path: bytes, scratch: Path) -> CapturedSubmodule | None:
        """Capture a repository inside another; None where the folder is empty, as before `submodule update`."""
        folder = root / os.fsdecode(path)
        if not any(folder.iterdir()):
            return None
        try:
            name = path.decode()
        except UnicodeDecodeError:
            raise CaptureError(
                f"The repository at {folder} cannot travel: its name is not UTF-8.", hint="Rename it."
            ) from None
        scratch.mkdir(parents=True)
        inner = find_repository(folder) if (folder / ".git").exists() else None
        if inner and inner.root != folder.resolve():
            inner = None
        source = self.take_repository(inner, scratch=scratch) if inner else self.take_folder(folder, scratch=scratch)
        return CapturedSubmodule(path=name, source=source)
