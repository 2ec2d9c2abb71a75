"""What belongs to the source of a run and what is only lying beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterable

MANY_FILES = 20_000
"""A folder without a repository and with more files than this is a home or a disk, not somebody's source."""

BYTECODE = ("__pycache__/",)
"""Never captured: the interpreter writes it anew."""

CACHES = (
    *BYTECODE,
    "*.pyc",
    ".cache/",
    ".hypothesis/",
    ".ipynb_checkpoints/",
    ".mypy_cache/",
    ".nox/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".tox/",
    "node_modules/",
)
"""Not captured where no repository says what to ignore; git's patterns."""

_ENVIRONMENT_MARKS = (b"pyvenv.cfg", b"conda-meta/history")


def without_environments(paths: Iterable[bytes]) -> list[bytes]:
    """Leave out the files of virtual environments, which are bound to their machine."""
    found = list(paths)
    roots = tuple(path[: -len(mark)] for path in found for mark in _ENVIRONMENT_MARKS if path.endswith(b"/" + mark))
    return [path for path in found if not path.startswith(roots)] if roots else found


def check_folder_size(folder: Path) -> None:
    """Make sure that a folder without a repository is small enough to be somebody's source.

    Raises:
        CaptureError: it holds more than `MANY_FILES` files.
    """
    skipped = {name.rstrip("/") for name in CACHES}
    count = 0
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in skipped and name != ".git"]
        if "pyvenv.cfg" in files or "conda-meta" in folders or (".git" in os.listdir(root) and Path(root) != folder):  # noqa: PTH208  a walk hands out strings
            folders.clear()
            continue
        count += len(files)
        if count > MANY_FILES:
            raise CaptureError(
                f"{folder} is in no git repository and holds more than {MANY_FILES:,} files.",
                hint="Move the script into a folder of its own, or run `git init` there and list data in .gitignore.",
            )
