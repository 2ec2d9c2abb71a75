"""The demo's git repository, and the environment in which its script is run by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from agent.sdk_mount import sdk_directory
from orchestrator.errors import EnvironmentFailed, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

PROJECT = Path(__file__).parent / "project"
UNTRACKED = "features.py"
EDITED = "config.py"
_LABEL = re.compile(r"^\s*(?:error|cause|caused by):\s", re.IGNORECASE)
COMMITTED_LINE, EDITED_LINE = "TREES = 20", "TREES = 40"
"""The edit that stays uncommitted: the file holds the second, the commit the first."""


def make_repository(root: Path) -> None:
    """Write the training script into a new git repository, with an uncommitted edit and an untracked module.

    Raises:
        Unavailable: git is not installed.
    """
    try:
        import git  # noqa: PLC0415  0.2 s, and it asks for the program git when it is imported
    except ImportError:
        raise Unavailable("git is not installed.", hint="Install it: apt install git") from None
    root.mkdir(parents=True)
    for source in sorted(PROJECT.glob("*.py")):
        if source.name != UNTRACKED:
            (root / source.name).write_text(source.read_text().replace(EDITED_LINE, COMMITTED_LINE))
    author = git.Actor("retrain demo", "demo@localhost")
    with git.Repo.init(root) as repository:
        repository.index.add([path.name for path in root.glob("*.py")])
        repository.index.commit("Train on sensor data", author=author, committer=author)
    for name in (EDITED, UNTRACKED):
        (root / name).write_text((PROJECT / name).read_text())


def base_requirements() -> list[str]:
    """Return what the base install of this distribution requires, without the extras."""
    required = metadata.requires("retrain-orchestrator") or []
    return [line for line in required if "extra ==" not in line]


def make_environment(root: Path, *, sdk_root: Path, log: Path, packages: Sequence[str] = ("scikit-learn",)) -> Path:
    """Build a virtual environment such as a user would train in, and return its interpreter.

    It holds these packages and what `pip install retrain-orchestrator` brings; the SDK itself comes from this very
    installation, so that it works where no index offers it.

    Args:
        root: where the environment goes.
        sdk_root: where the SDK's code is copied to.
        log: is written where uv fails: all that it said.
        packages: what the script needs, as requirements.

    Raises:
        EnvironmentFailed: uv could not install the packages; the message is the gist of its own.
    """
    from uv import find_uv_bin  # noqa: PLC0415  the command alone needs it, and it comes with the extra `agent`

    uv = find_uv_bin()
    python = root / "bin" / "python"
    for command in (
        ("venv", "--quiet", "--python", sys.executable, str(root)),
        ("pip", "install", "--quiet", "--python", str(python), *packages, *base_requirements()),
    ):
        done = subprocess.run([uv, *command], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            log.write_text(done.stderr)
            raise EnvironmentFailed(
                f"The demo's environment could not be built: {_gist(done.stderr)}.",
                hint=f"It needs a package index (UV_DEFAULT_INDEX names another) or uv's cache. What uv said: {log}",
            )
    (site_packages,) = root.glob("lib/python*/site-packages")
    (site_packages / "retrain_demo.pth").write_text(f"{sdk_directory(sdk_root)}\n")
    return python


def _gist(complaint: str) -> str:
    """Return what uv complains about and its first cause, in a line."""
    lines = [_LABEL.sub("", line).strip().rstrip(".") for line in complaint.splitlines()]
    return "; ".join([line for line in lines if line][:2]) or "uv gave no reason"
