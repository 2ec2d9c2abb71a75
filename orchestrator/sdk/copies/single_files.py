"""Files of a version that are fetched one by one, when somebody opens them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from orchestrator.errors import InvalidPath
from orchestrator.records.paths import check_path
from orchestrator.sdk.copies.cache import VIEW
from orchestrator.sdk.copies.fetching import Fetcher
from orchestrator.sdk.copies.local_copy import disk_errors
from orchestrator.sdk.copies.pristine import is_pristine, key_of
from orchestrator.sdk.copies.trees import place
from orchestrator.sdk.meter import Meter

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.records.manifest import Entry
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.copies.cache import Cache


def local_file(client: Client, version_id: str, entry: Entry, *, cache: Cache) -> Path:
    """Return a read-only file of a version, fetched where it is not here. It stays while this process lives.

    Args:
        client: speaks to the server.
        version_id: whose.
        entry: of the file, as the server has just told it to somebody who may read it.
        cache: where to.

    Raises:
        DigestMismatch: its bytes are not those of the manifest.
        NoSpace: the disk is full.
    """
    name = version_id + VIEW
    file = cache.tree(name) / check_path(entry.path)
    with disk_errors(cache.root), cache.used(name):
        if not _is_there(file, entry):
            with cache.fetching(name, blob=key_of(entry).hex()) as making:
                if not _is_there(file, entry):
                    _fetch(client, entry, cache=cache, making=making, file=file, name=name)
    return file


def _is_there(file: Path, entry: Entry) -> bool:
    return is_pristine(file, key=key_of(entry), size_bytes=entry.size_bytes)


def _fetch(  # noqa: PLR0913  what it is made of
    client: Client, entry: Entry, *, cache: Cache, making: int, file: Path, name: str
) -> None:
    if not cache.blobs.has(entry):
        with cache.room(making, size_bytes=entry.size_bytes):
            Fetcher(client, blobs=cache.blobs, links=cache.links, meter=Meter(None, total_bytes=0)).fetch([entry])
    _make_folders(cache.tree(name), entry.path)
    draft = file.with_name(f".{os.urandom(8).hex()}")
    try:
        place(entry, blobs=cache.blobs, file=str(draft))
        draft.replace(file)
    except IsADirectoryError as error:
        raise InvalidPath(f"{file} is a folder.", hint=f"Remove {cache.tree(name)} and try again.") from error
    finally:
        draft.unlink(missing_ok=True)
    cache.contents(name).append([entry])


def _make_folders(root: Path, path: str) -> None:
    """Make the folders that a file is in; a link that leads elsewhere is no folder of ours."""
    folder = root
    for part in ("", *path.split("/")[:-1]):
        folder /= part
        folder.mkdir(exist_ok=True)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise InvalidPath(f"{folder} is no folder.", hint=f"Remove {root} and try again.")
