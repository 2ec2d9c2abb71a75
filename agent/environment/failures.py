"""What uv's complaints mean, as errors that a person can act on."""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agent.environment.indexes import without_credentials
from orchestrator.errors import EnvironmentFailed, NoSpace, OrchestratorError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.environment.toolchain import Outcome

_FULL = re.compile(r"No space left on device|os error 28\b|Disk quota exceeded|os error 122\b")
_AWAY = re.compile(
    r"error sending request|client error \(Connect\)|tcp connect error|dns error|operation timed out|"
    r"HTTP status server error|connection (?:closed|reset)|error decoding response body|"
    r"Could not resolve host|unable to access 'http|Connection (?:refused|timed out)",
    re.IGNORECASE,
)
_URL = re.compile(r"(?:https?|git\+\w+|ssh)://[^\s`'\")]+")
_MISSING = (
    re.compile(r"there is no version of ([A-Za-z0-9._-]+)"),
    re.compile(r"Because ([A-Za-z0-9._-]+)\S* (?:was not found|has no (?:usable )?wheels|has no source)"),
    re.compile(r"Failed to (?:download|build|install|fetch)[^A-Za-z0-9]*`?([A-Za-z0-9][A-Za-z0-9._-]*?)(?:==|@|`|-\d)"),
    re.compile(r"Hash mismatch for `?([A-Za-z0-9._-]+?)(?:==|`)"),
    re.compile(r"you require ([A-Za-z0-9._-]+)"),
)
_CAUSE = re.compile(r"\s*cause: (.+)")
_SHOWN_LINES = 30


def explain(outcome: Outcome, *, indexes: tuple[str, ...], disks: Iterable[Path]) -> OrchestratorError:
    """Return the error that a failed installation amounts to.

    Args:
        outcome: what uv printed.
        indexes: the URLs that were asked.
        disks: directories that were written to.

    Returns:
        NoSpace that names the disk, Unavailable that names the index, or EnvironmentFailed that names the package.
    """
    text = "\n".join(outcome.lines)
    if _FULL.search(text):
        return no_space(disks)
    if _AWAY.search(text):
        found = _URL.search(text)
        index = without_credentials(found[0]) if found else _named(indexes)
        reason = next(
            (match[1] for line in reversed(outcome.lines) if (match := _CAUSE.match(line))), "no reason given"
        )
        return Unavailable(
            f"The package index does not answer: {index} ({reason}). The infrastructure is at fault, not the task.",
            hint="Check the network of this node, or name another index in its UV_DEFAULT_INDEX.",
        )
    name = next((match[1] for pattern in _MISSING if (match := pattern.search(text))), None)
    what = f"The package {name} cannot be installed" if name else "The packages cannot be installed"
    return EnvironmentFailed(
        f"{what} from {_named(indexes)}:\n{_tail(outcome.lines)}",
        hint="Make the missing package available on an index, or install another version where the task is started "
        "and start the reference task again.",
    )


def no_space(disks: Iterable[Path]) -> NoSpace:
    """Return the error that names the fullest of the disks under these directories (and the temporary one)."""
    places = [_existing(path) for path in (*disks, Path(tempfile.gettempdir()))]
    fullest = min(places, key=lambda path: shutil.disk_usage(path).free)
    free = shutil.disk_usage(fullest).free // 2**20
    return NoSpace(
        f"The disk {_mount_point(fullest)} is full ({free} MiB free): the environment was not built.",
        hint=f"Free space there, or move {fullest} to a larger disk.",
    )


@contextmanager
def naming_the_disk(directory: Path) -> Iterator[None]:
    """Turn the system's error for a full disk into NoSpace."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space((directory,)) from error
        raise


def _tail(lines: tuple[str, ...]) -> str:
    start = next((number for number, line in enumerate(lines) if line.startswith("error:")), 0)
    return "\n".join(lines[start:][-_SHOWN_LINES:]).strip() or "the installer gave no reason"


def _named(indexes: tuple[str, ...]) -> str:
    return ", ".join(without_credentials(url) or "the default package index" for url in indexes)


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _mount_point(path: Path) -> Path:
    return next(parent for parent in (path.resolve(), *path.resolve().parents) if parent.is_mount())
