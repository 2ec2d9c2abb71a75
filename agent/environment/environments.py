"""Content-addressed environments: one for each set of packages on each interpreter, built once."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from agent.environment.failures import naming_the_disk
from agent.environment.holds import Hold, alone, share
from agent.environment.indexes import effective, without_credentials
from agent.environment.installer import Installer, empty_cache
from agent.environment.memory import Memory
from agent.environment.requirements import fully_hashed, locked_names, normalised, requirements_of
from agent.environment.shelf import Shelf, size_of
from agent.environment.toolchain import Interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from agent.environment.requirements import Requirements
    from agent.environment.toolchain import Toolchain
    from orchestrator.records.source import Packages

logger = logging.getLogger(__name__)

_LAYOUT = 1
"""Part of every key: raise it when environments are made in another way, and old ones are no longer found."""

_SDK_HOOK_NAME = "zzz_retrain_sdk.pth"
"""Path files are read in the order of their names; ours comes last."""

_SDK_HOOK = "import os, sys; p = os.environ.get('RETRAIN_SDK'); p and p not in sys.path and sys.path.append(p)\n"
"""Puts the SDK that the agent mounts last on `sys.path` of every process of the attempt: nothing is shadowed, no
dependency is added, and an upgrade of the agent makes no environment anew."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A finished environment, which cannot be evicted as long as it is held."""

    key: str
    path: Path
    """Absolute, and the same in a container. Read-only there."""
    python: Path
    reused: bool
    """It stood there already; otherwise it was built for this call."""
    lock: bytes
    """Exact requirements with hashes; with them another node builds the same."""
    _hold: Hold = field(repr=False, compare=False)

    def hold(self) -> Hold:
        """Return the hold on it, which `Environments.ensure` took. Release it when the run has ended."""
        return self._hold


