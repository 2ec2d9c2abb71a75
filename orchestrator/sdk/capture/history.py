"""Commits that no remote has, packed so that they can travel."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import CaptureError
from orchestrator.sdk.capture.git import run_git, user_environment

if TYPE_CHECKING:
    from orchestrator.sdk.capture.remotes import Remote
    from orchestrator.sdk.capture.repository import Repository

KEPT_BUNDLES = 16
"""How many bundles a cache folder holds; the least recently used go first."""


def bundle_unpushed(repository: Repository, *, remote: Remote | None, into: Path, cache: Path | None) -> Path | None:
    """Bundle the commits up to HEAD that the remote does not have.

    What the remote has is read from its tracking branches, without asking it.

    Args:
        repository: where the commits are.
        remote: where an agent will fetch from; None bundles the whole history.
        into: the bundle to write.
        cache: folder of bundles made before: packing the same commits again can take seconds.

    Returns:
        `into`, or None where the remote has every commit, or there is none.

    Raises:
        CaptureError: the commits cannot be bundled because a shallow clone left their parents away.
        GitError: git failed.
    """
    commit = repository.commit
    if commit is None:
        return None
    unpushed = [commit] if remote is None else _unpushed(repository, commit=commit, remote=remote)
    if not unpushed:
        return None
    shallow = repository.shallow_commits()
    if shallow and (remote is None or not shallow.isdisjoint(unpushed)):
        raise CaptureError(
            f"{repository.root} is a shallow clone, and commit {commit[:12]} builds on history that it does not have.",
            hint="Run `git fetch --unshallow`, or push the commit.",
        )
    excluded = [] if remote is None else ["--not", f"--remotes={remote.name}"]
    name = hashlib.sha256("\n".join([str(repository.root), *unpushed]).encode()).hexdigest()
    made_before = cache / f"{name}.bundle" if cache else None
    if made_before and made_before.exists():
        os.utime(made_before)
        _link(made_before, into)
        return into
    run_git(
        ["bundle", "create", "--quiet", str(into), "HEAD", *excluded],
        directory=repository.root,
        environment=user_environment(),
    )
    if made_before:
        _keep(into, as_path=made_before)
    return into


def _unpushed(repository: Repository, *, commit: str, remote: Remote) -> list[str]:
    listing = run_git(
        ["rev-list", "--boundary", commit, "--not", f"--remotes={remote.name}"],
        directory=repository.root,
        environment=user_environment(),
    )
    commits = listing.decode().split()
    return commits if any(not line.startswith("-") for line in commits) else []


def _keep(bundle: Path, *, as_path: Path) -> None:
    """Put a bundle into the cache under a name that appears only when the file is whole."""
    as_path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=as_path.parent) as scratch:
        copy = Path(scratch) / as_path.name
        _link(bundle, copy)
        copy.replace(as_path)
    bundles = sorted(as_path.parent.glob("*.bundle"), key=_used_at, reverse=True)
    for old in bundles[KEPT_BUNDLES:]:
        old.unlink(missing_ok=True)


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process made room at the same time
        return 0.0


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
