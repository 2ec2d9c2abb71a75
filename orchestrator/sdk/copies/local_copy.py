"""Copies of dataset versions on this machine: read-only trees whose files are links to blobs that are kept once."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Any

from orchestrator.errors import (
    Conflict,
    DigestMismatch,
    InvalidPath,
    NoSpace,
    NotFound,
    ServerFailed,
    ServerUnreachable,
)
from orchestrator.sdk.copies.cache import Cache
from orchestrator.sdk.copies.contents import blocks_of
from orchestrator.sdk.copies.pristine import changed
from orchestrator.sdk.copies.raw_files import remove_tree
from orchestrator.sdk.copies.subset import Subset
from orchestrator.sdk.copies.trees import make_tree
from orchestrator.sdk.datasets.version_files import VersionFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.sdk.client import Client
    from orchestrator.sdk.meter import Progress

__all__ = ["Subset", "local_copy", "remove_tree"]

_BLOCKS_AT_ONCE = 32
_ALL = Subset()


def local_copy(  # noqa: PLR0913  what a copy is made of
    client: Client,
    version_id: str,
    *,
    cache: Cache | Path,
    subset: Subset = _ALL,
    progress: Progress | None = None,
    unasked: bool = False,
) -> Path:
    """Return the read-only folder of a version, made first where this machine has none yet.

    The server is asked in any case whether this version may be read, whoever fetched it before. (A path in the cache is
    not asked about: on an agent's node every attempt can read what others fetched, if it knows or lists the path.) Many
    processes may ask at once: one makes it, the others wait. Files that someone has written to are made anew. The
    folder stays while this process lives; afterwards it may give way to others in a cache that is full.

    Args:
        client: speaks to the server.
        version_id: a version that is final.
        cache: where trees and blobs are kept.
        subset: which files.
        progress: called with the bytes that were fetched so far, those to fetch in all, and the files fetched so far.
        unasked: while the server is away, return a copy that is there. For a cache that one person alone fills.

    Raises:
        Conflict: the version is a draft, whose files may still change.
        DigestMismatch: a file's bytes are not those of the manifest; the message names it.
        NoSpace: the disk is full.
        NotFound, Forbidden: there is none that the client may read, or no file matches.
        ServerUnreachable, ServerFailed: the server is away.
    """
    kept = cache if isinstance(cache, Cache) else Cache(cache)
    name = subset.tree_name(version_id)
    version = ask(client, version_id, unasked=unasked and kept.tree(name).is_dir())
    with disk_errors(kept.root), kept.used(name):
        if not is_whole(kept, name):
            with kept.making(name) as making:
                if not is_whole(kept, name):  # another may have been faster
                    _write_contents(kept, name, client=client, version=version, version_id=version_id, subset=subset)
                    make_tree(kept, name, client=client, making=making, progress=progress)
    return kept.tree(name)


def ask(client: Client, version_id: str, *, unasked: bool = False) -> dict[str, Any] | None:
    """Return the record of a version of which copies may be made.

    Args:
        client: speaks to the server.
        version_id: whose.
        unasked: return None while the server is away.

    Raises:
        Conflict: it is a draft.
    """
    try:
        version: dict[str, Any] = client.get(f"/datasets/{version_id}")
    except (ServerUnreachable, ServerFailed):
        if not unasked:
            raise
        return None
    if version["state"] == "open":
        raise Conflict(f"{_title(version)} is a draft.", hint="Finalize it first.")
    return version


@contextlib.contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Say which disk it was.

    Args:
        place: a folder on it.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoSpace(f"The disk that holds {place} is full.", hint="Free space there and try again.") from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise InvalidPath(
                f"{place} cannot be written to: {error.strerror}.",
                hint="Look at its rights, or set RETRAIN_HOME to a folder that is yours.",
            ) from error
        raise
    except NoSpace as error:
        raise NoSpace(f"The disk that holds {place} is full.", hint="Free space there and try again.") from error


def is_whole(cache: Cache, name: str) -> bool:
    """Tell whether a tree is there and as it was made."""
    tree = cache.tree(name)
    contents = cache.contents(name)
    if not tree.is_dir() or contents.summary() is None:
        return False
    try:
        return next(changed(tree, contents.entries()), None) is None
    except DigestMismatch:
        contents.remove()
        return False


def _write_contents(  # noqa: PLR0913  what it is made of
    cache: Cache, name: str, *, client: Client, version: dict[str, Any] | None, version_id: str, subset: Subset
) -> None:
    """Note what the tree is to have, unless that is known."""
    contents = cache.contents(name)
    if contents.summary() is not None:
        return
    files = VersionFiles(client, version_id)
    blocks = _all_blocks(files) if subset.is_all else blocks_of(subset.entries(files))
    title = "" if version is None else _title(version)
    summary = contents.write(blocks, version_id=version_id, title=title, subset=str(subset))
    if not summary.files and subset.patterns and subset.part in {None, 0}:
        contents.remove()
        raise NotFound(
            f"{title} has no file that matches {' or '.join(map(repr, subset.patterns))}.",
            hint=f"See which files it has: retrain dataset show {version_id} --files",
        )


def _all_blocks(files: VersionFiles) -> Iterator[bytes]:
    digests = [block.digest for block in files.manifest.blocks]
    for start in range(0, len(digests), _BLOCKS_AT_ONCE):
        yield from files.load(digests[start : start + _BLOCKS_AT_ONCE])


def _title(version: dict[str, Any]) -> str:
    return f"{version['project']}/{version['name']} {version['version']}"
