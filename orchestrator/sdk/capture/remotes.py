"""From which remote a commit can be had again, and its URL as it may be shown to others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TRANSPORTS = ("https", "http", "ssh", "git", "file")
"""What an agent fetches through; anything else (`ext::`, helpers of a user's own) could run commands there."""

_SCP = re.compile(r"^(?!-)[^/:\[\]]+:(?!//|:)")
_HELPER = re.compile(r"^[A-Za-z0-9+.-]+::")


@dataclass(frozen=True, slots=True)
class Remote:
    """One configured remote."""

    name: str
    url: str
    """Without credentials."""


def parse_configuration(listing: bytes) -> dict[str, list[str]]:
    """Read `git config --list -z`: every key with its values, the last of which wins."""
    found: dict[str, list[str]] = {}
    for item in listing.decode(errors="surrogateescape").split("\0"):
        key, _, value = item.partition("\n")
        if key:
            found.setdefault(key, []).append(value)
    return found


def choose_remote(configuration: Mapping[str, Sequence[str]], *, branch: str | None, root: Path) -> Remote | None:
    """Return the remote that the branch follows, else `origin`, else the first; None where no agent could use it.

    Args:
        configuration: the repository's, from `parse_configuration`.
        branch: the current branch, None if HEAD is detached.
        root: where relative paths of remotes start.
    """
    names = [key[len("remote.") : -len(".url")] for key in configuration if re.fullmatch(r"remote\..+\.url", key)]
    followed = configuration.get(f"branch.{branch}.remote", ("",))[-1]
    for name in (followed, "origin", *names):
        if name in names:
            url = _expanded(configuration[f"remote.{name}.url"][0], configuration)
            usable = _usable(url, root)
            return Remote(name=name, url=without_credentials(usable)) if usable else None
    return None


def without_credentials(url: str) -> str:
    """Strip user information, query and fragment from a URL; an ssh user stays, because it is no secret."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if at and parts.scheme.rpartition("+")[2] == "ssh":
        host = f"{user.partition(':')[0]}@{host}"
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _expanded(url: str, configuration: Mapping[str, Sequence[str]]) -> str:
    """Apply the longest matching `url.<base>.insteadOf`, as git does."""
    best, base = "", ""
    for key, prefixes in configuration.items():
        if key.startswith("url.") and key.endswith(".insteadof"):
            for prefix in prefixes:
                if url.startswith(prefix) and len(prefix) > len(best):
                    best, base = prefix, key[len("url.") : -len(".insteadof")]
    return base + url[len(best) :]


def is_fetchable(url: str) -> bool:
    """Tell whether git fetches from a URL without running anything that the URL names."""
    scheme, separator, _ = url.partition("://")
    if separator:
        return scheme in TRANSPORTS
    return bool(url) and not url.startswith("-") and not _HELPER.match(url)


def _usable(url: str, root: Path) -> str | None:
    """Return the URL as an agent can be given it, or None if an agent must not follow it."""
    if not is_fetchable(url):
        return None
    return url if "://" in url or _SCP.match(url) else str((root / url).resolve())
