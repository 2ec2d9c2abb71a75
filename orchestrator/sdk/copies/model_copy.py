"""Copies of model versions on this machine: trees in the same cache as those of dataset versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.errors import DigestMismatch
from orchestrator.records.manifest import Entry, Kind, order, raw
from orchestrator.sdk.copies.cache import Cache
from orchestrator.sdk.copies.contents import blocks_of
from orchestrator.sdk.copies.local_copy import disk_errors, is_whole
from orchestrator.sdk.copies.trees import make_tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orchestrator.sdk.client import Client
    from orchestrator.sdk.meter import Progress


def model_copy(
    client: Client, model: Mapping[str, Any], *, cache: Cache | Path, progress: Progress | None = None
) -> Path:
    """Return the read-only folder with a model's files, made first where this machine has none yet.

    Many processes may ask at once: one makes it, the others wait. Files that someone has written to are made anew. The
    folder stays while this process lives; afterwards it may give way to others in a cache that is full.

    Args:
        client: speaks to the server.
        model: the version's record, as the server told it to somebody who may read it.
        cache: where trees and blobs are kept.
        progress: called with the bytes that were fetched so far, those to fetch in all, and the files fetched so far.

    Raises:
        DigestMismatch: a file's bytes are not those that were registered; the message names it.
        NoSpace: the disk is full.
        ServerUnreachable: the server is away and a file is not here.
    """
    kept = cache if isinstance(cache, Cache) else Cache(cache)
    name = str(model["id"])
    title = f"{model['project']}/{model['name']}@{model['version']}"
    with disk_errors(kept.root), kept.used(name):
        if not is_whole(kept, name):
            with kept.making(name) as making:
                if not is_whole(kept, name):  # another may have been faster
                    contents = kept.contents(name)
                    if contents.summary() is None:
                        entries = sorted(map(_entry, model["files"]), key=lambda entry: order(entry.path))
                        contents.write(blocks_of(entries), version_id=name, title=f"model {title}", subset="")
                    try:
                        make_tree(kept, name, client=client, making=making, progress=progress)
                    except DigestMismatch as error:
                        raise DigestMismatch(
                            f"Of the model {title} {error.message}",
                            hint="The stored bytes are damaged: register the model again, or promote another version.",
                        ) from error
    return kept.tree(name)


def _entry(file: Mapping[str, Any]) -> Entry:
    return Entry(file["path"], Kind.FILE, file["size_bytes"], raw(file["digest"]))
