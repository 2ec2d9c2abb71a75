"""The files of a version as they stand on the server, read in part: one entry costs one block."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from orchestrator.errors import ServerFailed
from orchestrator.records.manifest import Manifest, raw

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.records.manifest import Entry
    from orchestrator.sdk.client import Client

_LENGTH = struct.Struct("<I")


class VersionFiles:
    """A version's manifest. The list of its blocks is asked for once, blocks as they are read.

    Args:
        client: speaks to the server.
        version_id: whose files.
    """

    def __init__(self, client: Client, version_id: str) -> None:
        self._client = client
        self._path = f"/datasets/{version_id}"
        self._manifest: Manifest | None = None
        self._lost: frozenset[bytes] | None = None

    @property
    def manifest(self) -> Manifest:
        """The list of blocks."""
        if self._manifest is None:
            data, lost = self._client.get_bytes_and_header(f"{self._path}/manifest", "Retrain-Lost")
            self._manifest = Manifest.decode(data)
            if lost == "0":
                self._lost = frozenset()
        return self._manifest

    @property
    def lost(self) -> frozenset[bytes]:
        """Digests of this version whose stored bytes are known to be damaged: the server lacks them."""
        _ = self.manifest  # most often its answer says that there is nothing to ask for
        if self._lost is None:
            self._lost = frozenset(map(raw, self._client.get(f"{self._path}/missing")["missing"]))
        return self._lost

    def forget(self) -> None:
        """Ask anew: the draft was changed."""
        self._manifest = self._lost = None

    def entry(self, path: str) -> Entry | None:
        """Return the entry of a path, or None."""
        return self.manifest.entry(path, load=self.load)

    def entries(self, *, after: str | None = None, below: str | None = None) -> Iterator[Entry]:
        """Yield entries in order; see `Manifest.entries`."""
        return self.manifest.entries(load=self.load, after=after, below=below)

    def load(self, digests: Sequence[bytes]) -> Iterator[bytes]:
        """Yield blocks by their digests, in the order asked.

        Raises:
            NotFound: one is no block of this version.
            ServerFailed: the answer was cut.
        """
        body = {"digests": [digest.hex() for digest in digests]}
        answer = memoryview(self._client.post_for_bytes(f"{self._path}/blocks", body))
        place = 0
        for _ in digests:
            if place + _LENGTH.size > len(answer):
                raise ServerFailed(f"The answer of {self._client.url} broke off.")
            (length,) = _LENGTH.unpack_from(answer, place)
            place += _LENGTH.size
            yield bytes(answer[place : place + length])
            place += length
