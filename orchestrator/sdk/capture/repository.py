"""Where a repository is and what is checked out in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from orchestrator.errors import CaptureError
from orchestrator.sdk.capture.git import run_git, start_git, user_environment

if TYPE_CHECKING:
    from orchestrator.sdk.capture.git import ObjectFormat


@dataclass(frozen=True, slots=True)
class Repository:
    """A user's repository; it is only ever read."""

    root: Path
    """The top of the working tree."""
    common_directory: Path
    """The git directory that all its worktrees share."""
    object_format: ObjectFormat
    commit: str | None
    """None while no commit was made."""
    branch: str | None
    """None where HEAD is detached."""

    @property
    def objects(self) -> Path:
        """The object directory."""
        return self.common_directory / "objects"

    def shallow_commits(self) -> frozenset[str]:
        """Return the commits whose parents a shallow clone left away."""
        path = self.common_directory / "shallow"
        return frozenset(path.read_text().split()) if path.exists() else frozenset()


def find_repository(start: Path) -> Repository | None:
    """Return the repository that a folder lies in, or None.

    Raises:
        CaptureError: there is one, but git refuses to read it, or git is not installed.
    """
    questions = ["--show-toplevel", "--git-common-dir", "--show-object-format", "HEAD", "--symbolic-full-name", "HEAD"]
    process = start_git(["rev-parse", *questions], directory=start, environment=user_environment())
    with process:
        answer, complaint = process.communicate()
    lines = os.fsdecode(answer).split("\n")[:-1]
    if process.returncode != 0 and not _is_unborn(lines):
        _refuse_unless_absent(start, complaint=complaint.decode(errors="replace").strip())
        return None
    root, common, object_format = lines[:3]
    commit = lines[3] if process.returncode == 0 else None
    return Repository(
        root=Path(root),
        common_directory=(start / common).resolve(),
        object_format=cast("ObjectFormat", object_format),
        commit=commit,
        branch=_branch(lines[4] if commit else _unborn_head(start)),
    )


def _is_unborn(lines: list[str]) -> bool:
    """Before the first commit, git answers all but HEAD, which it echoes."""
    return len(lines) >= 3 and lines[3:] in ([], ["HEAD"])  # noqa: PLR2004  the three questions before HEAD


def _refuse_unless_absent(start: Path, *, complaint: str) -> None:
    if "not a git repository (or any" in complaint or "must be run in a work tree" in complaint:
        return
    hint = "Tell git that you trust the folder: git config --global --add safe.directory FOLDER"
    raise CaptureError(
        f"git does not read the repository at {start}: {complaint}",
        hint=hint if "dubious ownership" in complaint else "Run `git status` there; once it works, the capture does.",
    )


def _unborn_head(start: Path) -> str:
    return run_git(["symbolic-ref", "HEAD"], directory=start, environment=user_environment()).decode().strip()


def _branch(reference: str) -> str | None:
    prefix = "refs/heads/"
    return reference.removeprefix(prefix) if reference.startswith(prefix) else None
