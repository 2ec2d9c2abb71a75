"""Which package indexes an environment is built from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT = ""
"""Stands for the index that uv asks when it is told of none."""

_LABEL = re.compile(r"^[A-Za-z0-9._-]+=")
"""uv lets an index have a name: `internal=https://packages.example.org/simple`."""


def effective(recorded: Iterable[str], *, default_index: bool, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the indexes to ask, the preferred one first.

    Those that were captured are asked, with two rights of the node: where the default index is to be asked it may name
    one of its own (`UV_DEFAULT_INDEX`), and credentials in its `UV_DEFAULT_INDEX` and `UV_INDEX` are used for the
    captured URL, which has none. A folder of the capturing machine that is not on this node is passed over.

    Args:
        recorded: captured URLs in order of preference, without credentials.
        default_index: whether the default index is asked after them.
        environ: the environment of the agent.

    Returns:
        URLs, with credentials where the node has them; `DEFAULT` for uv's own. Never empty.
    """
    own = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL")
    further = (environ.get("UV_INDEX") or environ.get("UV_EXTRA_INDEX_URL") or "").split()
    known = {_bare(url): url for url in (*(_LABEL.sub("", entry) for entry in further), own) if url}
    chosen = {known.get(_bare(url), url): None for url in recorded if not url.startswith("file:") or directories([url])}
    if default_index or not chosen:
        chosen[own or DEFAULT] = None
    return tuple(chosen)


def without_credentials(url: str) -> str:
    """Return a URL without user, password, query and fragment: what a person and a key may see of it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def variables(urls: tuple[str, ...]) -> dict[str, str]:
    """Return the variables that make uv ask these indexes, in this order; an argument would show their passwords."""
    *further, last = urls
    named = {"UV_DEFAULT_INDEX": last, "UV_INDEX": " ".join(further)}
    return {name: value for name, value in named.items() if value}


def directories(urls: Iterable[str]) -> tuple[Path, ...]:
    """Return the folders that hold the indexes among `urls` which are files of this machine."""
    paths = (Path(unquote(urlsplit(url).path)) for url in urls if url.startswith("file:"))
    return tuple(path for path in paths if path.is_dir())


def _bare(url: str) -> str:
    return without_credentials(url).rstrip("/")
