"""A cache of remotes on this node, so that a commit is fetched once and a remote may be down afterwards."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.remotes import Remote
from orchestrator.errors import RebuildError
from orchestrator.sdk.capture.git import GitError, make_raw_directory, raw_environment, run_git
from orchestrator.sdk.capture.remotes import TRANSPORTS, is_fetchable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.remotes import RemoteAccess
    from orchestrator.sdk.capture.git import ObjectFormat

logger = logging.getLogger(__name__)


class Mirror:
    """The objects of one remote, or of all sources that have none, in a raw git directory.

    Args:
        mirrors: the folder that holds all of them.
        url: the remote; None for sources without one.
        object_format: the hash that names its objects.
    """

    def __init__(self, mirrors: Path, *, url: str | None, object_format: ObjectFormat) -> None:
        if url is not None and not is_fetchable(url):
            raise RebuildError(f"{url!r} is no URL that git may fetch from.", hint=f"Use {', '.join(TRANSPORTS)}.")
        self.url = url
        name = "no-remote" if url is None else f"{_slug(url)}-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
        self.directory = mirrors / f"{name}-{object_format}.git"
        self._mirrors = mirrors
        self._environment = raw_environment(self.directory)
        if not (self.directory / "HEAD").exists():
            mirrors.mkdir(parents=True, exist_ok=True)
            with self.locked():
                if not (self.directory / "HEAD").exists():
                    shutil.rmtree(self.directory, ignore_errors=True)  # begun by a process that was killed
                    make_raw_directory(self.directory, object_format=object_format, durable=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from fetching into this mirror; the kernel lets go when the holder dies."""
        with self.directory.with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def run(self, *arguments: str, index: Path | None = None, work_tree: Path | None = None) -> bytes:
        """Run git on this mirror, with an index and a working tree of the caller's.

        Raises:
            GitError: git failed.
        """
        environment = dict(self._environment)
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        if work_tree is not None:
            environment["GIT_WORK_TREE"] = str(work_tree)
        return run_git(arguments, directory=work_tree or self.directory, environment=environment)

    def has(self, commit: str) -> bool:
        """Tell whether a commit is here with all that it needs.

        Only what a reference reaches is known to be whole: a fetch that was cut off leaves objects without their parts.
        """
        try:
            return not self.run("rev-list", "--max-count=1", commit, "--not", "--all")
        except GitError:
            return False

    def keep(self, commit: str) -> None:
        """Hold on to a commit, whatever becomes of the branches of its remote."""
        self.run("update-ref", _kept(commit), commit)

    def unbundle(self, bundle: Path, *, commit: str) -> None:
        """Take in the commits of a bundle.

        Raises:
            GitError: the bundle is damaged, or builds on commits that are not here.
        """
        self.run("fetch", *_FETCH, str(bundle), f"+HEAD:{_kept(commit)}")

    def fetch(self, commit: str, *, access: RemoteAccess) -> None:
        """Bring the branches and tags of the remote up to date, and the commit even if none of them holds it.

        Raises:
            Unavailable: the remote does not answer, also after the last retry, or lets nobody in.
        """
        remote = Remote(self._url(), scratch=self.directory, access=access)
        branches = ("--prune", remote.url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        remote.insist("fetch", *_FETCH, *branches, git_directory=self.directory)
        if self.has(commit):
            self.keep(commit)
            return
        try:
            remote.run("fetch", *_FETCH, remote.url, f"+{commit}:{_kept(commit)}", git_directory=self.directory)
        except GitError as error:
            logger.info(
                "the remote does not hand out the commit",
                extra={"action": "commit_refused", "repository": self.url, "commit": commit, "reason": str(error)},
            )

    def _url(self) -> str:
        if self.url is None:
            raise RebuildError("The source names a commit, but neither a remote nor a bundle that has it.")
        return self.url


_FETCH = ("--quiet", "--force", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--recurse-submodules=no")


def _kept(commit: str) -> str:
    return f"refs/kept/{commit}"


def _slug(url: str) -> str:
    """Return something of a URL that a person recognises in a folder listing."""
    last = re.split(r"[/:]", url.rstrip("/").removesuffix(".git"))[-1]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last)[:40].lstrip(".-") or "remote"
