"""What shall be installed, as text: from the captured distributions, and from a lock. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import EnvironmentFailed

if TYPE_CHECKING:
    from orchestrator.records.source import Distribution, Packages

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
"""PEP 508, section "Names"."""
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")
_URL = re.compile(r"(?:git|hg|bzr|svn)\+\S+|https?://\S+")
_VCS = re.compile(r"^\S+ @ (?:git|hg|bzr|svn)\+", re.MULTILINE)
_LOCKED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:==|@)", re.MULTILINE)

_INSTALLERS = frozenset({"pip", "uv"})
"""They install packages and nothing may be installed into a finished environment. setuptools and wheel stay: code
imports `pkg_resources` and `distutils` from there at run time."""


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """Exact requirements, one a line, and what a person should know about those that are missing from them."""

    lines: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """The lines as a requirements file."""
        return "".join(f"{line}\n" for line in self.lines)


def requirements_of(packages: Packages) -> Requirements:
    """Turn captured distributions into exact requirements.

    Args:
        packages: what was installed where the task ran first.

    Returns:
        `name==version` for what came from an index and `name @ url` for what came from a version control system or
        an archive on the web, sorted. Editable and local installs are left out with a note.

    Raises:
        EnvironmentFailed: a captured name, version or URL is none.
    """
    imported = {canonical(name) for name in packages.imported}
    lines: set[str] = set()
    notes: list[str] = []
    for distribution in packages.distributions:
        name = canonical(distribution.name)
        if name in _INSTALLERS and name not in imported:
            continue
        if distribution.editable or (distribution.url or "").startswith("file:"):
            notes.append(
                f"{distribution.name} {distribution.version} was installed from a local directory and is left out: "
                "its source is found only if it travels with the source tree"
            )
            continue
        lines.add(_line(distribution))
    return Requirements(lines=tuple(sorted(lines)), notes=tuple(sorted(notes)))


def canonical(name: str) -> str:
    """Return a distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def normalised(lock: bytes) -> str:
    """Return a lock without comments, continuation lines, blank space and order, so that equal locks read alike."""
    joined = re.sub(r"\\\r?\n", " ", lock.decode())
    lines = (" ".join(re.sub(r"(^|\s)#.*", "", line).split()) for line in joined.splitlines())
    return "\n".join(sorted(line for line in lines if line))


def locked_names(lock: bytes) -> tuple[str, ...]:
    """Return the names of the distributions that a lock installs, in its order."""
    return tuple(_LOCKED.findall(lock.decode()))


def fully_hashed(lock: bytes) -> bool:
    """Tell whether every requirement of a lock has a hash; one from a version control system has its commit instead."""
    return _VCS.search(lock.decode()) is None


def _line(distribution: Distribution) -> str:
    name, version, url = distribution.name, distribution.version, distribution.url
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version) or (url is not None and not _URL.fullmatch(url)):
        origin = f" from {url}" if url else ""
        raise EnvironmentFailed(
            f"The captured package {name!r} {version!r}{origin} cannot be written as a requirement.",
            hint="Install it properly where the task is started, or remove it there, and start the task again.",
        )
    return f"{canonical(name)} @ {url}" if url else f"{canonical(name)}=={version}"
