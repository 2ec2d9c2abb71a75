"""Dataset and model versions on this node: fetched once, for all attempts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from agent.patience import patiently
from orchestrator.errors import NotFound, ServerUnreachable
from orchestrator.sdk.copies.block_cache import BlockCache
from orchestrator.sdk.copies.cache import VIEW, Cache
from orchestrator.sdk.copies.local_copy import local_copy
from orchestrator.sdk.copies.model_copy import model_copy
from orchestrator.sdk.copies.single_files import local_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.runs import RunDirectory
    from orchestrator.records.links import LinkPolicy
    from orchestrator.sdk.client import Client
    from orchestrator.sdk.copies.subset import Subset
    from orchestrator.sdk.meter import Progress


class NodeData:
    """The node's cache as one attempt uses it. What it was given stays until its end, whichever supervisor follows it.

    Args:
        root: of the cache.
        run: the attempt's directory; its claim is there for as long as the attempt may use anything.
        client: speaks to the server in the attempt's name: it is given what it may read, whatever is in the
            cache. (All attempts have the cache mounted: what others were given can be read there, unasked.)
        links: to files elsewhere that are followed: whoever makes a dataset must not reach what only this node reaches.
        patience_seconds: how long to wait for a server that is away.
    """

    def __init__(
        self, root: Path, *, run: RunDirectory, client: Client, links: LinkPolicy, patience_seconds: float
    ) -> None:
        self._cache = Cache(root, links=links)
        self._run = run
        self._client = client
        self._patience_seconds = patience_seconds
        self._manifests: dict[str, BlockCache] = {}
        self._lock = threading.Lock()

    def folder(self, version_id: str, subset: Subset) -> Path:
        """Return the read-only folder of a version, made where it is not there."""
        progress = self._progress("data")
        return self._kept(
            lambda: local_copy(self._client, version_id, cache=self._cache, subset=subset, progress=progress)
        )

    def model(self, model_id: str) -> Path:
        """Return the read-only folder of a model version, made where it is not there."""
        progress = self._progress("a model")

        def copy() -> Path:
            record = self._client.get(f"/models/{model_id}")["model"]  # asks whether the attempt may read it, too
            return model_copy(self._client, record, cache=self._cache, progress=progress)

        return self._kept(copy)

    def file(self, version_id: str, path: str) -> Path:
        """Return a read-only file of a version, fetched where it is not there.

        Raises:
            NotFound: there is no such file.
        """
        with self._lock:
            manifest = self._manifests.setdefault(version_id, BlockCache(self._client, version_id))
        found = patiently(
            lambda: self._fetched(manifest, version_id, path),
            seconds=self._patience_seconds,
            errors=(ServerUnreachable,),
        )
        self._cache.pin(f"{version_id}{VIEW}", keeper=self._run.claim_file)
        return found

    def let_go(self) -> None:
        """Use nothing more."""
        self._cache.unpin(keeper=self._run.claim_file)

    def _kept(self, copy: Callable[[], Path]) -> Path:
        """Make a tree and keep it for as long as the attempt lives."""
        path = patiently(copy, seconds=self._patience_seconds, errors=(ServerUnreachable,))
        self._cache.pin(path.name, keeper=self._run.claim_file)
        return path

    def _progress(self, what: str) -> Progress:
        """Return what says once how much is to be downloaded."""
        said = threading.Event()

        def progress(_done: int, total: int, _files: int) -> None:
            if total and not said.is_set():
                said.set()
                self._run.say(f"downloading {what}: {total / 1e6:,.1f} MB")

        return progress

    def _fetched(self, manifest: BlockCache, version_id: str, path: str) -> Path:
        entry = manifest.file(path)
        if entry is None:
            raise NotFound(f"The version {version_id} has no file {path!r}.")
        return local_file(self._client, version_id, entry, cache=self._cache)