class Environments:
    """The environments of one node.

    Args:
        root: a folder of its own, which building containers may write to. Made when missing.
        limit_bytes: see `Shelf.evict`.
        patience_seconds: so long an index that does not answer is asked again.
        in_use: returns the keys of environments in which something runs. A run outlives the process that holds its
            environment, so that between a supervisor's death and its successor nobody does.
    """

    def __init__(
        self,
        root: Path,
        *,
        limit_bytes: int,
        patience_seconds: float = 6.0,
        in_use: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        """See the class."""
        self._root = root.resolve()
        self._limit_bytes = limit_bytes
        self._patience_seconds = patience_seconds
        self._in_use = in_use
        self._own_cache = self._root / "uv-cache"
        self._shelf = Shelf(self._root)
        self._interpreters = Memory(self._root / "interpreters")
        self._locks = Memory(self._root / "resolved")

    def ensure(
        self, packages: Packages, *, lock: bytes | None, toolchain: Toolchain, progress: Callable[[str], None]
    ) -> Environment:
        """Return the environment with these packages, built if it does not stand there yet, and held.

        One that stands there costs a few calls of the file system; no process is started and no index asked.

        Args:
            packages: what was captured.
            lock: what the first run of the task or of its reference resolved; None when none has run yet.
            toolchain: where it shall run.
            progress: is told, in lines for a person, what happens. An exception that it raises ends the work.

        Raises:
            EnvironmentFailed: there is no such interpreter, or a package that cannot be installed.
            Unavailable: a package index or the engine does not answer.
            ExecutorUnavailable: the image is not there.
            NoSpace: the disk is full.
        """
        with naming_the_disk(self._root):
            return self._ensure(packages, lock=lock, toolchain=toolchain, progress=progress)

    def hold(self, key: str) -> Hold | None:
        """Hold the environment of a run that is adopted; None when it is gone."""
        held = share(self._shelf.lock(key))
        if self._shelf.has(key):
            return held
        held.release()
        return None

    def evict(self) -> int:
        """Bring the environments below their limit and clear up after killed processes.

        uv's cache, where it is ours alone, is emptied when it has outgrown the same limit.

        Returns:
            The sum of the sizes of the environments that were deleted, in bytes.
        """
        freed = self._shelf.evict(limit_bytes=self._limit_bytes, in_use=self._in_use)
        if size_of(self._own_cache) > self._limit_bytes:
            empty_cache(self._own_cache)
        return freed

    def _ensure(
        self, packages: Packages, *, lock: bytes | None, toolchain: Toolchain, progress: Callable[[str], None]
    ) -> Environment:
        interpreter = self._interpreter(packages, toolchain=toolchain)
        requirements = requirements_of(packages)
        for note in requirements.notes:
            progress(f"environment: {note}")
        if interpreter.version != packages.python:
            progress(f"environment: captured on Python {packages.python}, runs on {interpreter.version}")
        installer = Installer(
            toolchain=toolchain,
            interpreter=interpreter,
            indexes=effective(packages.index_urls, default_index=packages.default_index, environ=os.environ),
            root=self._root,
            cache=self._cache(),
            patience_seconds=self._patience_seconds,
            progress=lambda line: progress(f"environment: {line}"),
        )
        asked = [without_credentials(url) for url in installer.indexes]
        if lock is None:
            lock = self._resolved(requirements, packages=packages, installer=installer, asked=asked)
        key = _digest(_LAYOUT, asdict(interpreter), toolchain.base(), normalised(lock), asked)
        return self._standing(key, lock=lock, installer=installer)

    def _interpreter(self, packages: Packages, *, toolchain: Toolchain) -> Interpreter:
        name = _digest(toolchain.base(), packages.python, packages.implementation)
        known = self._interpreters.recall(name)
        if known is not None:
            stamp, _, text = known.decode().partition("\n")
            interpreter = Interpreter.parse(text)
            if stamp == toolchain.stamp(interpreter.executable):
                return interpreter
        interpreter = toolchain.describe(packages.python, implementation=packages.implementation)
        stamp = toolchain.stamp(interpreter.executable)
        self._interpreters.keep(name, content=f"{stamp}\n{interpreter.text()}".encode())
        return interpreter

    def _cache(self) -> Path:
        """Return uv's cache: the user's own if packages can be linked from there, else one beside the environments."""
        named = os.environ.get("UV_CACHE_DIR")
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        own = Path(named) if named else Path(base) / "uv"
        usable = own.is_dir() and os.access(own, os.W_OK) and own.stat().st_dev == self._root.stat().st_dev
        return own.resolve() if usable else self._own_cache

    def _resolved(
        self, requirements: Requirements, *, packages: Packages, installer: Installer, asked: list[str]
    ) -> bytes:
        """Return the lock of captured packages: the one that was resolved here before, or a new one."""
        interpreter = installer.interpreter
        complete = packages.platform in ("", interpreter.platform)
        name = _digest(interpreter.minor, interpreter.implementation, interpreter.platform, requirements.lines, asked)
        if (known := self._locks.recall(name)) is not None:
            return known
        with alone(self._shelf.lock(name)), self._shelf.slot(name) as directory:
            if (known := self._locks.recall(name)) is not None:
                return known
            installer.progress(f"resolving {len(requirements.lines)} packages for Python {interpreter.version}")
            if not complete:
                installer.progress(f"captured on {packages.platform}: adding what is needed on {interpreter.platform}")
            directory.mkdir()
            wanted, resolved = directory / "requirements.in", directory / "requirements.txt"
            wanted.write_text(requirements.text)
            installer.resolve(wanted, into=resolved, complete=complete)
            lock = resolved.read_bytes()
            self._locks.keep(name, content=lock)
            return lock

    def _standing(self, key: str, *, lock: bytes, installer: Installer) -> Environment:
        path = self._shelf.ready / key
        reused = True
        while True:
            held = share(
                self._shelf.lock(key),
                waiting=lambda: installer.progress("another run builds the same environment; waiting for it"),
            )
            # Looked at again after each change of lock: in between somebody else may have built, or evicted.
            if self._shelf.has(key):
                break
            held.release()
            with alone(self._shelf.lock(key)) as descriptor:
                if not self._shelf.has(key):
                    self._build(key, lock=lock, installer=installer, descriptor=descriptor)
                    reused = False
        try:
            if reused:
                installer.progress(f"reused {key}")
            else:
                self.evict()
        except BaseException:
            held.release()
            raise
        return Environment(key=key, path=path, python=path / "bin/python", reused=reused, lock=lock, _hold=held)

    def _build(self, key: str, *, lock: bytes, installer: Installer, descriptor: int) -> None:
        started = time.monotonic()
        installer.progress(f"building, {len(locked_names(lock))} packages for Python {installer.interpreter.version}")
        with self._shelf.slot(key) as building:
            building.mkdir()
            wanted = building / "requirements.txt"
            wanted.write_bytes(lock)
            installer.install(wanted, into=building, hashed=fully_hashed(lock), keep_open=(descriptor,))
            for packages in building.glob("lib/*/site-packages"):
                (packages / _SDK_HOOK_NAME).write_text(_SDK_HOOK)
            self._shelf.publish(building, key=key)
        seconds = time.monotonic() - started
        installer.progress(f"built {key} in {seconds:.1f} s")
        logger.info("environment built", extra={"action": "environment_built", "key": key, "seconds": seconds})


def _digest(*parts: object) -> str:
    return blake3(json.dumps(parts, sort_keys=True).encode()).hexdigest(length=16)
