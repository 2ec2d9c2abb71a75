"""DVC, the peer of `bench/datasets.py`: installed from the package index, run as its users run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from datasets_figures import Run, say
from datasets_processes import prepare, run_command
from datasets_trees import change

if TYPE_CHECKING:
    from pathlib import Path

    from datasets_aside import Place
    from datasets_processes import Caches

LINKS = "hardlink,symlink,copy"


def install_dvc(environment: Path) -> Path:
    """Install it into a virtual environment of its own, unless it is there; return the directory of its programs."""
    programs = environment / "bin"
    if not (programs / "dvc").exists():
        say("installing DVC")
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", "dvc"], check=True)
    version = subprocess.run([programs / "dvc", "--version"], check=True, capture_output=True, text=True).stdout
    print(f"DVC {version.strip()}")
    return programs


class Dvc:
    """A repository with data, a cache and a remote, all in one directory.

    Args:
        root: where; it must not be there yet.
        place: knows where `dvc` is.
        source: the data, which are copied.
        caches: how the kernel's caches are before each step.
    """

    def __init__(self, root: Path, *, place: Place, source: Path, caches: Caches) -> None:
        self._root, self._aside, self._caches = root, place.aside, caches
        self._repository, self._remote = root / "repository", root / "remote"
        self._data, self._cache = self._repository / "data", self._repository / ".dvc" / "cache"
        root.mkdir(parents=True)
        self._environment = os.environ | {
            "PATH": f"{place.programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(root / "home"),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(root / "site"),
        }
        subprocess.run(["git", "init", "--quiet", str(self._repository)], check=True)
        self._run("init", "--quiet")
        self._run("config", "core.analytics", "false")
        self._run("config", "core.check_update", "false")
        self._run("remote", "add", "--quiet", "--default", "store", str(self._remote))
        shutil.copytree(source, self._data)

    def start(self) -> Run:
        """Do next to nothing: what is left is what each command takes for its start."""
        prepare(self._caches)
        return self._run("config", "core.analytics")

    def first(self) -> Run:
        """Add and push the data."""
        prepare(self._caches, self._data)
        return self._added_and_pushed()

    def following(self, *, seed: int) -> Run:
        """Change ten files, add and push."""
        for file in change(self._data, seed=seed):
            assert file.stat().st_nlink == 1, "a link into the cache was written through"
        prepare(self._caches, self._data)
        return self._added_and_pushed()

    def local_copy(self, *, links: bool) -> Run:
        """Check the data out, all of them being in the cache.

        Args:
            links: make links, which one has to ask for; else copies, as by default.
        """
        if links:
            self._run("config", "cache.type", LINKS)
        self._aside.put(self._data)
        prepare(self._caches, self._cache)
        run = self._run("checkout", "--quiet")
        if links:
            self._run("config", "--unset", "cache.type")
        return run

    def fetch(self) -> Run:
        """Pull the data, the cache being empty."""
        self._aside.put(self._data)
        self._aside.put(self._cache)
        prepare(self._caches, self._remote)
        return self._run("pull", "--quiet")

    def list_file(self) -> Path:
        """Return the newest of the files that list what a version is made of."""
        return max(self._cache.rglob("*.dir"), key=lambda path: path.stat().st_mtime)

    def _added_and_pushed(self) -> Run:
        add, push = self._run("add", "--quiet", "data"), self._run("push", "--quiet")
        return Run(
            add.seconds + push.seconds,
            add.settled + push.settled,
            max(add.client_bytes, push.client_bytes),
            0,
            {"add s": add.seconds, "push s": push.seconds},
        )

    def _run(self, *arguments: str) -> Run:
        dvc = shutil.which("dvc", path=self._environment["PATH"])
        assert dvc is not None
        return run_command([dvc, *arguments], cwd=self._repository, environment=self._environment)
