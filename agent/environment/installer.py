"""uv's command lines: resolve exact requirements to a lock, and install a lock into a fresh environment."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import uv

from agent.environment.failures import explain
from agent.environment.indexes import directories, variables
from agent.environment.toolchain import Work
from orchestrator.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.environment.toolchain import Interpreter, Outcome, Toolchain

logger = logging.getLogger(__name__)

_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "NETRC", "CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS"}
    | {"LDFLAGS", "LD_LIBRARY_PATH", "PKG_CONFIG_PATH", "MAX_JOBS", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    | {"UV_SYSTEM_CERTS", "UV_NATIVE_TLS", "UV_INSECURE_HOST", "UV_KEYRING_PROVIDER", "GIT_SSL_CAINFO"}
)
_PASSED_ON_PREFIXES = ("LC_", "CUDA", "UV_HTTP_", "UV_CONCURRENT_")
"""Building a source distribution runs its code: it gets what a compiler and a network need, and no token of ours."""

UV = uv.find_uv_bin()
"""Absolute path of uv's program, which its wheel brings."""

_FROM_INDEXES = ("--index-strategy", "unsafe-first-match")
"""The first index that has the very version: `torch 2.1.0+cu118` is not where `torch` is. The pins came from such a
search, and the order is the recorded one."""

_COMPILE = (
    "import compileall, re, sys; compileall.compile_dir(sys.argv[1], quiet=2, workers=0, rx=re.compile(r'/tests?/'))"
)
"""Measured with scikit-learn, pandas and their kind on two cores: 2.2 s here, 5.9 s with the tests that nobody
imports, 1.8 s saved at each start of a script from a read-only environment. It pays from the second run on. Files
that are no valid source for this version (templates, other dialects) are passed over, as uv and pip do."""

_FIRST_PAUSE_SECONDS = 0.5
_HOUSEKEEPING_SECONDS = 10.0
_WORTH_TELLING = ("Downloading", "Downloaded", "Building", "Built", "Updating", "Prepared")


@dataclass(frozen=True, kw_only=True)
class Installer:
    """What resolving and installing have in common."""

    toolchain: Toolchain
    interpreter: Interpreter
    indexes: tuple[str, ...]
    """URLs, the preferred one first."""
    root: Path
    """The folder below which everything is built."""
    cache: Path
    """uv's cache, in `root` or elsewhere."""
    patience_seconds: float
    """So long an index that does not answer is asked again."""
    progress: Callable[[str], None]

    def resolve(self, requirements: Path, *, into: Path, complete: bool) -> None:
        """Write the lock of exact requirements, with hashes.

        Args:
            requirements: a file of exact requirements.
            into: the lock that is written.
            complete: the requirements are the full list; otherwise what they depend on is added.

        Raises:
            EnvironmentFailed: a package or its version is on no index.
            Unavailable: an index does not answer and the cache does not know the packages.
            NoSpace: the disk is full.
        """
        command = [UV, "pip", "compile", str(requirements), "--output-file", str(into), "--quiet", "--generate-hashes"]
        command += ["--no-header", "--no-annotate", "--python", self.interpreter.executable, *_FROM_INDEXES]
        command += ["--no-deps"] if complete else []
        self._insist((tuple(command),), reads=requirements)

    def install(self, lock: Path, *, into: Path, hashed: bool, keep_open: tuple[int, ...]) -> None:
        """Make a relocatable environment at `into` with exactly what a lock names, and compile it to bytecode.

        Args:
            lock: a file of exact requirements.
            into: an empty directory, but for the lock.
            hashed: every requirement has a hash, and one without is refused.
            keep_open: descriptors that the processes inherit.

        Raises:
            EnvironmentFailed: a package is gone, differs from its hash, or cannot be built.
            Unavailable: an index does not answer and the cache does not hold the packages.
            NoSpace: the disk is full.
        """
        python = str(into / "bin/python")
        create = (
            UV,
            "venv",
            "--quiet",
            "--relocatable",
            "--allow-existing",
            "--python",
            self.interpreter.executable,
            str(into),
        )
        sync = [UV, "pip", "sync", str(lock), "--python", python, "--allow-empty-requirements", *_FROM_INDEXES]
        sync += ["--require-hashes"] if hashed else []
        compiling = (python, "-I", "-c", _COMPILE, str(into / "lib"))
        commands = (create, tuple(sync), compiling)
        # What the cache holds needs no index: hashes say that it is the same.
        if self._run(commands, reads=lock, keep_open=keep_open, offline=True).code != 0:
            self._insist(commands, reads=lock, keep_open=keep_open)

    def _insist(self, commands: tuple[tuple[str, ...], ...], *, reads: Path, keep_open: tuple[int, ...] = ()) -> None:
        """Run commands that need an index; when it does not answer, try the cache, and then wait and ask again."""
        pause = _FIRST_PAUSE_SECONDS
        deadline = time.monotonic() + self.patience_seconds
        while (outcome := self._run(commands, reads=reads, keep_open=keep_open, offline=False)).code != 0:
            error = explain(outcome, indexes=self.indexes, disks=self._writable)
            if not isinstance(error, Unavailable):
                raise error
            if self._run(commands, reads=reads, keep_open=keep_open, offline=True).code == 0:
                self.progress("the package index does not answer; the cache has everything that is needed")
                return
            if time.monotonic() + pause > deadline:
                raise error
            self.progress(f"the package index does not answer; asking again in {pause:g} s")
            time.sleep(pause)
            pause *= 2

    def _run(
        self, commands: tuple[tuple[str, ...], ...], *, reads: Path, keep_open: tuple[int, ...], offline: bool
    ) -> Outcome:
        named = (Path(self.variables[name]) for name in ("SSL_CERT_FILE", "NETRC") if name in self.variables)
        work = Work(
            commands=commands,
            variables={**self.variables, **({"UV_OFFLINE": "1"} if offline else {})},
            writable=self._writable,
            readable=(Path(UV), reads, *(path for path in named if path.is_file()), *directories(self.indexes)),
            keep_open=keep_open,
        )
        return self.toolchain.run(work, on_line=_ignore if offline else self._tell)

    @cached_property
    def variables(self) -> dict[str, str]:
        """What the processes find in their environment."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
        }
        ours = {"UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_CACHE_DIR": str(self.cache)}
        # Waiting for an index that is away is ours: we look into the cache in between.
        return {"UV_HTTP_RETRIES": "1"} | kept | ours | {"UV_LINK_MODE": "hardlink"} | variables(self.indexes)

    @property
    def _writable(self) -> tuple[Path, ...]:
        return (self.root,) if self.cache.is_relative_to(self.root) else (self.root, self.cache)

    def _tell(self, line: str) -> None:
        if line.strip().startswith(_WORTH_TELLING):
            self.progress(line.strip())


def empty_cache(cache: Path) -> None:
    """Delete everything in a cache of uv's, unless another uv is at work in it; environments keep their own links."""
    command = [UV, "cache", "clean", "--quiet", "--no-config", "--cache-dir", str(cache)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_HOUSEKEEPING_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        # Whoever just built does not fail for it; the next build tries again.
        logger.warning("package cache not emptied", extra={"action": "package_cache_kept", "reason": str(error)})


def _ignore(_line: str) -> None:
    """What a try without an index says is of no interest: the next one says what counts."""
