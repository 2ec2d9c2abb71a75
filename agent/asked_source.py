"""A source that nobody captured: somebody asks for a commit of a repository, or for what a branch of it points to.

It is settled into one as a capture makes it, with commit and tree, which is then rebuilt and proved like any other.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from agent.mirrors import Mirror
from agent.remotes import Remote
from orchestrator.errors import RebuildError
from orchestrator.records.source import Source
from orchestrator.sdk.capture.git import GitError

if TYPE_CHECKING:
    from pathlib import Path

    from agent.remotes import RemoteAccess
    from orchestrator.sdk.capture.git import ObjectFormat

logger = logging.getLogger(__name__)

_SHA1_DIGITS = 40
_SUBMODULE = b"160000"
"""Mode of a tree's entry that names a commit of another repository."""


def settle(source: Source, *, mirrors: Path, access: RemoteAccess) -> Source:
    """Return the source with the commit and the tree that are meant, which the mirror has then.

    A branch is looked up at the remote each time: what an earlier look found is no answer. A commit that was fetched
    before needs no remote.

    Args:
        source: names a repository, and a commit or a branch.
        mirrors: the node's cache of remotes.
        access: credentials and patience for remotes.

    Raises:
        Unavailable: the remote does not answer.
        RebuildError: it has no such branch, or no such commit.
    """
    repository, branch = source.repository or "", source.branch or ""
    mirrors.mkdir(parents=True, exist_ok=True)
    commit = source.commit or Remote(repository, scratch=mirrors, access=access).head(branch)
    mirror = Mirror(mirrors, url=repository, object_format=format_of(commit))
    found = _commit_in(mirror, commit)
    if found is None:
        with mirror.locked():
            if not mirror.has(commit):
                mirror.fetch(commit, access=access)
        found = _commit_in(mirror, commit)
    if found is None:
        raise RebuildError(
            f"There is no commit {commit} on {repository}.",
            hint="Push it, or name another. One that a forced push replaced is gone.",
        )
    mirror.keep(found)
    tree = mirror.run("rev-parse", "--verify", f"{found}^{{tree}}").decode().strip()
    return Source(repository=repository, branch=source.branch, commit=found, tree=tree)


def submodules_of(mirror: Mirror, *, tree: str) -> tuple[str, ...]:
    """Return the paths at which a tree names commits of other repositories.

    Raises:
        GitError: the mirror has no such tree.
    """
    listed = mirror.run("ls-tree", "-r", "-z", "--full-tree", tree).split(b"\0")
    return tuple(os.fsdecode(entry.partition(b"\t")[2]) for entry in listed if entry.startswith(_SUBMODULE))


def format_of(object_id: str) -> ObjectFormat:
    """Return the hash that an object's id is made with."""
    return "sha1" if len(object_id) == _SHA1_DIGITS else "sha256"


def _commit_in(mirror: Mirror, object_id: str) -> str | None:
    """Return the commit that an id means, a tag's its commit, or None where the mirror has none."""
    if not mirror.has(object_id):
        return None
    try:
        return mirror.run("rev-parse", "--verify", "--quiet", f"{object_id}^{{commit}}").decode().strip()
    except GitError:
        return None
