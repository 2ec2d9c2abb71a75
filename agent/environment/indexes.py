"""Which package indexes an environment is built from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PUBLIC = frozenset({"https://index.example.org/simple", "https://index.example.org/simple"})
_LABEL = re.compile(r"^[A-Za-z0-9._-]+=")
"""uv lets an index have a name: `internal=https://packages.example.org/simple`."""


def effective(recorded: Iterable[str], *, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the indexes to ask, the preferred one first.

    Those that were captured are asked, with two rights of the node: one that names an index of its own
    (`UV_DEFAULT_INDEX`) has it in place of public PyPI, and credentials in its `UV_DEFAULT_INDEX` and `UV_INDEX` are
    used for the captured URL, which has none.

    Args:
        recorded: captured URLs in order of preference, without credentials.
        environ: the environment of the agent.

    Returns:
        URLs, with credentials where the node has them; empty for uv's own default.
    """
    own = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL")
    further = (environ.get("UV_INDEX") or environ.get("UV_EXTRA_INDEX_URL") or "").split()
    known = {_bare(url): url for url in (*(_LABEL.sub("", entry) for entry in further), own) if url}
    chosen: dict[str, None] = {}
    for url in recorded:
        bare = _bare(url)
        chosen[own if own and bare in _PUBLIC else known.get(bare, url)] = None
    if not chosen and own:
        chosen[own] = None
    return tuple(chosen)


def without_credentials(url: str) -> str:
    """Return a URL without user, password, query and fragment: what a person and a key may see of it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def variables(urls: tuple[str, ...]) -> dict[str, str]:
    """Return the variables that make uv ask these indexes, in this order; an argument would show their passwords."""
    if not urls:
        return {}
    further = {"UV_INDEX": " ".join(urls[:-1])} if urls[:-1] else {}
    return {"UV_DEFAULT_INDEX": urls[-1], **further}


def directories(urls: Iterable[str]) -> tuple[Path, ...]:
    """Return the folders that hold the indexes among `urls` which are files of this machine."""
    paths = (Path(unquote(urlsplit(url).path)) for url in urls if url.startswith("file:"))
    return tuple(path for path in paths if path.is_dir())


def _bare(url: str) -> str:
    return without_credentials(url).rstrip("/")
